#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Prints what bench/run.sh measured as a table, beside the goals.

	table.py RESULTS [--markdown]

RESULTS has one JSON object a line: {"row": KEY, "min": N, "med": N}, {"row": KEY, "unavailable": REASON},
{"note": KEY, "text": …}, {"version": NAME, "text": …}, {"machine": …}. A row that is not in SECTIONS is an error.
"""
import json
import sys


class Row:
    """key: in RESULTS; goal: in words, for the median; limit(rows): is it met?"""

    def __init__(self, key, label, goal="", limit=None):
        self.key, self.label, self.goal, self.limit = key, label, goal, limit


def times(key, base, most):
    """The row's median is at most `most` times that of the base."""
    return lambda rows: rows[key]["med"] <= most * rows[base]["med"]


def at_most(key, most):
    return lambda rows: rows[key]["med"] <= most


def ratio(base):
    """A column: the row's median over that of another row of the same run."""
    return lambda r, rows: r["med"] / rows[base]["med"]


def beside(bases, default=None):
    """The row's median over that of a row of its own."""
    return lambda r, rows: r["med"] / rows[bases.get(r["row"], default)]["med"]


def field(name):
    return lambda r, rows: r[name]


def over(name):
    """The row's median over a figure that was measured in the same process."""
    return lambda r, rows: r["med"] / r[name]


