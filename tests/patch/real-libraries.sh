#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# One patch of two stock libraries, two functions each that have to change together, in three processes with threads that call them all
# the time. Usage: real-libraries.sh SIDETRACK PROGRAM PATCH SOURCES
ST=$1 PROGRAM=$2 PATCH=$3 SRC=$4
. "$SRC/tests/probe/lib.sh"
processes=
trap 'kill $processes 2>/dev/null; rm -rf "$T"' EXIT
for n in 1 2 3; do
	"$PROGRAM" >"$T/said.$n" &
	eval "pid$n=\$!"
	processes="$processes $!"
	wait_for grep -q ready "$T/said.$n" || { echo "no zlib or no libcrypto: $(cat "$T/said.$n")"; exit 77; }
done
# says N WANTED: what process N says now
says() {
	lines=$(wc -l <"$T/said.$1")
	eval "kill -USR1 \$pid$1"
	wait_for sh -c "[ \$(wc -l <'$T/said.$1') -gt $lines ]"
	is "round $round, process $1" "$(tail -n 1 "$T/said.$1")" "$2"
}
run() {
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = 0 ]; then ok; else bad "round $round: $*: exit status $got: $(cat "$T/err")"; fi
}
rounds=4
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=100
round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	for p in $processes; do
		run patch apply -p $p --allow-unsigned --timeout 60s "$PATCH"
	done
	for n in 1 2 3; do
		says $n new
	done
	for p in $processes; do
		run patch revert -p $p --timeout 60s real_libraries
	done
	for n in 1 2 3; do
		says $n old
	done
	[ $failed = 0 ] || break
done
for n in 1 2 3; do
	eval "p=\$pid$n"
	run detach -p $p
	clean "process $n" $p
	if said=$("$SRC/scripts/compare-code.py" $p 2>&1); then ok; else bad "$said"; fi
	kill $p
	wait $p
	is "process $n: $(tail -n 1 "$T/said.$n")" $? 0
	like "process $n" "$T/said.$n" 'zlib [1-9][0-9]* old, [1-9][0-9]* new; libcrypto [1-9][0-9]* old, [1-9][0-9]* new; 0 wrong'
done
processes=
finish
