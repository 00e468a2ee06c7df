#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A virtual machine for one list of commands: a stock Debian kernel, an initramfs made from the build, a serial console.

The files keep their absolute paths in the guest, with the shared libraries that they need, so a command line means
there what it means here. -smp 1, because QEMU 7.2 executes stale code after a user process patched it with -smp 2
(research: 12 of 12 runs). A guest that hangs or panics fails the command it was running; a new one runs the rest.
"""

import argparse
import ctypes
import os
import re
import secrets
import select
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SIDETRACK_BUILD") or os.path.join(os.path.dirname(os.path.dirname(HERE)), "build")

TRIPLET = {"arm": "arm-linux-gnueabihf", "arm64": "aarch64-linux-gnu"}
# `max` has what the architecture has (SVE, pointer authentication, BTI) and costs 0.4 s of the boot's 2.
QEMU = {
    "arm": ["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15"],
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"],
}
LIBC = ctypes.CDLL(None)
BOOT_LIMIT = 120
COMMAND_LIMIT = 60
# Loaded behind the back of DT_NEEDED: libgcc_s by pthread_cancel() and pthread_exit().
ALWAYS = ["libc.so.6", "libgcc_s.so.1"]


class Initramfs:
    """A cpio archive in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self, out):
        self.out = out
        self.seen = set()
        self.inode = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        name = name.lstrip("/")
        if name in self.seen:
            return
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        self.seen.add(name)
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.out.write(head + raw + b"\0" * (-(len(head) + len(raw)) % 4))
        self.out.write(data + b"\0" * (-len(data) % 4))

    def directory(self, name, mode=0o755):
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def end(self):
        self.inode = 0
        self._entry("TRAILER!!!", 0)


