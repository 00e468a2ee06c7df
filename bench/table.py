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
    """key: in RESULTS; goal: in words; limit(rows): is it met?"""

    def __init__(self, key, label, goal="", limit=None):
        self.key, self.label, self.goal, self.limit = key, label, goal, limit


def times(key, base, most):
    """The row's median is at most `most` times that of the base."""
    return lambda rows: rows[key]["med"] <= most * rows[base]["med"]


def at_most(key, most):
    return lambda rows: rows[key]["med"] <= most


# title, unit, the rows that ratios are given to, rows
SECTIONS = [
    ("One call of a hooked function, x86-64", "ns",
     [("x floor", "micro/floor_sahf"), ("x plain", "micro/plain")], [
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
         Row("micro/nop_vector", "hook that may use vector state, and does not", "<= 2 x floor",
             times("micro/nop_vector", "micro/floor_sahf", 2)),
         Row("micro/nop_vector_used", "hook that calculates with doubles", "<= 2 x floor",
             times("micro/nop_vector_used", "micro/floor_sahf", 2)),
         Row("micro/nop_libc", "hook that calls libc"),
         Row("micro/jump", "call of a jmp, by hand"),
         Row("micro/settled", "settled patch", "= call of a jmp", times("micro/settled", "micro/jump", 1.02)),
     ]),
    ("Hooking 20,000 sites in one batch, a second thread running through them", "ns a site", [
        ("x floor", "batch/floor_hook")], [
        Row("batch/floor_hook", "floor: the same protocol and nothing else, on"),
        Row("batch/floor_unhook", "floor, off"),
        Row("batch/nop_first", "NOP sites, the first time: planned, stubs written"),
        Row("batch/nop_hook", "NOP sites, hook", "<= 10 ns", at_most("batch/nop_hook", 10)),
        Row("batch/nop_hook_text", "  of it, the change of the code"),
        Row("batch/nop_unhook", "NOP sites, unhook", "<= 10 ns", at_most("batch/nop_unhook", 10)),
        Row("batch/nop_unhook_text", "  of it, the change of the code"),
        Row("batch/move_first", "moved prologues, the first time"),
        Row("batch/move_hook", "moved prologues (threads stopped), hook"),
        Row("batch/move_hook_text", "  of it, the change of the code"),
        Row("batch/move_unhook", "moved prologues, unhook"),
        Row("batch/move_unhook_text", "  of it, the change of the code"),
    ]),
]


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
    return f"{x:.2f}" if x < 100 else f"{x:,.0f}"


def cells(row, bases, rows):
    r = rows[row.key]
    if "unavailable" in r:
        return None
    out = [number(r["med"]), number(r["min"])]
    for _, base in bases:
        b = rows.get(base, {})
        out.append(f'{r["med"] / b["med"]:.2f}' if "med" in b else "-")
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
    known = set()
    for title, unit, bases, wanted in SECTIONS:
        known.update(row.key for row in wanted)
        wanted = [row for row in wanted if row.key in rows]
        if not wanted:
            continue
        names = [title, unit + " (median)", "least"] + [name for name, _ in bases] + ["goal", "met"]
        lines, remarks = [], []
        for row in wanted:
            label = row.label
            if row.key in notes:
                remarks.append(notes[row.key])
                label += f" [{len(remarks)}]"
            c = cells(row, bases, rows)
            lines.append([label] + (c or [f'not available: {rows[row.key]["unavailable"]}']))
        print()
        if markdown:
            print("| " + " | ".join(names) + " |")
            print("|---|" + "---:|" * (2 + len(bases)) + "---|---|")
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
