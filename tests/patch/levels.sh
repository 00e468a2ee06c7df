#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Levels and transitions: who is in the way, timeouts, reversal, force, a tool that is interrupted or killed, another tool meanwhile.
# Usage: levels.sh LIB SIDETRACK PROGRAM THREAD.so PROCESS.so INDEPENDENT.so OTHER.so
LIB=$1 ST=$2 PROGRAM=$3 THREAD=$4 PROCESS=$5 INDEPENDENT=$6 OTHER=$7
T=$(mktemp -d) || exit 1
. "$LIB"
start

# ---- nobody is in the way
is "before" "$(version)" "1 1"
for patch in thread process; do
	[ $patch = thread ] && file=$THREAD || file=$PROCESS
	apply 0 "$file"
	is "$patch applied" "$(version)" "2 2"
	st 0 patch list -p $TARGET
	is "$patch list" "$(cat "$T/out")" "$patch enabled $patch commanded hold,first,second,outer"
	revert 0 $patch
	is "$patch reverted" "$(version)" "1 1"
	patches "$patch gone" ""
done

# ---- a thread is
tell hold 0 >/dev/null
for file in "$THREAD" "$PROCESS"; do
	apply 3 --timeout 200ms "$file"
	like "busy: who" "$T/err" 'thread [0-9]+ .*hold'
	like "busy: for how long" "$T/err" 'in the way for [0-9]+\.[0-9] s'
	patches "busy: nothing is left" ""
	is "busy: as before" "$(version)" "1 1"
done
st 3 patch check -p $TARGET --allow-unsigned "$THREAD"
like "check: busy" "$T/err" 'thread [0-9]+ .*hold'
st 0 patch check -p $TARGET --allow-unsigned "$INDEPENDENT"
apply 3 --timeout 200ms --level thread "$INDEPENDENT"
apply 3 --timeout 200ms --level process "$INDEPENDENT"
apply 1 --level independent "$THREAD"
like "a lower level" "$T/err" 'asks for level thread; .* independent, which is lower'
apply 0 "$INDEPENDENT"
is "independent: old calls end in the old code" "$(tell free 0)" "freed 0 1"
tell hold 0 >/dev/null
is "and new ones in the new" "$(tell free 0)" "freed 0 2"
# A thread in the patch: it is out of use, and its memory stays until a later revert.
tell hold 0 >/dev/null
revert 3 independent
like "in the patch" "$T/err" 'patch independent is disabled, but its memory stays'
patches "in the patch" "independent disabled "
is "the call in it" "$(tell free 0)" "freed 0 2"
revert 0 independent
patches "a later revert" ""
st 0 patch check -p $TARGET --allow-unsigned "$THREAD"

# ---- detach reverts, and waits as revert does
tell hold 0 >/dev/null
apply 0 "$INDEPENDENT"
is "independent, held in old code" "$(tell free 0)" "freed 0 1"
apply 0 "$THREAD"
tell hold 0 >/dev/null
st 3 detach -p $TARGET
like "detach: busy" "$T/err" 'patch thread could not be disabled, nothing was changed: thread [0-9]+ .*hold'
patches "detach: busy, all stay" "independent enabled thread enabled "
is "detach: busy, as before" "$(version)" "2 2"
is "detach: the held call" "$(tell free 0)" "freed 0 2"
st 0 detach -p $TARGET
is "detach: old again" "$(version)" "1 1"
patches "detach: none" ""

# ---- left in transition, gone on with, reversed
tell hold 0 >/dev/null
apply 0 --no-wait "$THREAD"
like "no wait" "$T/err" 'thread is in transition'
patches "in transition" "thread transition "
is "who is out of it runs the new functions" "$(version)" "2 2"
st 0 status -p $TARGET
like "status" "$T/out" '^patch thread transition thread commanded [a-z,]*: .*hold'
apply 3 "$OTHER"
like "one transition at a time" "$T/err" 'patch thread is in transition'
patches "it is still there alone" "thread transition "
apply 3 --timeout 200ms "$THREAD"
patches "gone on with, and reversed by the timeout" ""
is "reversed" "$(version)" "1 1"
apply 0 --no-wait "$THREAD"
revert 0 thread
patches "reversed by revert" ""
is "reversed by revert: answers" "$(version)" "1 1"
apply 0 --no-wait "$THREAD"
is "the old call" "$(tell free 0)" "freed 0 1"
apply 0 "$THREAD"
patches "gone on with" "thread enabled "
apply 1 "$THREAD"
like "twice" "$T/err" 'a patch thread is there already'

