#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs the tests that meson.build names, of every target, and sums up.

x86_64 runs on this machine; arm64 and arm run under qemu-user, or, where a test is also in suite `vm`, on a stock
kernel in one virtual machine for each target. tests/README.md has what a test may do and must print.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("SIDETRACK_BUILD") or os.path.join(ROOT, "build")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "vm"))
import vm  # noqa: E402

SUITES = ["engine", "attach", "probe", "patch", "build", "trace", "kernel", "vm", "docs"]
BUILD_DIR = {"x86_64": BUILD, "arm64": os.path.join(BUILD, "arm64"), "arm": os.path.join(BUILD, "arm")}
QEMU = {"arm64": "qemu-aarch64", "arm": "qemu-arm"}
# e_machine (elf.h): what can't run here without QEMU.
FOREIGN = {"arm64": 183, "arm": 40}
SUMMARY = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")
OUTPUT_LIMIT = 100_000
LONG_FACTOR = 20


class Test:
    """One test of one target, as meson's introspection describes it."""

    def __init__(self, arch, info, files, factor):
        build = BUILD_DIR[arch]
        self.arch = arch
        self.name = info["name"]
        self.suites = {suite.split(":")[-1] for suite in info["suite"]}
        self.timeout = info["timeout"] * factor if info["timeout"] > 0 else 3600
        self.parallel = info["is_parallel"]
        self.priority = info["priority"]
        self.cwd = info["workdir"] or build
        self.cmd = [self._absolute(arg) for arg in info["cmd"]]
        self.env = dict(info["env"])
        self.env.update(SIDETRACK_SRC=ROOT, SIDETRACK_BUILD=BUILD, SIDETRACK_BUILD_DIR=build, SIDETRACK_ARCH=arch)
        self.files = {name for target in info["depends"] for name in files.get(target, [])}
        # There is no virtual machine of x86_64: there the label says nothing, unless it is all there is.
        if arch == "x86_64" and self.suites != {"vm"}:
            self.suites.discard("vm")
        self.in_vm = arch != "x86_64" and "vm" in self.suites

    def _absolute(self, arg):
        """Meson gives a target that is an argument relative to the build folder."""
        path = os.path.join(BUILD_DIR[self.arch], arg)
        return os.path.normpath(path) if "/" in arg and os.path.exists(path) else arg

    def foreign(self):
        """Is the program one that only QEMU can run here?"""
        try:
            with open(self.cmd[0], "rb") as file:
                head = file.read(20)
        except OSError:
            return False
        return head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], "little") == FOREIGN.get(self.arch)

    def vm_files(self):
        """What the guest needs: the program, what it depends on, and each argument and variable that is a file."""
        words = self.cmd + [part for key, value in self.env.items() if not key.startswith("SIDETRACK_")
                            for part in value.split(":")]
        return self.files | {word for word in words if os.path.isabs(word) and os.path.exists(word)}

    def vm_command(self):
        env = " ".join(f"{key}={shlex.quote(value)}" for key, value in self.env.items())
        return f"mkdir -p {self.cwd} && cd {self.cwd} && export {env} && exec {shlex.join(self.cmd)}"


class Outcome:
    """What a test came to, in numbers and in words."""

    def __init__(self, test, status, output, seconds, timed_out=False):
        self.test = test
        self.output = output
        self.seconds = seconds
        self.skips = [line.strip()[len("skipped: "):] for line in output.splitlines()
                      if line.strip().startswith("skipped: ")]
        self.why = ""
        lines = output.strip().splitlines()
        last = lines[-1].strip() if lines else ""
        count = SUMMARY.fullmatch(last)
        self.passed, self.failed, self.skipped = map(int, count.groups()) if count else (0, 0, 0)
        if timed_out:
            self._fail(f"no end after {test.timeout} s")
        elif status is None:
            self._fail("did not end")
        elif status == 77:
            self.passed, self.failed, self.skipped = 0, 0, 1
            self.skips = [last or "no reason given"]
        elif status < 0:
            self._fail(f"killed by {signal.Signals(-status).name}")
        elif status != 0 and not self.failed:
            self._fail(f"exit status {status}")
        elif status != 0:
            self.why = f"{self.failed} failed"
        elif self.failed:
            self.why = f"{self.failed} failed, but its exit status is 0"
        elif not count:
            self.passed = 1
        elif self.passed + self.skipped == 0:
            self._fail("it checked nothing")
        if self.skipped and not self.skips:
            self.skips = ["no reason given"]

    def _fail(self, why):
        self.failed += 1
        self.why = why

    def __str__(self):
        test = self.test
        verdict = "FAIL" if self.failed else "pass" if self.passed else "skip"
        where = test.arch + (" vm" if test.in_vm else "")
        text = f"{verdict} {where:8} {'+'.join(sorted(test.suites)):12} {test.name}: "
        text += self.why or (f"{self.passed} passed" if self.passed else "skipped")
        if self.skips:
            text += f" ({self.skipped} skipped: {'; '.join(dict.fromkeys(self.skips))})"
        return text + f" [{self.seconds:.1f} s]"


