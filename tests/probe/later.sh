#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Objects that are loaded later: their probes are there before their constructors run, and again when they come back; what has gone is
# forgotten, also when another object comes in its place.
# Usage: later.sh LIB SIDETRACK LATER FIRST SECOND
ST=$2 LATER=$3 FIRST=$4 SECOND=$5
. "$1"
numbers() { sed -n 's/.* n=\([0-9]*\)$/\1/p' "$T/out" | tr '\n' ' '; }

probe "a plugin" 0 'p:f late_first n=$arg1:s32' -- "$LATER" "$FIRST" "$SECOND" 1
is "a plugin: from its constructor on" "$(numbers)" "1 2 "
like "a plugin: it is waited for" "$T/err" 'f: nothing in process [0-9]+ matches late_first yet'
like "a plugin: it comes" "$T/err" 'f: armed in process [0-9]+, on 1 place'
probe "two plugins, again and again" 0 -c 'p:f late_first' 'p:s late_second' -- "$LATER" "$FIRST" "$SECOND" 10
is "two plugins, again and again" "$(tr '\n' ' ' <"$T/out")" "f 20 s 20 "
probe "by a glob" 0 -c 'p:l *late-first*:late_*' 'p:main main' -- "$LATER" "$FIRST" "$SECOND" 3
is "by a glob" "$(tr '\n' ' ' <"$T/out")" "l 6 main 1 "
probe "objects of the program" 0 -c 'p:d lib*:dlopen' -- "$LATER" "$FIRST" "$SECOND" 2
is "objects of the program" "$(cat "$T/out")" "d 4"

# ---- a process that runs
"$LATER" "$FIRST" "$SECOND" 5 "$T/armed" &
TARGET=$!
wait_for grep -q later /proc/$TARGET/comm
probe "not there, and nobody waits" 1 -p $TARGET 'p late_first'
like "not there, and nobody waits" "$T/err" "no function of process $TARGET matches late_first"
: >"$T/err"
"$ST" probe -p $TARGET --wait -c 'p:f late_first' 'p:s late_second' >"$T/out" 2>"$T/err" &
tool=$!
wait_for grep -q 's: nothing in process' "$T/err" || bad "--wait: it does not say that it waits: $(cat "$T/err")"
touch "$T/armed"
wait $tool
is "--wait: exit status" $? 0
is "--wait" "$(tr '\n' ' ' <"$T/out")" "f 10 s 10 "
wait $TARGET
is "the program" $? 0
TARGET=

# ---- the tool is stopped, or dead: the program waits once, a moment
# waiting ROUNDS: a tool that waits for the program's first library
waiting() {
	rm -f "$T/armed"
	: >"$T/err"
	"$ST" probe -c 'p:f late_first' -- "$LATER" "$FIRST" "$SECOND" $1 "$T/armed" >"$T/out" 2>"$T/err" &
	tool=$!
	wait_for grep -q 'f: nothing in process' "$T/err" || bad "the tool does not say that it waits: $(cat "$T/err")"
	TARGET=$(sed -n 's/.* nothing in process \([0-9]*\) .*/\1/p' "$T/err")
}
waiting 20
kill -STOP $tool
touch "$T/armed"
sleep 2
kill -CONT $tool
wait $tool
# 1: the libraries had come and gone before it went on.
status=$?
if [ $status -le 1 ]; then ok; else bad "a tool that was stopped: exit status $status: $(cat "$T/err")"; fi
unlike "a tool that was stopped: the program" "$T/err" 'ended'
waiting 20
kill -KILL $tool
wait $tool 2>/dev/null
touch "$T/armed"
if wait_for sh -c "! kill -0 $TARGET"; then ok; else bad "the program hangs"; fi
TARGET=
finish