class Image:
    """Puts files into an initramfs, each with the libraries that it needs."""

    def __init__(self, arch, out):
        self.sysroot = os.path.join(BUILD, "sysroot", arch)
        self.libdirs = [f"{self.sysroot}/{d}/{TRIPLET[arch]}" for d in ("lib", "usr/lib")]
        self.cpio = Initramfs(out)

    def add(self, path, guest=None):
        """A file, a folder or a symbolic link, to the same absolute path or to GUEST."""
        path = os.path.abspath(path)
        guest = guest or path
        if os.path.isdir(path):
            self.cpio.directory(guest)
            for name in sorted(os.listdir(path)):
                self.add(os.path.join(path, name), os.path.join(guest, name))
            return
        if guest.lstrip("/") in self.cpio.seen:
            return
        if os.path.islink(path):
            target = os.readlink(path)
            self.cpio.link(guest, target)
            if not os.path.isabs(target):
                self.add(os.path.join(os.path.dirname(path), target),
                         os.path.normpath(os.path.join(os.path.dirname(guest), target)))
            return
        with open(path, "rb") as file:
            data = file.read()
        self.cpio.file(guest, data, 0o755 if os.access(path, os.X_OK) else 0o644)
        if data.startswith(b"\x7fELF"):
            self._needed(path, guest)

    def library(self, name):
        """A library of the sysroot, to where the guest's ld.so looks for it."""
        for libdir in self.libdirs:
            if os.path.exists(f"{libdir}/{name}"):
                self.add(f"{libdir}/{name}", f"{libdir}/{name}"[len(self.sysroot):])
                return True
        return False

    def _needed(self, path, guest):
        text = subprocess.run(["readelf", "-W", "-d", "-l", path], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"}).stdout
        interp = re.search(r"interpreter: ([^\]]+)\]", text)
        if interp and os.path.exists(self.sysroot + interp[1]):
            self.add(self.sysroot + interp[1], interp[1])
        run = re.search(r"\(R(?:UN)?PATH\).*\[(.*)\]", text)
        rundirs = run[1].split(":") if run else []
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
            for rundir in rundirs:
                here = os.path.join(rundir.replace("$ORIGIN", os.path.dirname(path)), name)
                if os.path.exists(here):
                    there = os.path.join(rundir.replace("$ORIGIN", os.path.dirname(guest)), name)
                    self.add(here, os.path.normpath(there))
                    break
            else:
                # A library that is nowhere is for the guest's ld.so to complain of.
                self.library(name)


def split_file(spec):
    """FILE or FILE:GUEST."""
    host, _, guest = spec.partition(":")
    return host, guest or None


def make_image(arch, out, files, commands, limits, mark):
    image = Image(arch, out)
    cpio = image.cpio
    for name in ("dev", "proc", "sys", "root", "sbin", "usr/bin", "usr/sbin", "var/run", "mnt"):
        cpio.directory(name)
    cpio.directory("tmp", 0o1777)
    cpio.device("dev/console", 5, 1)
    cpio.device("dev/null", 1, 3)
    with open(os.path.join(BUILD, "vm", arch, "busybox"), "rb") as file:
        cpio.file("bin/busybox", file.read(), 0o755)
    cpio.link("bin/sh", "busybox")
    with open(os.path.join(HERE, "init"), "rb") as file:
        cpio.file("init", file.read(), 0o755)
    cpio.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n")
    cpio.file("etc/group", b"root:x:0:\nuser:x:1000:\n")
    cpio.file("etc/hosts", b"127.0.0.1 localhost\n")
    cpio.file("vm/mark", mark.encode() + b"\n")
    for i, (command, limit) in enumerate(zip(commands, limits)):
        cpio.file(f"vm/{i}", command.encode() + b"\n")
        cpio.file(f"vm/{i}.limit", b"%d\n" % limit)
    for name in ALWAYS:
        image.library(name)
    for spec in files:
        image.add(*split_file(spec))
    cpio.end()
    out.flush()


class Result:
    """What became of a command: exit status (None: it did not end), output, seconds."""

    def __init__(self, status, output, seconds):
        self.status = status
        self.output = output
        self.seconds = seconds


class Guest:
    """One boot. Feeds on the console line by line and keeps a Result for each command that was begun."""

    def __init__(self, mark, limits, show):
        self.mark = mark
        self.limits = limits
        self.show = show
        self.results = []
        self.running = None
        self.begun = 0.0
        self.lines = []
        self.boot = []
        self.off = False
        self.deadline = time.monotonic() + BOOT_LIMIT

    def line(self, line):
        word = line.split()
        if word[:1] != [self.mark]:
            (self.boot if self.running is None else self.lines).append(line)
            if self.show and self.running is not None:
                self.show(line)
        elif word[1] == "begin":
            self.running, self.lines = float(word[3]), []
            self.begun = time.monotonic()
            self.deadline = time.monotonic() + self.limits[len(self.results)] + 30
        elif word[1] == "end":
            self.end(int(word[5]), float(word[3]) - self.running)
            self.deadline = time.monotonic() + 30
        elif word[1] == "off":
            self.off = True

    def end(self, status, seconds):
        # The line that is empty belongs to the mark.
        text = "\n".join(self.lines[:-1] if self.lines and not self.lines[-1] else self.lines)
        self.results.append(Result(status, text, seconds))
        self.running = None
        self.boot = []


def die_with_parent():
    """For a child process: SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG is 1, linux/prctl.h)."""
    LIBC.prctl(1, signal.SIGKILL)


def boot(arch, files, commands, limits, options, show=None):
    """Boots once; returns a Result for each command that was begun and a sentence if the guest did not power off."""
    mark = "@" + secrets.token_hex(6)
    guest = Guest(mark, limits, show)
    why = ""
    # A file without a name, so that nothing is left of it however this ends.
    with tempfile.TemporaryFile(prefix="sidetrack-vm-") as image:
        make_image(arch, image, files, commands, limits, mark)
        argv = list(QEMU[arch])
        if options.get("cpu"):
            argv[argv.index("-cpu") + 1] = options["cpu"]
        argv += ["-m", "512", "-smp", str(options.get("smp") or 1), "-nodefaults", "-display", "none",
                 "-monitor", "none", "-serial", "stdio", "-no-reboot",
                 "-kernel", os.path.join(BUILD, "vm", arch, "vmlinuz"), "-initrd", f"/dev/fd/{image.fileno()}",
                 "-append", "console=ttyAMA0 quiet panic=-1 oops=panic " + (options.get("append") or "")]
        argv += shlex.split(options.get("qemu") or "")
        # Whatever ends us ends the machine.
        qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                preexec_fn=die_with_parent, pass_fds=[image.fileno()])
        try:
            partial = b""
            while True:
                left = guest.deadline - time.monotonic()
                if left <= 0:
                    why = "the virtual machine hung"
                    break
                if not select.select([qemu.stdout], [], [], left)[0]:
                    continue
                data = os.read(qemu.stdout.fileno(), 65536)
                if not data:
                    break
                *whole, partial = (partial + data).split(b"\n")
                for raw in whole:
                    guest.line(raw.replace(b"\r", b"").decode(errors="replace"))
            if partial:
                guest.line(partial.decode(errors="replace"))
        finally:
            if why or sys.exc_info()[0]:
                qemu.kill()
            status = qemu.wait()
            qemu.stdout.close()
    if not why and not guest.off:
        why = f"the virtual machine ended before its commands did (QEMU's exit status {status})"
    if guest.running is not None:
        guest.lines.append(why)
        guest.end(None, time.monotonic() - guest.begun)
    elif why and not guest.results:
        why += ":\n" + "\n".join(guest.boot[-20:])
    return guest.results, why


