#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Instructions that a hook executes on ARM and AArch64, counted under QEMU, where time means nothing.

	insns.py ISA PLUGIN.so QEMU SYSROOT PROGRAM

The difference between many calls and few, per call; the loop and the function itself are the row `rest`.
"""
import json
import re
import subprocess
import sys

FEW, MANY = 100, 1100


def count(plugin, qemu, sysroot, program, how, calls):
    p = subprocess.run([*qemu.split(), "-L", sysroot, "-plugin", plugin, "-d", "plugin", program, how, str(calls)],
                       capture_output=True, text=True)
    m = re.search(r"insns (\d+)", p.stderr)
    if p.returncode or not m:
        return None, (p.stderr.strip().splitlines() or [f"exit status {p.returncode}"])[0]
    return int(m.group(1)), None


def main():
    isa, command = sys.argv[1], sys.argv[2:]
    rest = {}
    for how in ["nop-rest", "nop-general", "nop-vector", "move-rest", "move-general"]:
        row = f"insns/{isa}-{how}"
        few, why = count(*command, how, FEW)
        many, why = count(*command, how, MANY) if few else (None, why)
        if many is None:
            print(json.dumps({"row": row, "unavailable": why}))
            continue
        n = (many - few) / (MANY - FEW)
        kind = how.split("-")[0]
        if how.endswith("rest"):
            rest[kind] = n
        print(json.dumps({"row": row, "med": n, "min": n, "extra": n - rest.get(kind, 0)}))


if __name__ == "__main__":
    main()
