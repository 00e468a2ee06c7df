#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Memory that a patched function costs its process, beside the patch object: records, stubs, and pages of code that were shared.

	patch-memory.py TOOL WORK INCLUDE

A program with FUNCTIONS functions gets a patch of all of them, another run of it a patch of one. The memory that the process has then and
had not before, by kind, the one less the other, over the functions between. Prints a line of JSON a row.
"""
import json
import os
import re
import subprocess
import sys

FUNCTIONS = 256
CFLAGS = ["-O2", "-fno-plt"]


def sources(work):
    """The program: functions of 64 bytes."""
    body = "\tfor (int i = 0; i < 10; i++)\n\t\tx = (x ^ {n}) * 31 + (x >> 7) + i;\n\treturn x;\n"
    with open(f"{work}/memory.c", "w") as f:
        f.write("#include <stdio.h>\n")
        for n in range(FUNCTIONS):
            f.write(f"__attribute__((noipa)) long f{n}(long x)\n{{\n{body.format(n=n)}}}\n")
        f.write('int main(void)\n{\n\tlong s = 0;\n\tfor (int i = 0; i < 2; i++) {\n')
        f.writelines(f"\t\ts += f{n}({n});\n" for n in range(FUNCTIONS))
        f.write('\t\tputs("ready");\n\t\tfflush(stdout);\n\t\tgetchar();\n\t}\n\treturn (int)s;\n}\n')
    for count in 1, FUNCTIONS:
        with open(f"{work}/memory-{count}.c", "w") as f:
            f.write("#include <sidetrack/patch.h>\nST_PATCH(memory, ST_PER_THREAD);\n")
            f.writelines(f'ST_REPLACE("memory", "f{n}", g{n});\nlong g{n}(long x);\nlong g{n}(long x)\n{{\n\treturn x + {n};\n}}\n'
                         for n in range(count))


def used(pid, program):
    """Bytes by kind. Shared memory counts whole, also what the tool alone has touched: it stays when the tool ends."""
    kinds = {"records": 0, "stubs": 0, "code": 0, "rest": 0}
    files = {}
    kind = None
    for line in open(f"/proc/{pid}/smaps"):
        m = re.match(r"([0-9a-f]+-[0-9a-f]+) (\S+) \S+ \S+ (\S+)\s*(.*)", line)
        if m:
            span, access, inode, name = m.groups()
            kind = "code" if name == program and "x" in access else "rest" if not name else None
            if name.startswith("/memfd:sidetrack"):
                which = "stubs" if name.startswith("/memfd:sidetrack-code") else "records"
                files[inode] = which, os.stat(f"/proc/{pid}/map_files/{span}").st_blocks * 512
        elif kind and line.startswith("Anonymous:"):
            kinds[kind] += int(line.split()[1]) * 1024
    for which, size in files.values():
        kinds[which] += size
    return kinds


def run(tool, work, count):
    program = os.path.realpath(f"{work}/memory")
    p = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        p.stdout.readline()
        before = used(p.pid, program)
        subprocess.run([tool, "patch", "apply", "-p", str(p.pid), "--timeout", "30s", "--allow-unsigned",
                        f"{work}/memory-{count}.so"], check=True, stdout=subprocess.DEVNULL)
        p.stdin.write(b"\n")
        p.stdin.flush()
        p.stdout.readline()
        return {k: v - before[k] for k, v in used(p.pid, program).items()}
    finally:
        p.kill()
        p.wait()


def main():
    tool, work, include = sys.argv[1:4]
    sources(work)
    subprocess.run(["gcc", *CFLAGS, f"{work}/memory.c", "-o", f"{work}/memory"], check=True)
    for count in 1, FUNCTIONS:
        subprocess.run(["gcc", "-shared", "-fPIC", "-nostartfiles", *CFLAGS, f"-I{include}", f"{work}/memory-{count}.c", "-o",
                        f"{work}/memory-{count}.so"], check=True)
    one, many = run(tool, work, 1), run(tool, work, FUNCTIONS)
    each = {kind: (many[kind] - one[kind]) / (FUNCTIONS - 1) for kind in many}
    for kind, n in each.items():
        print(json.dumps({"row": f"memory/{kind}", "med": n}))
    print(json.dumps({"row": "memory/ours", "med": each["records"] + each["stubs"] + each["rest"]}))


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit(str(e))
