#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What patches get from the agent. Shadow variables: a patch makes them, the next one finds them, detaching frees them; under threads, and
# where the program may not map memory. Quiescent points: threads that stay in a patch's function go on with the next patch.
# Usage: shadow.sh SIDETRACK SHADOWED FIRST.so SECOND.so STAYS.so QUIESCENT.so ONTOP.so
ST=$1 PROGRAM=$2 FIRST=$3 SECOND=$4 STAYS=$5 QUIESCENT=$6 ONTOP=$7
T=$(mktemp -d) || exit 1
passed=0 failed=0
TARGET=
trap 'kill -9 $TARGET 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
# st STATUS ARGS...: output in $T/out and $T/err
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
# start HOW
start() {
	rm -f "$T/stdin"
	mkfifo "$T/stdin"
	: >"$T/target"
	"$T/shadowed" $1 <"$T/stdin" >"$T/target" 2>&1 &
	TARGET=$!
	exec 3>"$T/stdin"
	i=0
	until grep -q ready "$T/target" || [ $i -gt 1500 ]; do
		i=$((i + 1))
		sleep 0.02
	done
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
finish() {
	echo end >&3
	exec 3>&-
	wait $TARGET
	is "its exit status" $? 0
	is "its last word" "$(tail -1 "$T/target")" ok
	TARGET=
}

cp "$PROGRAM" "$T/shadowed"
start idle
is "before" "$(ask "use 1")" "0 constructed 0 destroyed 0"
maps=$(wc -l </proc/$TARGET/maps)
st 0 patch apply --allow-unsigned -p $TARGET "$FIRST"
is "the first use" "$(ask "use 1")" "11 constructed 1 destroyed 0"
is "the second" "$(ask "use 1")" "21 constructed 1 destroyed 0"
is "of another object" "$(ask "use 2")" "11 constructed 2 destroyed 0"
st 0 patch revert -p $TARGET shadow_first
is "without a patch" "$(ask "use 1")" "0 constructed 2 destroyed 0"
st 0 patch apply --allow-unsigned -p $TARGET "$SECOND"
is "the next patch finds it" "$(ask "use 1")" "31 constructed 2 destroyed 0"
is "and makes its own" "$(ask "use 3")" "12 constructed 3 destroyed 0"
is "frees one" "$(ask "drop 2")" "0 constructed 3 destroyed 1"
is "once" "$(ask "drop 2")" "0 constructed 3 destroyed 1"
is "which is made anew" "$(ask "use 2")" "12 constructed 4 destroyed 1"
is "frees all" "$(ask all)" "0 constructed 4 destroyed 4"
is "after that" "$(ask "use 1")" "12 constructed 5 destroyed 4"
st 0 detach -p $TARGET
is "detached" "$(ask "use 1")" "0 constructed 5 destroyed 4"
is "nothing is left" "$(wc -l </proc/$TARGET/maps) $(grep -c sidetrack /proc/$TARGET/maps)" "$maps 0"
st 0 patch apply --allow-unsigned -p $TARGET "$FIRST"
is "what was detached from is forgotten" "$(ask "use 1")" "11 constructed 6 destroyed 4"
finish

# ---- whoever maps memory is killed
start idle
is "no mappings" "$(ask nommap)" "0 constructed 0 destroyed 0"
"$ST" patch apply --allow-unsigned -p $TARGET "$FIRST" >"$T/out" 2>"$T/err"
got=$?
if grep -q 'seccomp filter' "$T/err"; then
	skipped=1
	echo "skipped: the tool may not suspend a seccomp filter here"
else
	skipped=0
	is "applied without mappings" $got 0
	is "used without mappings" "$(ask "use 1")" "11 constructed 1 destroyed 0"
	st 0 detach -p $TARGET
	is "detached without mappings" "$(ask "use 1")" "0 constructed 1 destroyed 0"
fi
finish

# ---- threads use and drop them all the time
rounds=6
[ "${SIDETRACK_VM:-}" = 1 ] && rounds=3
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=100
start busy
i=0
while [ $i -lt $rounds ]; do
	"$ST" patch apply --allow-unsigned -p $TARGET "$FIRST" 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	"$ST" patch revert -p $TARGET shadow_first 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	"$ST" patch apply --allow-unsigned -p $TARGET "$SECOND" 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	if [ $((i % 3)) = 2 ]; then
		"$ST" detach -p $TARGET 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	else
		"$ST" patch revert -p $TARGET shadow_second 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	fi
	i=$((i + 1))
done
st 0 detach -p $TARGET
is "after $rounds rounds" "$(ask "use 1")" 0
finish

# ---- a patch's own quiescent point
for patch in "$STAYS" "$QUIESCENT"; do
	start busy
	st 0 patch apply --allow-unsigned -p $TARGET "$patch"
	if [ "$patch" = "$QUIESCENT" ]; then
		st 0 patch apply --allow-unsigned -p $TARGET --timeout 60s "$ONTOP"
	else
		st 3 patch apply --allow-unsigned -p $TARGET --timeout 300ms "$ONTOP"
	fi
	is "threads may go" "$(ask "drop 1")" 0
	finish
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
