#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the peers' probes cost, each beside the floor, our hook and our probe in one process (peers.c).

	peers.py PROGRAM XRAY-PROGRAM TOOL CPU ROUNDS

Prints one line of JSON a row: its own figures, and those of the floor, our hook and our probe that counts from the same
process. bpftrace's rows and all of ours are from one process; what can't be there together has one of its own.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TIMEOUT = 120
GDB = ["gdb_ftrace", "gdb_regs"]
BPFTRACE = [("uprobe", "uprobe_nop"), ("uprobe", "uprobe_push"), ("uprobe", "uprobe_step"), ("uretprobe", "uretprobe")]


def emit(row, r, by):
    r = dict(r, row=row)
    for name, key in [("floor", "floor"), ("plain", "plain"), ("ours", "sidetrack"), ("count", "count")]:
        if "med" in by.get(f"peers/{key}", {}):
            r[name] = by[f"peers/{key}"]["med"]
    print(json.dumps(r), flush=True)


def unavailable(row, why):
    print(json.dumps({"row": row, "unavailable": why}), flush=True)


def note(row, text):
    print(json.dumps({"note": row, "text": text}), flush=True)


def parse(out):
    by, notes = {}, {}
    for line in out.splitlines():
        if line.startswith("{"):
            r = json.loads(line)
            if "row" in r:
                by[r["row"]] = r
            else:
                notes[r["note"]] = r["text"]
    return by, notes


def measure(rows, command, attach=None, check=None, env=None, show=()):
    """Starts it, lets the peer attach, has it measured, and asks the peer what it saw. `show`: rows of ours to print."""
    p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    peer = None
    try:
        said = ""
        for line in p.stderr:
            if line.strip() == "ready":
                break
            said = line.strip()
        else:
            raise RuntimeError("the program did not start: " + said)
        if attach:
            peer = attach(p.pid)
        out, err = p.communicate("\n", timeout=TIMEOUT)
        by, notes = parse(out)
        if p.returncode or "peers/floor" not in by:
            raise RuntimeError((err.strip().splitlines() or [f"exit status {p.returncode}"])[-1])
        saw = check(peer) if check else {}
        for row in show:
            key = "peers/sidetrack" if row == "peers/hook" else row
            if "med" in by.get(key, {}):
                emit(row, by[key], by)
            else:
                unavailable(row, by.get(key, {}).get("unavailable", "there is no tool"))
            if row in notes:
                note(row, notes[row])
        for row in rows:
            if row not in by:
                unavailable(row, "it was not measured")
            elif check and not saw.get(row.split("/")[1]):
                unavailable(row, "the peer did not see its hits")
            else:
                emit(row, by[row], by)
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as e:
        for row in list(rows) + list(show):
            unavailable(row, str(e))
    finally:
        for q in (peer, p):
            if q and q.poll() is None:
                q.terminate()
                q.wait()


class Bpftrace:
    def __init__(self, program):
        self.script = " ".join(f"{kind}:{program}:{fn} {{ @{fn}++ }}" for kind, fn in BPFTRACE)
        self.log = tempfile.TemporaryFile("w+")

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def attach(self, _):
        if not os.path.isdir("/sys/kernel/tracing/events"):
            raise RuntimeError("tracefs is not mounted")
        q = subprocess.Popen(["bpftrace", "-e", self.script], stdout=self.log, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL)
        for _ in range(200):
            time.sleep(0.05)
            if "Attaching" in self.said():
                time.sleep(1)     # it says so before it does it
                if q.poll() is None:
                    return q
            if q.poll() is not None:
                raise RuntimeError("bpftrace: " + (self.said().strip().splitlines() or ["ended"])[-1])
        q.terminate()
        raise RuntimeError("bpftrace did not attach")

    def check(self, q):
        q.send_signal(signal.SIGINT)
        q.wait(20)
        return {k: int(n) for k, n in re.findall(r"^@(\w+): (\d+)", self.said(), re.M)}