# title, columns, rows
SECTIONS = [
    ("One call of a hooked function, x86-64, in ns",
     [("median", field("med")), ("least", field("min")), ("x floor", ratio("micro/floor_sahf")),
      ("x plain", ratio("micro/plain"))], [
         Row("micro/plain", "plain call and return"),
         Row("micro/nop_rest", "at rest: one 5-byte NOP", "plain", times("micro/nop_rest", "micro/plain", 1.02)),
         Row("micro/call_ret", "call to a ret"),
         Row("micro/floor_sahf", "floor: all registers, aligned, sahf, empty C function"),
         Row("micro/floor_popf", "the same with popfq"),
         Row("micro/nop_general", "hook, general registers", "<= 1.2 x floor",
             times("micro/nop_general", "micro/floor_sahf", 1.2)),
         Row("micro/move_rest", "no NOP, no hook"),
         Row("micro/move_general", "the same with a hook, prologue moved"),
         Row("micro/nop_redirect", "hook that changes pc"),
         Row("micro/nop_2", "2 hooks on one site"),
         Row("micro/nop_4", "4 hooks"),
         Row("micro/nop_8", "8 hooks"),
         Row("micro/nop_vector", "hook that does not say what it uses: a counter", "<= 2 x floor",
             times("micro/nop_vector", "micro/floor_sahf", 2)),
         Row("micro/nop_vector_used", "the same, calculates with doubles", "<= 2 x floor",
             times("micro/nop_vector_used", "micro/floor_sahf", 2)),
         Row("micro/nop_libc", "the same, calls libc: all vector state saved"),
         Row("micro/jump", "call of a jmp, by hand"),
         Row("micro/settled", "settled patch", "= call of a jmp", times("micro/settled", "micro/jump", 1.02)),
     ]),
    ("One call of a probed function, x86-64, in ns",
     [("median", field("med")), ("least", field("min")), ("x plain", ratio("probe/plain")),
      ("x bare int3", ratio("probe/bare"))], [
         Row("probe/plain", "plain call and return"),
         Row("probe/own", "probe that counts, by the library", "<= 8", at_most("probe/own", 8)),
         Row("probe/attached", "probe that counts, by the tool (-c)", "<= 8", at_most("probe/attached", 8)),
         Row("probe/inside", "probe that counts, inside a function"),
         Row("probe/three", "three arguments and a timestamp into the ring, by the tool", "<= 25", at_most("probe/three", 25)),
         Row("probe/return", "return probe that counts, by the library: entry and return", "<= 12",
             at_most("probe/return", 12)),
         Row("probe/return_attached", "return probe that counts, by the tool (-c)", "<= 12",
             at_most("probe/return_attached", 12)),
         Row("probe/bare", "int3 and a handler that does nothing, by hand"),
         Row("probe/trap", "probe that counts, by a breakpoint", "<= 1.1 x bare int3",
             times("probe/trap", "probe/bare", 1.1)),
     ]),
    ("20,000 sites in one batch, a second thread running through them, in ns a site",
     [("median", field("med")), ("least", field("min")), ("x floor", ratio("batch/floor_hook"))], [
         Row("batch/floor_hook", "floor: the same protocol and nothing else, on"),
         Row("batch/floor_unhook", "floor, off"),
         Row("batch/nop_first", "NOP sites, the first time: planned, stubs written"),
         Row("batch/nop_hook", "NOP sites, hook", "<= 10 ns", at_most("batch/nop_hook", 10)),
         Row("batch/nop_hook_text", "- of it, the change of the code"),
         Row("batch/nop_unhook", "NOP sites, unhook", "<= 10 ns", at_most("batch/nop_unhook", 10)),
         Row("batch/nop_unhook_text", "- of it, the change of the code"),
         Row("batch/move_first", "moved prologues, the first time"),
         Row("batch/move_hook", "moved prologues (threads stopped), hook"),
         Row("batch/move_hook_text", "- of it, the change of the code"),
         Row("batch/move_unhook", "moved prologues, unhook"),
         Row("batch/move_unhook_text", "- of it, the change of the code"),
     ]),
    ("At rest: time of sqlite's speedtest1 as a ratio to the build without, over link orders",
     [("mean", field("mean")), ("sd", field("sd")), ("least", field("least")), ("most", field("most"))], [
         Row("rest/plain", "without"),
         Row("rest/plain2", "without, again: the noise"),
         Row("rest/mnop", "one 5-byte NOP: -pg -mfentry -mnop-mcount", "<= 1.02, or within noise",
             lambda rows: rows["rest/mnop"]["mean"] <= 1.02 or
             abs(rows["rest/mnop"]["mean"] - 1) <= rows["rest/mnop"]["sd"]),
         Row("rest/pfe5", "five NOPs of a byte: -fpatchable-function-entry=5"),
     ]),
    ("A real program, sqlite's speedtest1, with every function hooked: extra ns a call",
     [("median", field("med")), ("least", field("min")), ("x floor", ratio("every/floor"))], [
         Row("every/floor", "floor: every function calls it"),
         Row("every/nop", "hook that counts, NOP sites", "<= 5 ns", at_most("every/nop", 5)),
         Row("every/move", "hook that counts, prologues moved"),
     ]),
    ("One call of a replaced function, x86-64, in ns",
     [("median", field("med")), ("least", field("min")), ("x floor", beside({"change/old": "change/floor_old"}, "change/floor_new")),
      ("x jmp", ratio("change/jump"))], [
         Row("change/plain", "plain call and return"),
         Row("change/jump", "call of a jmp to the same function, by hand"),
         Row("change/settled", "settled patch", "= call of a jmp", times("change/settled", "change/jump", 1.02)),
         Row("change/floor_new", "floor: the least hook (see above)"),
         Row("change/new", "in transition, a thread that runs the new functions", "<= 1.5 x floor",
             times("change/new", "change/floor_new", 1.5)),
         Row("change/floor_old", "floor, in the other thread"),
         Row("change/old", "in transition, a thread that runs the old ones", "<= 1.5 x floor",
             times("change/old", "change/floor_old", 1.5)),
     ]),
    ("The longest pause of any thread while a patch of level thread is applied, in ms",
     [("median", field("med")), ("99 %", field("p99")), ("most", field("max")), ("least", field("min")),
      ("x nothing", beside({f"patch/{what}_{n}": f"patch/none_{n}" for what in ("apply", "revert") for n in (1, 100)}))], [
         Row("patch/none_1", "one thread, nothing done: the machine's own"),
         Row("patch/apply_1", "- apply", "<= 1", at_most("patch/apply_1", 1)),
         Row("patch/revert_1", "- revert"),
         Row("patch/none_100", "100 sleeping threads, nothing done"),
         Row("patch/apply_100", "- apply", "<= 5", at_most("patch/apply_100", 5)),
         Row("patch/revert_100", "- revert"),
     ]),
    ("A redis-server's answers while a patch goes in and out, in ms",
     [("median", field("med")), ("99 %", field("p99")), ("99.9 %", field("p999")), ("most", field("max")),
      ("99 % x nothing", lambda r, rows: r["p99"] / rows["tail/none"]["p99"])], [
         Row("tail/none", "nothing done"),
         Row("tail/cycles", "apply and revert, one after the other"),
     ]),
    ("Memory of one patched function beside the patch itself, in bytes", [("mean", field("med"))], [
         Row("memory/records", "records, in the memory shared with the tool"),
         Row("memory/stubs", "stubs"),
         Row("memory/rest", "other memory of its own"),
         Row("memory/ours", "together", "<= 1024", at_most("memory/ours", 1024)),
         Row("memory/code", "pages of the program's code that are its own now: 4 KiB for all functions on a page"),
     ]),
    ("A stock redis-server under load, from outside, in ms",
     [("median", field("med")), ("least", field("min"))], [
         Row("attach/list", "attach and list"),
         Row("attach/probe", "hook all, one hit, unhook"),
         Row("attach/detach", "detach"),
         Row("attach/all", "together", "<= 1000", at_most("attach/all", 1000)),
     ]),
    ("Peers, in ns a call; the floor, a plain call and our hook are from the same process",
     [("median", field("med")), ("least", field("min")), ("x floor", over("floor")), ("x plain", over("plain")),
      ("x our hook", over("ours")), ("x our probe", over("count"))], [
         Row("peers/hook", "our hook, general registers"),
         Row("peers/count", "our probe that counts, by the tool (-c)", "<= 8", at_most("peers/count", 8)),
         Row("peers/return", "our return probe that counts, by the tool (-c)", "<= 12", at_most("peers/return", 12)),
         Row("peers/three", "our probe, three arguments and a timestamp into the ring", "<= 25",
             at_most("peers/three", 25)),
         Row("peers/uprobe_nop", "bpftrace uprobe @++, at a 5-byte NOP"),
         Row("peers/uprobe_push", "bpftrace uprobe @++, at a push"),
         Row("peers/uprobe_step", "bpftrace uprobe @++, at a lea off rip, which the kernel single-steps"),
         Row("peers/uretprobe", "bpftrace uretprobe @++"),
         Row("peers/gdb_ftrace", "gdbserver fast tracepoint, no action"),
         Row("peers/gdb_regs", "gdbserver fast tracepoint, collect $regs"),
         Row("peers/uftrace", "uftrace -P, entry and exit recorded"),
         Row("peers/xray", "LLVM XRay, empty handler, entry and exit"),
         Row("peers/frida", "Frida Interceptor, entry"),
     ]),
    ("Instructions, counted under QEMU, of the hook alone",
     [("extra", field("extra")), ("with the call", field("med"))], [
         Row(f"insns/{isa}-{how}", f"{name}, {words}")
         for isa, name in [("a64", "AArch64"), ("sve", "AArch64 with SVE"), ("a32", "A32"), ("t32", "T32")]
         for how, words in [("nop-rest", "at rest"), ("nop-general", "hook, general registers"),
                            ("nop-vector", "hook that may use vector state"),
                            ("move-general", "hook, first instruction moved")]]),
]
# Read, not shown.
HIDDEN = {f"insns/{isa}-move-rest" for isa in ("a64", "sve", "a32", "t32")} | {"change/plain_old"}


