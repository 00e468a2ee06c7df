#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# examples/probe-api.c says what it should.
out=$($MESON_EXE_WRAPPER "$1") || { echo "$out"; exit 1; }
echo "$out"
passed=0 failed=0

says() {	# says PATTERN
	if echo "$out" | grep -Eq "$1"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: nothing like '$1'"
	fi
}

says '^malloc was asked for [3-9][0-9]{3} bytes$'
says '^sum_to\+0 (nop|move|breakpoint): 1$'
says '^sum_to\+[0-9]+ (nop|move|breakpoint): 100$'
says '^sum_to\(3\) = 6, sum_to\(100\) = -5050$'
says '^sum_to\(100\) = 5050; it took some time: yes$'
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
