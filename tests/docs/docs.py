#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does the documentation name what exists? docs.py SIDETRACK

In README.md, docs/ and tests/README.md: links and their anchors resolve, files that are named exist, functions that are
named are in the source, each command of ./dev and each verb of sidetrack is one, and each test that is named has a test.
"""

import glob
import json
import os
import re
import subprocess
import sys

SRC = os.environ["SIDETRACK_SRC"]
BUILD = os.environ["SIDETRACK_BUILD"]
FOLDERS = "agent bench cli docs engine examples include LICENSES man patch probe process scripts tests"
SUITES = "engine attach probe patch build trace kernel vm docs"
# Verbs of the contract that the command refuses with a sentence: named only where it is said that they are not there.
LATER_DOCS = ("docs/limits.md",)

passed = failed = 0


def check(good, where, what):
    global passed, failed
    passed += bool(good)
    failed += not good
    if not good:
        print(f"{where}: {what}")


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as file:
        return file.read()


def anchors(text):
    """As forges make them of headings: lower case, words joined by hyphens."""
    heads = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def check_links(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        exists = os.path.exists(os.path.join(SRC, file))
        check(exists, path, f"a link to {target}, which does not exist")
        if exists and anchor:
            check(anchor in anchors(read(file)), path, f"a link to {target}: no such heading")


def check_paths(path, text):
    for word in re.findall(r"`([\w./*-]+)`", text):
        if word.split("/")[0] in FOLDERS.split() and "/" in word:
            check(glob.glob(os.path.join(SRC, word)), path, f"{word} does not exist")


def check_functions(path, text, source):
    for name in set(re.findall(r"`(st_\w+|[a-z]+_\w+)\(\)`", text)):
        check(re.search(rf"\b{name}\b", source), path, f"{name}() is not in the source")


def check_dev(path, text):
    usage = set(re.findall(r"^#\t\./dev ((?:\w+(?: \| )?)+)", read("dev"), re.M))
    verbs = {verb for words in usage for verb in words.split(" | ")}
    for verb in re.findall(r"\./dev ([a-z]+)", text):
        check(verb in verbs, path, f"./dev {verb} is no command")
    for suite in re.findall(r"`\./dev test ([a-z]+)", text):
        check(suite in SUITES.split(), path, f"./dev test {suite}: no such suite")


def check_verbs(path, text, sidetrack):
    code = re.findall(r"`(sidetrack [^`]+)`", text) + re.findall(r"^ +\$ (sidetrack .+)$", text, re.M)
    for call in code:
        verb = call.split()[1]
        if not re.fullmatch(r"[a-z]+", verb):
            continue
        ran = subprocess.run([sidetrack, "help", verb], capture_output=True, check=False)
        check(ran.returncode == 0 or path in LATER_DOCS, path, f"sidetrack has no verb {verb}: {call}")
        if verb == "patch" and len(call.split()) > 2:
            action = call.split()[2]
            check(action in ran.stdout.decode(), path, f"sidetrack patch has no {action}")


def test_names():
    """Of all targets; None if one of them is not set up, which leaves the names unknown."""
    names = []
    for folder in (BUILD, os.path.join(BUILD, "arm64"), os.path.join(BUILD, "arm")):
        info = os.path.join(folder, "meson-info", "intro-tests.json")
        if not os.path.exists(info):
            return None
        with open(info, encoding="utf-8") as file:
            names += [test["name"] for test in json.load(file)]
    return names


def check_tests(path, text, names):
    wanted = re.findall(r"--name '?([^'`|\n]+?)'?(?: --|`|$)", text, re.M)
    for row in re.findall(r"^\|.*\|$", text, re.M):
        # The tables of the README and of docs/registers.md: the column of test names.
        if path == "README.md":
            wanted += re.findall(r"`([^`]+)`", row.split("|")[-2])
        elif path == "docs/registers.md" and "`tests/" in row:
            wanted += re.findall(r"`([^`]+)`", row.split("|")[2])
    for name in wanted:
        if name in ("NAME", "PART") or name.startswith("./dev") or name in SUITES.split():
            continue
        check(any(name in test for test in names), path, f"no test is called '{name}'")


def main():
    sidetrack = sys.argv[1]
    source = ""
    for folder in FOLDERS.split():
        for end in ("h", "c", "S"):
            for file in glob.glob(os.path.join(SRC, folder, "**", "*." + end), recursive=True):
                source += read(file)
    names = test_names()
    docs = ["README.md", "COPYING", "tests/README.md"]
    docs += sorted(os.path.relpath(doc, SRC) for doc in glob.glob(os.path.join(SRC, "docs", "*.md")))
    for path in docs:
        text = read(path)
        check_links(path, text)
        check_paths(path, text)
        check_functions(path, text, source)
        check_dev(path, text)
        check_verbs(path, text, sidetrack)
        if names is not None:
            check_tests(path, text, names)
    # Every file says its licence, and the licence is there.
    for name in set(re.findall(r"\b(L?GPL-[\d.]+-(?:only|or-later))\b", read("COPYING"))):
        check(os.path.exists(os.path.join(SRC, "LICENSES", name + ".txt")), "COPYING", f"LICENSES/{name}.txt is missing")
    if names is None:
        print("skipped: not every target is set up, so the names of tests are not known")
    print(f"{passed} passed, {failed} failed, {int(names is None)} skipped")
    return failed != 0


sys.exit(main())