def run(arch, files, commands, limits=None, show=None, **options):
    """Runs COMMANDS, in as many machines as it takes; returns a Result for each."""
    limits = limits or [COMMAND_LIMIT] * len(commands)
    results = []
    while len(results) < len(commands):
        done, why = boot(arch, files, commands[len(results):], limits[len(results):], options, show)
        if not done:
            done = [Result(None, why, 0)] * (len(commands) - len(results))
        results += done
    return results


def main():
    parser = argparse.ArgumentParser(
        usage="tests/vm/run.sh [OPTIONS] {arm|arm64} [FILE[:GUESTFILE]…] -- COMMAND…",
        description="Boots a stock Debian kernel, runs each COMMAND with sh, powers off.")
    parser.add_argument("--timeout", type=int, default=COMMAND_LIMIT, help="seconds for each command (60)")
    parser.add_argument("--cpu", help="QEMU's name of a CPU")
    parser.add_argument("--smp", type=int, help="CPUs (1; with more, no code patching by user processes)")
    parser.add_argument("--append", help="more for the kernel's command line")
    parser.add_argument("--qemu", help="more options for QEMU")
    parser.add_argument("arch", choices=sorted(QEMU))
    parser.add_argument("files", nargs="*", metavar="FILE")
    argv = sys.argv[1:]
    if "--" not in argv or argv[-1] == "--":
        parser.error("no -- COMMAND: what shall the machine run?")
    cut = argv.index("--")
    args, commands = parser.parse_args(argv[:cut]), argv[cut + 1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = run(args.arch, args.files, commands, [args.timeout] * len(commands),
                  show=lambda line: print(line, flush=True),
                  cpu=args.cpu, smp=args.smp, append=args.append, qemu=args.qemu)
    bad = 0
    for command, result in zip(commands, results):
        ended = "did not end" if result.status is None else f"exit {result.status}"
        print(f"vm: {ended} after {result.seconds:.1f} s: {command}", file=sys.stderr)
        if result.status is None and not result.seconds:
            print(result.output, file=sys.stderr)
        if result.status != 0 and not bad:
            bad = 1 if result.status is None else result.status
    return bad


if __name__ == "__main__":
    sys.exit(main())
