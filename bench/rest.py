#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What NOPs cost a program that nobody hooks: sqlite's speedtest1, built without and with them, over random link orders.

	rest.py SQLITE-DIR CPU ORDERS ROUNDS SIZE

The order in which functions lie in memory changes the time by more than a NOP does, so each order links every build
the same way, and what counts is the mean of the ratios over the orders. Prints one line of JSON a build.
"""
import json
import os
import random
import re
import statistics
import subprocess
import sys

BUILDS = ["plain", "plain2", "mnop", "pfe5"]   # plain2 is plain again: the noise


def functions(sqlite):
    out = subprocess.run(["nm", f"{sqlite}/plain/sqlite3.o", f"{sqlite}/plain/speedtest1.o"], check=True,
                         capture_output=True, text=True).stdout
    return sorted(set(re.findall(r" [tT] (\S+)$", out, re.M)))


def link(sqlite, build, order):
    exe = f"{sqlite}/rest-{build}"
    objects = f"{sqlite}/{build.rstrip('2')}"
    subprocess.run(["gcc", "-no-pie", "-fuse-ld=lld", f"-Wl,--symbol-ordering-file={order}",
                    "-Wl,--no-warn-symbol-ordering", f"{objects}/sqlite3.o", f"{objects}/speedtest1.o", "-lm", "-o", exe],
                   check=True)
    return exe


def run(exe, cpu, size):
    """Seconds of CPU time. (The split into user and system time is by ticks.)"""
    def prepare():
        os.sched_setaffinity(0, {cpu})
        try:
            os.nice(-10)
        except PermissionError:
            pass

    p = subprocess.Popen([exe, "--memdb", "--size", str(size)], stdout=subprocess.DEVNULL, preexec_fn=prepare)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    if status:
        sys.exit(f"{exe} failed: {status}")
    return usage.ru_utime + usage.ru_stime


def main():
    sqlite, cpu, orders, rounds, size = sys.argv[1], *map(int, sys.argv[2:6])
    names = functions(sqlite)
    rng = random.Random(1)
    ratios = {b: [] for b in BUILDS}
    plain = []
    for k in range(orders):
        rng.shuffle(names)
        order = f"{sqlite}/order"
        with open(order, "w") as f:
            f.write("\n".join(names) + "\n")
        exes = {b: link(sqlite, b, order) for b in BUILDS}
        best = {b: [] for b in BUILDS}
        for r in range(rounds):
            for i in range(len(BUILDS)):
                b = BUILDS[(i + r) % len(BUILDS)]
                best[b].append(run(exes[b], cpu, size))
        # The least of the rounds: the time is the program's own, all that disturbs adds to it.
        for b in BUILDS:
            ratios[b].append(min(best[b]) / min(best["plain"]))
        plain.append(min(best["plain"]))
    for b in BUILDS:
        r = ratios[b]
        print(json.dumps({"row": f"rest/{b}", "mean": statistics.mean(r), "sd": statistics.stdev(r) if len(r) > 1 else 0,
                          "least": min(r), "most": max(r), "n": orders}))
    print(json.dumps({"note": "rest/plain", "text": f"{min(plain):.3f} to {max(plain):.3f} s, by the order alone; --size {size}, "
                      f"{orders} orders, the least of {rounds} runs each"}))


if __name__ == "__main__":
    main()
