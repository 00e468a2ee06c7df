#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# gdb walks through pending returns of a program that links us.
#
#	gdb.sh PROGRAM GDB-SCRIPT
command -v gdb >/dev/null || { echo "no gdb"; exit 77; }
export SIDETRACK_RETURNS="$(basename "$1"):*"
out=$(gdb -nx -batch -ex "source $2" -ex 'break leaf if n == 5' -ex run -ex bt -ex kill "$1" 2>&1)
n=$(echo "$out" | grep -c ' in down (')
m=$(echo "$out" | grep -c ' in main (')
if [ "$n" = 46 ] && [ "$m" = 1 ]; then
	echo "1 passed, 0 failed, 0 skipped"
else
	echo "$out" | tail -n 20
	echo "FAILED: $n calls of down, $m of main"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