class Runner:
    def __init__(self, verbose, full):
        self.verbose = verbose
        self.env = {"SIDETRACK_LONG": "1"} if full else {}
        self.outcomes = []
        self.running = set()
        self.lock = threading.Lock()

    def report(self, outcome):
        with self.lock:
            self.outcomes.append(outcome)
            text = str(outcome)
            if outcome.failed or self.verbose:
                text += "\n" + "\n".join("    " + line for line in outcome.output.rstrip().splitlines())
            print(text, flush=True)

    def here(self, test):
        """Runs a test on this machine, under qemu-user if need be."""
        cmd = test.cmd
        env = {**os.environ, **test.env, **self.env}
        if test.arch != "x86_64":
            sysroot = os.path.join(BUILD, "sysroot", test.arch)
            wrapper = [QEMU[test.arch], "-L", sysroot]
            env["MESON_EXE_WRAPPER"] = shlex.join(wrapper)
            if test.foreign():
                cmd = wrapper + cmd
        start = time.monotonic()
        timed_out = False
        with tempfile.TemporaryFile() as out:
            try:
                process = subprocess.Popen(cmd, cwd=test.cwd, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                           stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                self.report(Outcome(test, None, f"{cmd[0]}: {error.strerror}", 0))
                return
            with self.lock:
                self.running.add(process.pid)
            try:
                status = process.wait(test.timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
                status = None
            # The test's own group: a test that left something running must not disturb the next one.
            kill_group(process.pid)
            process.wait()
            with self.lock:
                self.running.discard(process.pid)
            size = out.seek(0, os.SEEK_END)
            out.seek(max(0, size - OUTPUT_LIMIT))
            output = out.read().decode(errors="replace")
        self.report(Outcome(test, status, output, time.monotonic() - start, timed_out))

    def in_vm(self, arch, tests):
        """Runs all tests of one target in a virtual machine."""
        for test in tests:
            test.env.update(self.env)
        try:
            results = vm.run(arch, sorted(set().union(*(test.vm_files() for test in tests))),
                             [test.vm_command() for test in tests], [test.timeout for test in tests])
        except OSError as error:
            results = [vm.Result(None, f"no virtual machine: {error}", 0)] * len(tests)
        for test, result in zip(tests, results):
            timed_out = result.status == 137 and result.seconds >= test.timeout
            status = result.status
            # The shell's way to say that a signal ended the test.
            if status is not None and 128 < status < 160:
                status = 128 - status
            self.report(Outcome(test, status, result.output, result.seconds, timed_out))

    def run(self, tests, jobs):
        here = sorted((test for test in tests if not test.in_vm), key=lambda test: -test.priority)
        work = [(self.here, (test,)) for test in here if test.parallel]
        for arch in ("arm", "arm64"):
            machine = [test for test in tests if test.in_vm and test.arch == arch]
            if machine:
                work.insert(0, (self.in_vm, (arch, machine)))
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            for future in concurrent.futures.as_completed([pool.submit(function, *args) for function, args in work]):
                future.result()
            for test in here:
                if not test.parallel:
                    self.here(test)
        except (KeyboardInterrupt, SystemExit):
            self.abandon()

    def abandon(self):
        """Ends everything; the virtual machines end with us."""
        for pid in list(self.running):
            kill_group(pid)
        print("interrupted", flush=True)
        os._exit(1)


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def load(arch, factor):
    """The tests of a build folder."""
    info = os.path.join(BUILD_DIR[arch], "meson-info")
    with open(os.path.join(info, "intro-targets.json")) as file:
        files = {target["id"]: target["filename"] for target in json.load(file)}
    with open(os.path.join(info, "intro-tests.json")) as file:
        return [Test(arch, test, files, factor) for test in json.load(file)]


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{' '.join(SUITES)}; default all")
    parser.add_argument("--long", action="store_true", help="let each test take its time (SIDETRACK_LONG=1)")
    parser.add_argument("--target", action="append", choices=list(BUILD_DIR), help="only this target")
    parser.add_argument("--name", help="only tests whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="show the output of every test")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2), help=argparse.SUPPRESS)
    parser.add_argument("--not-built", action="append", default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; suites: {' '.join(SUITES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    wanted = set(args.suites)
    tests = []
    for arch in args.target or BUILD_DIR:
        if arch not in args.not_built:
            tests += [test for test in load(arch, LONG_FACTOR if args.long else 1)
                      if (not wanted or test.suites & wanted) and (not args.name or args.name in test.name)]
    start = time.monotonic()
    runner = Runner(args.verbose, args.long)
    runner.run(tests, args.jobs)

    outcomes = runner.outcomes
    passed, failed, skipped = (sum(getattr(outcome, name) for outcome in outcomes)
                               for name in ("passed", "failed", "skipped"))
    failed += len(args.not_built)
    bad = [outcome for outcome in outcomes if outcome.failed]
    print(f"\n{len(outcomes)} test programs in {time.monotonic() - start:.0f} s")
    for suite in args.suites:
        if not any(suite in test.suites for test in tests):
            print(f"suite {suite} has no test")
    for outcome in outcomes:
        if outcome.skipped and not outcome.failed:
            print(outcome)
    for outcome in bad:
        print(outcome)
    for arch in args.not_built:
        print(f"FAIL {arch}: not built")
    if not outcomes and not failed:
        print("no test was run")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
