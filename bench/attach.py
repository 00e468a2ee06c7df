#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Wall time of the main job on a stock redis-server: attach and list, hook thousands of functions, detach.

	attach.py TOOL ROUNDS

The server is ours, on a loopback port, with a client that keeps it busy. Prints one line of JSON a step.
"""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

GLOBS = ["redis-server:*", "libc.so.6:*"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Load(threading.Thread):
    """PING after PING; every answer is looked at."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stop, self.replies, self.worst, self.failed = port, False, 0, 0.0, None

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                while not self.stop:
                    start = time.monotonic()
                    s.sendall(b"PING\r\n")
                    if s.recv(64) != b"+PONG\r\n":
                        raise OSError("a wrong reply")
                    self.worst = max(self.worst, time.monotonic() - start)
                    self.replies += 1
                    time.sleep(0.001)
        except OSError as e:
            self.failed = str(e)


def timed(command):
    start = time.monotonic()
    p = subprocess.run(command, capture_output=True, text=True, timeout=60)
    seconds = time.monotonic() - start
    if p.returncode:
        raise RuntimeError(f"{' '.join(command[1:3])}: " + (p.stderr.strip().splitlines() or [f"status {p.returncode}"])[-1])
    return seconds, p.stdout


def main():
    tool, rounds = sys.argv[1], int(sys.argv[2])
    steps = {"list": [], "probe": [], "detach": [], "all": []}
    listed = hookable = 0
    port = free_port()
    redis = subprocess.Popen([shutil.which("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                              "--appendonly", "no"], stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
    load = Load(port)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        load.start()
        for _ in range(rounds):
            pid = str(redis.pid)
            a, out = timed([tool, "functions", "-p", pid, *GLOBS])
            listed = len(out.splitlines())
            hookable = listed - sum(" no: " in line for line in out.splitlines())
            b, _ = timed([tool, "probe", "-p", pid, "-c", "-n", "1", *[f"p {g}" for g in GLOBS]])
            c, _ = timed([tool, "detach", "-p", pid])
            for name, seconds in ("list", a), ("probe", b), ("detach", c), ("all", a + b + c):
                steps[name].append(seconds * 1e3)
    finally:
        load.stop = True
        redis.terminate()
        redis.wait()
        load.join(5)
    if load.failed:
        raise RuntimeError(f"the server's client saw: {load.failed}")
    for name, ms in steps.items():
        print(json.dumps({"row": f"attach/{name}", "med": statistics.median(ms), "min": min(ms), "n": rounds}))
    print(json.dumps({"note": "attach/all", "text": f"{listed} functions of {', '.join(GLOBS)}, {hookable} hooked; the server "
                      f"gave {load.replies} replies meanwhile, the slowest after {load.worst * 1e3:.1f} ms"}))


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
        sys.exit(str(e))