# ---- the same on the way back
tell hold 1 >/dev/null
revert 3 --timeout 200ms thread
like "revert: who" "$T/err" 'thread [0-9]+ .*hold'
patches "still enabled" "thread enabled "
is "still enabled: answers" "$(version)" "2 2"
revert 0 --no-wait thread
patches "on its way out" "thread transition "
is "who is out of it runs the old functions" "$(version)" "1 1"
apply 0 "$THREAD"
patches "reversed by apply" "thread enabled "
is "reversed by apply: answers" "$(version)" "2 2"
is "the call meanwhile" "$(tell free 1)" "freed 1 2"
revert 0 thread
is "reverted at last" "$(version)" "1 1"

# ---- a tool that is interrupted, killed, overtaken
tell hold 2 >/dev/null
background() {
	"$ST" patch "$@" >"$T/bg.out" 2>"$T/bg.err" 3>&- &
	TOOL=$!
	until_true in_state "thread transition"
}
background apply -p $TARGET --allow-unsigned --timeout 100s "$THREAD"
kill -INT $TOOL
wait $TOOL
is "interrupted: status" $? 1
like "interrupted: why" "$T/bg.err" 'interrupted'
patches "interrupted: nothing is left" ""
is "interrupted: answers" "$(version)" "1 1"
background apply -p $TARGET --allow-unsigned --timeout 100s "$THREAD"
kill -KILL $TOOL
wait $TOOL 2>/dev/null
patches "killed" "thread transition "
revert 0 thread
patches "killed, then reverted" ""
background apply -p $TARGET --allow-unsigned --timeout 100s "$THREAD"
revert 0 thread
wait $TOOL
is "overtaken: status" $? 1
like "overtaken: why" "$T/bg.err" 'another sidetrack has reversed'
patches "overtaken: nothing is left" ""
background apply -p $TARGET --allow-unsigned --timeout 100s "$THREAD"
is "the last one leaves" "$(tell free 2)" "freed 2 1"
wait $TOOL
is "and it is enabled: status" $? 0
TOOL=
patches "and it is enabled" "thread enabled "
revert 0 thread

# ---- forced
tell hold 0 >/dev/null
apply 0 --timeout 100ms --force "$THREAD"
like "forced" "$T/err" 'was forced'
patches "forced" "thread enabled "
is "forced: answers" "$(version)" "2 2"
is "forced: the old call ends in the old code" "$(tell free 0)" "freed 0 1"
tell hold 0 >/dev/null
revert 0 --timeout 100ms --force thread
like "forced back" "$T/err" 'stays in memory'
patches "forced back" ""
is "forced back: answers" "$(version)" "1 1"
is "its memory stays" "$(grep -c version-thread "/proc/$TARGET/maps" | sed 's/^[1-9].*/some/')" some
is "so the call in it ends well" "$(tell free 0)" "freed 0 2"
apply 0 "$THREAD"
revert 0 thread

# ---- many times, while threads run through all of it
rounds=10
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=200
i=0
while [ $i -lt $rounds ]; do
	for file in "$THREAD" "$PROCESS"; do
		"$ST" patch apply -p $TARGET --allow-unsigned "$file" 2>"$T/err" 3>&- || bad "round $i: $(cat "$T/err")"
		name=$(basename "$file" .so)
		"$ST" patch revert -p $TARGET "${name#version-}" 2>"$T/err" 3>&- || bad "round $i: $(cat "$T/err")"
	done
	i=$((i + 1))
done
is "after $rounds rounds" "$(version)" "1 1"
# A forced transition makes mixtures; here nobody saw one, as outer() was not held.
finish
end