class Gdbserver:
    """Fast tracepoints: the program has libinproctrace.so, gdbserver attaches, and gdb tells it what to trace."""
    library = "/usr/lib/libinproctrace.so"
    script = """set pagination off
set confirm off
set breakpoint pending off
set sysroot /
set circular-trace-buffer on
target remote %s
tbreak measured
ftrace *gdb_ftrace
ftrace *gdb_regs
actions
collect $regs
end
tstart
info tracepoints
echo started\\n
continue
info tracepoints
tstatus
tstop
detach
"""

    def __init__(self, program, directory):
        self.program, self.directory, self.server = program, directory, None
        self.log = tempfile.TemporaryFile("w+")

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def attach(self, pid):
        self.server = subprocess.Popen(["gdbserver", "--once", "--attach", "127.0.0.1:0", str(pid)], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for line in self.server.stderr:
            port = re.match(r"Listening on port (\d+)", line)
            if port:
                break
        else:
            raise RuntimeError("gdbserver did not attach")
        script = f"{self.directory}/script"
        with open(script, "w") as f:
            f.write(self.script % ("127.0.0.1:" + port[1]))
        q = subprocess.Popen(["gdb", "-nx", "-batch", "-x", script, self.program], stdin=subprocess.DEVNULL,
                             stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(400):
            time.sleep(0.05)
            if "\nstarted" in self.said():
                time.sleep(1)
                if self.said().count("installed on target") != len(GDB):
                    q.terminate()
                    raise RuntimeError("gdb did not install the fast tracepoints")
                return q
            if q.poll() is not None:
                raise RuntimeError("gdb: " + (self.said().strip().splitlines() or ["ended"])[-1])
        q.terminate()
        raise RuntimeError("gdb did not start to trace")

    def check(self, q):
        q.wait(20)
        if "Trace is running" not in self.said():
            raise RuntimeError("gdbserver stopped to trace before the end")
        frames = re.search(r"(\d+)(?: created total\)| trace frames)", self.said())
        return dict.fromkeys(GDB, int(frames[1]) if frames else 0)

    def end(self):
        if self.server and self.server.poll() is None:
            self.server.terminate()
            self.server.wait()


def main():
    program, xray, tool, cpu, rounds = sys.argv[1:6]
    have = os.access(tool, os.X_OK)
    show = ["peers/hook", "peers/count", "peers/return", "peers/three"]
    probes = ["peers/count", "peers/return"] if have else []

    rows = [f"peers/{fn}" for _, fn in BPFTRACE]
    why = "there is no bpftrace" if not shutil.which("bpftrace") else "uprobes are for root" if os.geteuid() else None
    if why:
        for row in rows:
            unavailable(row, why)
        measure([], [program, cpu, rounds, tool] + (show if have else []), show=show)
    else:
        peer = Bpftrace(program)
        measure(rows, [program, cpu, rounds, tool] + (show if have else []) + rows, peer.attach, peer.check, show=show)

    rows = [f"peers/{fn}" for fn in GDB]
    if not shutil.which("gdbserver") or not shutil.which("gdb") or not os.path.exists(Gdbserver.library):
        for row in rows:
            unavailable(row, "there is no gdbserver with libinproctrace.so")
    else:
        with tempfile.TemporaryDirectory() as d:
            peer = Gdbserver(program, d)
            measure(rows, [program, cpu, rounds, tool] + probes + rows, peer.attach, peer.check,
                    env=dict(os.environ, LD_PRELOAD=Gdbserver.library))
            peer.end()

    if shutil.which("uftrace"):
        with tempfile.TemporaryDirectory() as d:
            # It starts the program itself, with its library preloaded: without the tool.
            measure(["peers/uftrace"], ["uftrace", "record", "--no-event", "-P", "^uftraced$", "-d", f"{d}/data", program,
                                        cpu, rounds, "-", "peers/uftrace"])
            p = subprocess.run(["uftrace", "report", "-d", f"{d}/data", "-f", "call"], capture_output=True, text=True)
            if not re.search(r"\d+\s+uftraced", p.stdout):
                unavailable("peers/uftrace", "it recorded nothing")
    else:
        unavailable("peers/uftrace", "there is no uftrace")
    if os.path.exists(xray):
        measure(["peers/xray"], [xray, cpu, rounds, tool] + probes + ["peers/xray"])
    else:
        unavailable("peers/xray", "clang could not build it")
    unavailable("peers/frida", "it is not in Debian")


if __name__ == "__main__":
    main()