def read(path):
    rows, notes, versions, head = {}, {}, {}, {}
    for line in open(path):
        r = json.loads(line)
        if "row" in r:
            rows[r["row"]] = r
        elif "note" in r:
            notes[r["note"]] = r["text"]
        elif "version" in r:
            versions[r["version"]] = r["text"]
        else:
            head.update(r)
    return rows, notes, versions, head


def number(x):
    return f"{x:.3f}" if x < 2 else f"{x:.2f}" if x < 100 else f"{x:,.0f}"


def cells(row, columns, rows):
    r = rows[row.key]
    if "unavailable" in r:
        return None
    out = []
    for _, value in columns:
        try:
            out.append(number(value(r, rows)))
        except (KeyError, ZeroDivisionError):
            out.append("-")
    met = ""
    if row.limit:
        try:
            met = "yes" if row.limit(rows) else "no"
        except KeyError:
            met = "?"
    return out + [row.goal, met]


def main():
    markdown = "--markdown" in sys.argv
    rows, notes, versions, head = read([a for a in sys.argv[1:] if not a.startswith("--")][0])
    print(f'{head.get("machine", "?")}; load {head.get("load", "?")}; {head.get("commit", "?")}')
    print(", ".join(f"{k} {v}" for k, v in sorted(versions.items())))
    known = set(HIDDEN)
    for title, columns, wanted in SECTIONS:
        known.update(row.key for row in wanted)
        wanted = [row for row in wanted if row.key in rows]
        if not wanted:
            continue
        names = [title] + [name for name, _ in columns] + ["goal", "met"]
        lines, remarks = [], []
        for row in wanted:
            label = row.label
            if row.key in notes:
                remarks.append(notes[row.key])
                label += f" [{len(remarks)}]"
            c = cells(row, columns, rows)
            lines.append([label] + (c or [f'not available: {rows[row.key]["unavailable"]}']))
        print()
        if markdown:
            print("| " + " | ".join(names) + " |")
            print("|---|" + "---:|" * len(columns) + "---|---|")
            for line in lines:
                print("| " + " | ".join(line + [""] * (len(names) - len(line))) + " |")
        else:
            width = [max([len(names[i])] + [len(line[i]) for line in lines if len(line) == len(names)] +
                         ([len(line[0]) for line in lines] if i == 0 else []))
                     for i in range(len(names))]
            last = len(names) - 2
            for line in [names] + lines:
                print("  ".join(x.ljust(width[i]) if i == 0 or i >= last or len(line) < len(names)
                                else x.rjust(width[i]) for i, x in enumerate(line)).rstrip())
        if markdown and remarks:
            print()
        for i, text in enumerate(remarks, 1):
            print(f"[{i}] {text}")
    for key, r in rows.items():
        if key not in known:
            print(f'\n{key}: not available: {r["unavailable"]}' if "unavailable" in r else f"\n{key}: {r}")


if __name__ == "__main__":
    main()
