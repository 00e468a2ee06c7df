#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# C++ exceptions, cancellation and backtrace() through functions that a patch has replaced: the program comes to the same as without it,
# while threads throw all the time, and with return probes on top. Usage: exceptions.sh SIDETRACK THROWING STATIC FIX.so OWN.so [NOTABLE.so]
# STATIC: the same program with a C++ runtime of its own; OWN: a patch with types of its own; NOTABLE: one that nobody can unwind.
ST=$1 PROGRAM=$2 STATIC=$3 FIX=$4 OWN=$5 NOTABLE=$6
T=$(mktemp -d) || exit 1
passed=0 failed=0
TARGET= PROBE=
trap 'kill -9 $TARGET $PROBE 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
# st STATUS ARGS...: output in $T/out and $T/err
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
apply() { "$ST" patch apply --allow-unsigned -p $TARGET "$1" >"$T/out" 2>"$T/err"; }
# until FILE PATTERN: false if it does not come
until_line() {
	i=0
	until grep -q "$2" "$1"; do
		i=$((i + 1))
		[ $i -lt 1500 ] || return 1
		sleep 0.02
	done
}
# start PROGRAM THREADS: patches name it by its file name
start() {
	cp "$1" "$T/throwing"
	rm -f "$T/stdin"
	mkfifo "$T/stdin"
	: >"$T/target"
	"$T/throwing" $2 <"$T/stdin" >"$T/target" 2>&1 &
	TARGET=$!
	exec 3>"$T/stdin"
	until_line "$T/target" ready || bad "the program does not begin"
}
ask() {
	n=$(wc -l <"$T/target")
	echo "$1" >&3
	i=0
	while [ "$(wc -l <"$T/target")" = "$n" ] && kill -0 $TARGET 2>/dev/null && [ $i -lt 1500 ]; do
		i=$((i + 1))
		sleep 0.02
	done
	tail -1 "$T/target"
}
# finish COMMAND STATUS LAST; no command: it ends by itself
finish() {
	if [ -n "$1" ]; then echo "$1" >&3; fi
	exec 3>&-
	wait $TARGET
	is "its exit status" $? $2
	is "its last word" "$(tail -1 "$T/target")" "$3"
	TARGET=
}
# with PATCHED: what the program says of itself
all_is_well() {
	is "$1" "$(ask sum)" "$SUM patched $2"
	is "$1: cancelled" "$(ask cancel)" "cancelled alive 0"
	is "$1: backtrace()" "$(ask trace)" "traced 1"
}

# ---- alone: nothing is left alive
for program in "$PROGRAM" "$STATIC"; do
	start "$program" 0
	first=$(ask sum)
	SUM=${first% patched 0}
	is "nothing is alive" "${SUM##* alive }" 0
	# With no word before it that would load an unwinder, in the one that brings its own.
	if [ "$program" = "$PROGRAM" ]; then all_is_well "before" 0; fi
	st 0 patch apply --allow-unsigned -p $TARGET "$FIX"
	is "no warning" "$(cat "$T/err")" ""
	all_is_well "applied" 1
	st 0 patch revert -p $TARGET throwing_fix
	is "nothing is left of it" "$(grep -c "${FIX##*/}" /proc/$TARGET/maps)" 0
	all_is_well "reverted" 0
	st 0 patch apply --allow-unsigned -p $TARGET "$FIX"
	st 0 detach -p $TARGET
	is "nothing is left" "$(grep -c -e "${FIX##*/}" -e sidetrack /proc/$TARGET/maps)" 0
	all_is_well "detached" 0
	finish end 0 ok
done

# ---- what may not throw ends the program as it should, from within a patch
start "$PROGRAM" 0
st 0 patch apply --allow-unsigned -p $TARGET "$FIX"
echo quiet >&3
until_line "$T/target" terminate
like "what does not throw" "$T/target" '^quiet 3$'
finish "" 7 terminate

# ---- a type that only the patch has: its memory stays
start "$PROGRAM" 2
st 0 patch apply --allow-unsigned -p $TARGET "$OWN"
is "a type of its own" "$(ask sum)" "$SUM patched 1"
st 0 patch revert -p $TARGET throwing_own
like "it stays" "$T/err" "patch throwing_own stays in memory until the process ends: exceptions of its own types"
is "a type of its own, reverted" "$(ask sum)" "$SUM patched 0"
st 0 patch apply --allow-unsigned -p $TARGET "$OWN"
is "a type of its own, once more" "$(ask sum)" "$SUM patched 1"
st 0 detach -p $TARGET
is "a type of its own, detached" "$(ask sum)" "$SUM patched 0"
is "of sidetrack nothing is left" "$(grep -c sidetrack /proc/$TARGET/maps)" 0
if [ -n "$NOTABLE" ]; then
	st 1 patch apply --allow-unsigned -p $TARGET "$NOTABLE"
	like "nobody can unwind it" "$T/err" "uses exceptions, and they could not pass through it: it has no table of its frames"
	is "after that" "$(ask sum)" "$SUM patched 0"
fi
finish end 0 ok

# ---- return probes on the same functions, pending while exceptions pass
# In a slow machine there would always be a thread in one, and the patch's memory stay.
threads=2
[ "${SIDETRACK_VM:-}" = 1 ] && threads=0
start "$PROGRAM" $threads
"$ST" probe -p $TARGET -c 'r:source st_test_source' 'r:middle st_test_middle' 'r:catcher st_test_catcher' >"$T/probe" 2>"$T/probe.err" &
PROBE=$!
i=0
until "$ST" status -p $TARGET 2>/dev/null | grep -q catcher || [ $i -gt 500 ]; do
	i=$((i + 1))
	sleep 0.02
done
all_is_well "probed" 0
st 0 patch apply --allow-unsigned -p $TARGET "$FIX"
all_is_well "probed and patched" 1
st 0 patch revert -p $TARGET throwing_fix
all_is_well "probed, no more patched" 0
st 0 patch apply --allow-unsigned -p $TARGET "$FIX"
kill -INT $PROBE
wait $PROBE
is "the probe's exit status" $? 0
PROBE=
like "it has seen something" "$T/probe" '[1-9]'
all_is_well "no more probed" 1
finish end 0 ok

# ---- many times, while threads throw
rounds=6
[ "${SIDETRACK_VM:-}" = 1 ] && rounds=3
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=200
start "$PROGRAM" 2
i=0
while [ $i -lt $rounds ]; do
	apply "$FIX" || bad "round $i: $(cat "$T/err")"
	if [ $((i % 5)) = 0 ]; then all_is_well "round $i" 1; fi
	"$ST" patch revert -p $TARGET throwing_fix 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	i=$((i + 1))
done
i=0
while [ $i -lt 3 ]; do
	apply "$FIX" || bad "detached from $i times: $(cat "$T/err")"
	"$ST" detach -p $TARGET 2>"$T/err" || bad "detached from $i times: $(cat "$T/err")"
	i=$((i + 1))
done
is "after $rounds rounds" "$(ask sum)" "$SUM patched 0"
finish end 0 ok
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
