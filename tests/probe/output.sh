#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The path of hits to the user under load: none is lost without being counted, a reader that does not read keeps neither the program nor
# the tool, and the end comes soon.
# Usage: output.sh LIB SIDETRACK HAMMER
ST=$2
. "$1"
cp "$3" "$T/hammer"
HAMMER=$T/hammer
calls=200000
# more hits than the ring has room for (8 MiB; a hit takes 48 bytes at least)
full=200000
[ -n "${SIDETRACK_VM:-}" ] && calls=5000

hits() { "$ST" status -p $TARGET | sed -n 's/^probe h \([0-9]*\) .*/\1/p'; }
more_than() { [ "$(hits)" -gt "$1" ]; }

# ---- nothing is lost without being counted
probe "counting" 0 -c 'p:h hammer:hit' -- "$HAMMER" 4 $calls
is "counting" "$(grep '^h ' "$T/out")" "h $((4 * calls))"
"$ST" probe -o "$T/hits" 'p:h hammer:hit n=$arg1:s32' -- "$HAMMER" 4 $calls >"$T/out" 2>"$T/err"
is "printing: exit status" $? 0
printed=$(wc -l <"$T/hits" | tr -d ' ')
lost=$(sed -n 's/^sidetrack: probe: \([0-9]*\) hits were lost.*/\1/p' "$T/err")
is "printed and lost" "$((printed + ${lost:-0}))" $((4 * calls))
lines "every line is whole" "$T/hits" '^hammer-[0-9]+ \[([0-9]+|---)\] [0-9]+\.[0-9]{6}: h: \(hit\+0x0\) n=[0-9]+$' "$printed"
echo "$printed of $((4 * calls)) hits were printed"

# ---- Ctrl-C while four threads hammer
"$HAMMER" 4 0 >"$T/target" &
TARGET=$!
wait_for grep -q ready "$T/target"
for mode in -c '' --json; do
	# The shell's background jobs ignore SIGINT; the tool waits for it all the same.
	: >"$T/out"
	"$ST" probe -p $TARGET $mode 'p:h hit n=$arg1:s32' >>"$T/out" 2>"$T/err" &
	tool=$!
	case $mode in
	-c) wait_for sh -c "'$ST' status -p $TARGET | grep -q 'probe h [1-9]'" ;;
	*) wait_for test -s "$T/out" ;;
	esac
	sleep 0.5
	kill -INT $tool
	wait_for sh -c "! kill -0 $tool" || bad "Ctrl-C $mode: the tool does not end"
	wait $tool
	is "Ctrl-C $mode: exit status" $? 0
	clean "Ctrl-C $mode" $TARGET
	if [ -s "$T/out" ]; then ok; else bad "Ctrl-C $mode: nothing was printed: $(cat "$T/err")"; fi
done

# ---- a reader that does not read
mkfifo "$T/pipe"
sleep 1000 <"$T/pipe" &
reader=$!
"$ST" probe -p $TARGET 'p:h hit' >"$T/pipe" 2>"$T/err" &
tool=$!
sleep 1
# The tool stands; the program does not.
before=$(awk '{ print $14 }' /proc/$TARGET/stat)
sleep 1
after=$(awk '{ print $14 }' /proc/$TARGET/stat)
if [ "$after" -gt "$before" ]; then ok; else bad "a full pipe: the program stands"; fi
before=$(hits)
wait_for more_than $((before + full)) || bad "a full pipe: too few hits for a full ring: $before, $(hits)"
kill -INT $tool
wait_for sh -c "! kill -0 $tool" || bad "a full pipe: the tool does not end by Ctrl-C"
wait $tool
is "a full pipe: exit status" $? 0
like "a full pipe: what is said" "$T/err" 'hits were lost'
like "a full pipe: what was not written" "$T/err" 'the last lines were not written'
kill $reader
clean "a full pipe" $TARGET

# ---- a tool that is stopped, and one that is killed
: >"$T/out"
"$ST" probe -p $TARGET 'p:h hit' >>"$T/out" 2>"$T/err" &
tool=$!
wait_for test -s "$T/out"
kill -STOP $tool
before=$(awk '{ print $14 }' /proc/$TARGET/stat)
sleep 1
after=$(awk '{ print $14 }' /proc/$TARGET/stat)
if [ "$after" -gt "$before" ]; then ok; else bad "a stopped tool: the program stands"; fi
before=$(hits)
wait_for more_than $((before + full)) || bad "a stopped tool: too few hits for a full ring: $before, $(hits)"
kill -CONT $tool
sleep 0.2
kill -INT $tool
wait $tool
is "a stopped tool: exit status" $? 0
like "a stopped tool: what is said" "$T/err" 'hits were lost'
: >"$T/out"
"$ST" probe -p $TARGET 'p:h hit' >>"$T/out" 2>"$T/err" &
tool=$!
wait_for test -s "$T/out"
kill -KILL $tool
wait $tool 2>/dev/null
"$ST" detach -p $TARGET 2>/dev/null
is "a killed tool: detach" $? 0

# ---- a disk that is full
if [ -c /dev/full ]; then
	"$ST" probe -p $TARGET -n 100000 'p:h hit' >/dev/full 2>"$T/err"
	is "a full disk: exit status" $? 1
	like "a full disk" "$T/err" "the output can't be written"
	probe "-o where it can't be" 1 -p $TARGET -o /nowhere/file 'p:h hit'
	clean "a full disk" $TARGET
fi
kill -TERM $TARGET
wait $TARGET
is "the program" $? 0
TARGET=
finish
