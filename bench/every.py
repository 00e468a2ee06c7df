#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What hooks on every function cost a real program, sqlite's speedtest1, in ns a call.

	every.py SQLITE-DIR EVERY.so CPU ROUNDS SIZE

Each build is compared with itself without hooks; the builds take turns. Prints one line of JSON a build.
"""
import json
import os
import re
import statistics
import subprocess
import sys

#        row, program, its comparison, hooked
ROWS = [("every/nop", "mnop", "mnop", True),
        ("every/move", "plain", "plain", True),
        ("every/floor", "fentry", "mnop", False)]


def run(sqlite, preload, cpu, size, build, hooked):
    def prepare():
        os.sched_setaffinity(0, {cpu})
        try:
            os.nice(-10)
        except PermissionError:
            pass

    env = dict(os.environ, LD_PRELOAD=preload, EVERY="1" if hooked else "0")
    p = subprocess.run([f"{sqlite}/speedtest1-{build}", "--memdb", "--size", str(size)], env=env, preexec_fn=prepare,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    m = re.search(r"every ns=(\d+) calls=(\d+) sites=(-?\d+) refused=(\d+)", p.stderr)
    if p.returncode or not m:
        sys.exit(f"speedtest1-{build}: status {p.returncode}: {p.stderr.strip()[-200:]}")
    return [int(x) for x in m.groups()]


def main():
    sqlite, preload, cpu, rounds, size = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    runs = sorted({(b, h) for _, b, _, h in ROWS} | {(c, False) for _, _, c, _ in ROWS})
    got = {r: [] for r in runs}
    for k in range(rounds):
        for i in range(len(runs)):
            r = runs[(i + k) % len(runs)]
            got[r].append(run(sqlite, preload, cpu, size, *r))
    calls = got["mnop", True][0][1]
    for row, build, base, hooked in ROWS:
        mine, theirs = [g[0] for g in got[build, hooked]], [g[0] for g in got[base, False]]
        n = got[build, hooked][0][1] or calls
        print(json.dumps({"row": row, "med": (statistics.median(mine) - statistics.median(theirs)) / n,
                          "min": (min(mine) - min(theirs)) / n, "ratio": min(mine) / min(theirs), "n": rounds}))
        if hooked:
            _, _, sites, refused = got[build, hooked][0]
            print(json.dumps({"note": row, "text": f"{n:,} calls through {sites} functions, {refused} refused; the program "
                              f"takes {min(mine) / min(theirs):.2f} times as long; {min(theirs) / n:.1f} ns of its own a call"}))


if __name__ == "__main__":
    main()
