#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Is the code of a process what its files hold? Independent of Sidetrack: /proc and nothing else.

    scripts/compare-code.py PID

Compares every executable file mapping with the file it was mapped from. Prints one line; exit status 0 same, 1 not.
A mapping that comes or goes meanwhile (dlopen, dlclose) makes it start again.
"""

import os
import sys


def compare(pid):
    compared = differ = objects = extra = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            where, perms, offset, _, inode, *path = line.split(None, 5)
            if "x" not in perms:
                continue
            start, end = (int(x, 16) for x in where.split("-"))
            path = path[0].strip() if path else ""
            if not path.startswith("/") or path.startswith("/memfd:"):
                extra += not path.startswith("[v")
                continue
            with open(f"/proc/{pid}/root{path}", "rb") as file:
                if os.fstat(file.fileno()).st_ino != int(inode):
                    sys.exit(f"{path} was replaced since it was mapped")
                file.seek(int(offset, 16))
                want = file.read(end - start)
            mem.seek(start)
            have = mem.read(len(want))
            differ += sum(a != b for a, b in zip(want, have)) if want != have else 0
            compared += len(want)
            objects += 1
    return compared, objects, differ, extra


def main():
    tries = 20
    while True:
        tries -= 1
        try:
            compared, objects, differ, extra = compare(int(sys.argv[1]))
        except OSError as error:
            if not tries:
                sys.exit(str(error))
            continue
        if not differ or not tries:
            break
    print(f"{compared} bytes of code in {objects} mappings compared with their files: {differ} differ; "
          f"{extra} executable mappings without a file")
    sys.exit(1 if differ or extra else 0)


main()
