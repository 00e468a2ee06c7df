#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack probe --follow: children of every kind, and the programs that they execute; without it, none of them.
# Usage: follow.sh LIB SIDETRACK FAMILY
ST=$2
. "$1"
cp "$3" "$T/family"
FAMILY=$T/family
# Numbers that work() was called with, in order.
numbers() { sed -n 's/.* n=\([0-9]*\)$/\1/p' "$T/out" | sort -n | tr '\n' ' '; }

probe "alone" 0 'p:w family:work n=$arg1:s32' -- "$FAMILY" threads fork exec vfork spawn daemon
is "alone" "$(numbers)" "10 11 12 70 "
is "alone: one process" "$(sed -n 's/^family-\([0-9]*\) .* n=70$/\1/p' "$T/out" | wc -l | tr -d ' ')" 1
probe "counting alone" 0 -c 'p:w family:work n=$arg1:s32' -- "$FAMILY" threads fork exec
is "counting alone" "$(cat "$T/out")" "w 4"

probe "all" 0 --follow 'p:w work n=$arg1:s32' -- "$FAMILY" threads fork exec vfork spawn daemon
is "all" "$(numbers)" "10 11 12 20 21 22 30 31 32 40 70 "
# Three forked, three executed, one daemon, the three threads and the first one.
is "all: threads" "$(sed -n 's/^[a-z]*-\([0-9]*\) .*/\1/p' "$T/out" | sort -u | wc -l | tr -d ' ')" 11
is "all: nothing is said" "$(cat "$T/err")" ""
for mode in fork exec vfork spawn; do
	probe "$mode" 0 --follow -c 'p:w work' 'p:m main' -- "$FAMILY" $mode
	case $mode in
	fork) want="w 4 m 1 " ;;
	*) want="w 2 m 2 " ;;
	esac
	is "$mode" "$(tr '\n' ' ' <"$T/out")" "$want"
	is "$mode: nothing is said" "$(cat "$T/err")" ""
done
"$ST" --json probe --follow 'p:w work n=$arg1:s32' -- "$FAMILY" fork exec >"$T/out" 2>"$T/err"
is "processes in --json" "$(sed 's/.*"pid":\([0-9]*\).*/\1/' "$T/out" | sort -u | wc -l | tr -d ' ')" 5
probe "itself" 0 --follow 'p:w work n=$arg1:s32' -- "$FAMILY" fork self
is "itself" "$(numbers)" "20 21 22 60 "
probe "an exec that fails" 0 --follow 'p:w work n=$arg1:s32' -- "$FAMILY" missing
is "an exec that fails" "$(numbers)" "50 70 "
if [ -z "${SIDETRACK_VM:-}" ]; then
	probe "a shell" 0 --follow 'p:w work n=$arg1:s32' -- sh -c "$FAMILY work 1; ($FAMILY work 2 & wait); $FAMILY work 3"
	is "a shell" "$(numbers)" "1 2 3 "
else
	# Its shell is a static program without symbols, whose execve() has no name.
	probe "a shell" 1 --follow 'p:w work n=$arg1:s32' -- sh -c "$FAMILY work 1; $FAMILY work 2"
	like "a shell" "$T/err" 'executes will not be followed: it has no execve'
fi

# ---- children that are still there when the tool ends
"$FAMILY" until "$T/armed" daemon until "$T/end" >/dev/null &
TARGET=$!
wait_for grep -q family /proc/$TARGET/comm
"$ST" probe --follow -p $TARGET 'p:w work n=$arg1:s32' >"$T/out" 2>"$T/err" &
tool=$!
armed $TARGET w
touch "$T/armed"
wait_for grep -q 'n=40' "$T/out" || bad "the daemon is not seen: $(cat "$T/err")"
kill -INT $tool
wait $tool
is "Ctrl-C: exit status" $? 0
clean "Ctrl-C" $TARGET
touch "$T/end"
wait $TARGET
is "Ctrl-C: the program" $? 0
TARGET=

# ---- a forked child outlives its parent: it is waited for, and its code is as it was, too
# orphan: the program has ended, its child $TARGET has not
orphan() {
	rm -f "$T/armed" "$T/end"
	"$FAMILY" until "$T/armed" orphan "$T/end" >"$T/child" &
	parent=$!
	wait_for grep -q family /proc/$parent/comm
	"$ST" probe --follow -p $parent 'p:w work n=$arg1:s32' >"$T/out" 2>"$T/err" &
	tool=$!
	armed $parent w
	touch "$T/armed"
	wait $parent
	TARGET=$(cat "$T/child")
	wait_for grep -q 'n=70' "$T/out" || bad "the parent is not seen: $(cat "$T/err")"
	sleep 0.3
	if kill -0 $tool 2>/dev/null; then ok; else bad "the tool does not wait for the child: $(cat "$T/err")"; fi
}
orphan
touch "$T/end"
wait $tool
is "a child that outlives its parent: exit status" $? 0
is "a child that outlives its parent" "$(numbers)" "41 70 "
orphan
kill -INT $tool
wait $tool
is "an orphan: exit status" $? 0
clean "an orphan" $TARGET
"$ST" detach -p $TARGET 2>/dev/null
if [ -z "${SIDETRACK_VM:-}" ]; then
	if said=$("$SIDETRACK_SRC/scripts/compare-code.py" $TARGET 2>&1); then ok; else bad "an orphan: $said"; fi
fi
touch "$T/end"
if wait_for sh -c "! kill -0 $TARGET"; then ok; else bad "an orphan hangs"; fi
TARGET=
finish
