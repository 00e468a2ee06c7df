#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the peers' probes cost, each beside the floor and our hook in one process (peers.c).

	peers.py PROGRAM XRAY-PROGRAM CPU ROUNDS

Prints one line of JSON a row: its own figures, and those of the floor and of our hook from the same process.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

TIMEOUT = 60


def emit(row, r, by):
    r = dict(r, row=row, floor=by["peers/floor"]["med"], plain=by["peers/plain"]["med"],
             ours=by["peers/sidetrack"]["med"])
    print(json.dumps(r), flush=True)


def unavailable(row, why):
    print(json.dumps({"row": row, "unavailable": why}), flush=True)


def parse(out):
    by = {}
    for line in out.splitlines():
        if line.startswith("{"):
            r = json.loads(line)
            by[r["row"]] = r
    return by


def measure(row, command, attach=None):
    """Starts it, lets the peer attach, and has it measured."""
    p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peer = None
    try:
        for line in p.stderr:
            if line.strip() == "ready":
                break
        else:
            raise RuntimeError("the program did not start")
        if attach:
            peer = attach(p.pid)
        out, err = p.communicate("\n", timeout=TIMEOUT)
        by = parse(out)
        if row not in by:
            raise RuntimeError((err.strip().splitlines() or [f"exit status {p.returncode}"])[-1])
        emit(row, by[row], by)
        return by
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as e:
        unavailable(row, str(e))
    finally:
        for q in (peer, p):
            if q and q.poll() is None:
                q.terminate()
                q.wait()
    return {}


def bpftrace(script):
    def attach(pid):
        if not os.path.isdir("/sys/kernel/tracing/events"):
            raise RuntimeError("tracefs is not mounted")
        log = tempfile.TemporaryFile("w+")
        q = subprocess.Popen(["bpftrace", "-e", script], stdout=log, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL)
        for _ in range(200):
            time.sleep(0.05)
            log.seek(0)
            text = log.read()
            if "Attaching" in text:
                time.sleep(0.5)     # it says so before it does it
                if q.poll() is None:
                    return q
            if q.poll() is not None:
                raise RuntimeError("bpftrace: " + (text.strip().splitlines() or ["ended"])[-1])
        q.terminate()
        raise RuntimeError("bpftrace did not attach")
    return attach


def main():
    program, xray, cpu, rounds = sys.argv[1:5]
    for row, kind, fn in [("peers/uprobe_nop", "uprobe", "uprobe_nop"), ("peers/uprobe_push", "uprobe", "uprobe_push"),
                          ("peers/uretprobe", "uretprobe", "uretprobe")]:
        if not shutil.which("bpftrace"):
            unavailable(row, "there is no bpftrace")
            continue
        if os.geteuid():
            unavailable(row, "uprobes are for root")
            continue
        measure(row, [program, cpu, rounds, row], bpftrace(f"{kind}:{program}:{fn} {{ @ = count(); }}"))
    if shutil.which("uftrace"):
        with tempfile.TemporaryDirectory() as d:
            measure("peers/uftrace", ["uftrace", "record", "--no-event", "-P", "^uftraced$", "-d", f"{d}/data", program, cpu,
                                      rounds, "peers/uftrace"])
            p = subprocess.run(["uftrace", "report", "-d", f"{d}/data", "-f", "call"], capture_output=True, text=True)
            if not re.search(r"\d+\s+uftraced", p.stdout):
                unavailable("peers/uftrace", "it recorded nothing")
    else:
        unavailable("peers/uftrace", "there is no uftrace")
    if os.path.exists(xray):
        measure("peers/xray", [xray, cpu, rounds, "peers/xray"])
    else:
        unavailable("peers/xray", "clang could not build it")


if __name__ == "__main__":
    main()
