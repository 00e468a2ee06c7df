#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A thread that never leaves what a jump would displace: the probe is a breakpoint there, and no refusal. Where a jump displaces one
# instruction, nobody is in the way of it.
# Usage: stays.sh LIB SIDETRACK STAYS several|one
ST=$2 STAYS=$3 HOW=$4
. "$1"
mkfifo "$T/stdin"
"$STAYS" <"$T/stdin" >"$T/said" &
TARGET=$!
exec 9>"$T/stdin"
name=$(basename "$STAYS")
kind=move
[ "$HOW" = one ] || kind=breakpoint

# armed_as NAME KIND: the probe is there, and so
armed_as() {
	armed $TARGET "$1"
	is "$1: how" "$("$ST" status -p $TARGET | grep "^probe $1 " | grep -Eo 'nop|move|breakpoint')" "$2"
}
"$ST" probe -p $TARGET -c "p:stays $name:stays" >"$T/count" 2>"$T/err" 9>&- &
first=$!
armed_as stays "$kind"
kill -INT $first
wait $first
is "an entry: exit status" $? 0
like "an entry: hits" "$T/count" '^stays [1-9]'
"$ST" probe -p $TARGET -c "r:back $name:stays" >"$T/count" 2>"$T/err" 9>&- &
first=$!
armed_as back "$kind"
probe "entry and return" 0 -p $TARGET -n 20 "p:in $name:stays" "r:out $name:stays n=\$retval:s32"
lines "entry and return: hits" "$T/out" ' in: ' 10
lines "entry and return: hits" "$T/out" ' out: .* n=[1-9]' 10
kill -INT $first
wait $first
is "a return: exit status" $? 0
like "a return: hits" "$T/count" '^back [1-9]'
"$ST" detach -p $TARGET 2>"$T/err"
is "detach: $(cat "$T/err")" $? 0
clean "afterwards" $TARGET
exec 9>&-
wait $TARGET
is "the program's exit status" $? 7
is "the program" "$(cat "$T/said")" "0 wrong"
TARGET=
finish
