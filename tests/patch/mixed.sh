#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Two functions that have to change together, patched and unpatched under threads, signals, new threads and forks that call them all the
# time: nobody may see a mixture. Usage: mixed.sh SIDETRACK MIXED FIX.so WHOLE.so
ST=$1 MIXED=$2 FIX=$3 WHOLE=$4
. "$(dirname "$0")/../probe/lib.sh"
cp "$MIXED" "$T/mixed"
says() {
	n=$(grep -c says "$T/said")
	kill -USR1 $TARGET
	wait_for sh -c "[ \$(grep -c says '$T/said') -gt $n ]"
	tail -1 "$T/said"
}
run() {
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = 0 ]; then ok; else bad "$*: exit status $got: $(cat "$T/err")"; fi
}
rounds=${SIDETRACK_LONG:+100}
for threads in 1 4; do
	: >"$T/said"
	"$T/mixed" $threads "$T/said" 2>"$T/said.err" &
	TARGET=$!
	wait_for grep -q ready "$T/said"
	for name in mixed_fix mixed_whole; do
		file=$FIX
		[ $name = mixed_fix ] || file=$WHOLE
		i=0
		while [ $i -lt ${rounds:-3} ]; do
			i=$((i + 1))
			run patch apply -p $TARGET --allow-unsigned --timeout 60s "$file"
			is "$name, $threads threads: applied" "$(says)" "says 132"
			run patch revert -p $TARGET --timeout 60s $name
			is "$name, $threads threads: reverted" "$(says)" "says 20"
		done
	done
	run detach -p $TARGET
	clean "$threads threads" $TARGET
	kill $TARGET
	wait $TARGET
	is "$threads threads: status; $(cat "$T/said.err")" $? 0
	TARGET=
done
finish
