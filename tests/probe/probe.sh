#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack probe, from the command line, on a program whose arguments are known: what is printed, every way to end it,
# and the program unharmed after each of them. Usage: probe.sh SIDETRACK PROBED
ST=$1
PROBED=$2
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
TARGET=
trap 'kill $TARGET 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
# check NAME COMMAND...
check() {
	name=$1
	shift
	if "$@" >"$T/check" 2>&1; then ok; else bad "$name: $(cat "$T/check")"; fi
}
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
# like NAME FILE REGEX: some line matches
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
# wait_for COMMAND...: up to 10 s
wait_for() {
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -gt 100 ] && return 1
		sleep 0.1
	done
}

# Probes name the program by its file name.
cp "$PROBED" "$T/probed"
PROBED=$T/probed
start() {
	: >"$T/target"
	"$PROBED" >>"$T/target" &
	TARGET=$!
	wait_for grep -q ready "$T/target" || bad "the target does not start"
}
# The target ends as it should: everything it computed was right.
stop() {
	kill -TERM $TARGET
	wait $TARGET
	is "$1: exit status of the target" $? 0
	is "$1: last words of the target" "$(tail -1 "$T/target")" ok
	TARGET=
}
# probe NAME STATUS ARGS...: runs to its end; output in $T/out and $T/err
probe() {
	name=$1 want=$2
	shift 2
	"$ST" probe -p "$TARGET" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = "$want" ]; then ok; else bad "$name: exit status $got, not $want: $(cat "$T/err")"; fi
}
# A probe that prints, in the background: $tool
printing() {
	: >"$T/out"
	"$ST" probe -p $TARGET 'p:x peek' >>"$T/out" 2>"$T/err" &
	tool=$!
	wait_for test -s "$T/out" || bad "the probe prints nothing: $(cat "$T/err")"
}
clean() { is "$1: status" "$("$ST" status -p "$TARGET" 2>&1)" ""; }

start

# ---- what is printed
probe values 0 -n 1 'p:nine probed:nine a=$arg1:s32 s=+0($arg2):string c=$arg3 d=$arg4:u8 e=$arg5:s16 f=$arg6 g=$arg7 h=$arg8 i=$arg9'
is "one line" "$(wc -l <"$T/out" | tr -d ' ')" 1
if grep -q hello "$T/out"; then
	want='a=-1 s="hello" c=0x2 d=3 e=-4 f=0x5 g=0x6 h=0x7 i=0x8$'
else
	want='a=[0-9]+ s="bell\\x07 \\"quoted\\" ä" c=0x0 d=0 e=0 f=0x0 g=0x0 h=0x0 i=0x0$'
fi
like "the line" "$T/out" "^probed-$TARGET \[([0-9]{3}|---)\] [0-9]+\.[0-9]{6}: nine: \(nine\+0x0\) $want"
clean values
probe "bad pointers" 0 -n 20 'p peek number=+0($arg1):s32 text=+0($arg1):string'
like "a bad pointer" "$T/out" ': p_peek_0: \(peek\+0x0\) number=\(fault\) text=\(fault\)$'
like "a good pointer" "$T/out" ': p_peek_0: \(peek\+0x0\) number=4711 text="g'
is "20 lines" "$(wc -l <"$T/out" | tr -d ' ')" 20
case ${SIDETRACK_ARCH:-x86_64} in
arm) name=4 ;;
*) name=8 ;;
esac
probe "memory" 0 -n 1 "p shape xy=+0(\$arg1):s16[2] name=+0(+$name(\$arg1)):string first=+0(+$name(\$arg1)):char g=@global_number:u32 t=+0(@global_text):string imm=\\7:u64 comm=\$comm"
like "memory" "$T/out" 'xy=\{3,-4\} name="corner" first='"'c'"' g=4711 t="global text" imm=7 comm="probed"$'
probe "symbols" 0 -n 1 'p call_me fn=$arg1:symbol'
like "symbols" "$T/out" 'fn=peek\+0x0$'
probe "several" 0 -n 40 'p:a peek' 'p:b shape' 'p:m probed:many_*'
for n in 1 2 3 4 5 6 7 8; do like "globs" "$T/out" ": m: \(many_$n\+0x0\)$"; done
like "several a" "$T/out" ": a: \(peek\+0x0\)$"
like "several b" "$T/out" ": b: \(shape\+0x0\)$"
"$ST" --json probe -p $TARGET -n 30 'p:j nine a=$arg1:s32 s=+0($arg2):string bad=+0($arg1)' >"$T/out" 2>"$T/err"
is "json: exit status" $? 0
like "json" "$T/out" '^\{"comm":"probed","pid":'$TARGET',"tid":'$TARGET',"cpu":([0-9]+|null),"time":[0-9]+\.[0-9]{9},"name":"j","function":"nine\+0x0","args":\{"a":-1,"s":"hello","bad":null\}\}$'
if command -v python3 >/dev/null; then
	check "json is JSON" python3 -c '
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == 30, len(lines)
assert {line["args"]["s"] for line in lines} == {"hello", "bell\a \"quoted\" ä"}, lines
times = [line["time"] for line in lines]
assert times == sorted(times) and times[-1] - times[0] < 60, times
import time
assert abs(time.clock_gettime(time.CLOCK_MONOTONIC) - times[-1]) < 30, times[-1]
' "$T/out"
fi
clean "what is printed"

# ---- counting: each of 4000 calls in 4 threads, none twice
"$ST" probe -p $TARGET -c 'p:t tick' 'p:never exit' >"$T/counts" 2>"$T/err" &
tool=$!
wait_for sh -c "'$ST' status -p $TARGET | grep -q 'probe never'" || bad "the probes don't come: $(cat "$T/err")"
# All of them begin to count together, a moment later.
sleep 2
kill -USR1 $TARGET
wait_for grep -q ticked "$T/target" || bad "the target does not tick"
kill -INT $tool
wait $tool
is "counting: exit status" $? 0
is "counting" "$(tr '\n' ' ' <"$T/counts")" "t 4000 never 0 "
is "counting: stderr" "$(cat "$T/err")" ""
clean counting
probe "counts and -n" 0 -c -n 5 'p peek'

# ---- and printing them: all 4000, from 4 threads
"$ST" probe -p $TARGET 'p:t tick n=$arg1:s32' >"$T/out" 2>"$T/err" &
tool=$!
wait_for sh -c "'$ST' status -p $TARGET | grep -q 'probe t'" || bad "the probe does not come: $(cat "$T/err")"
: >"$T/target"
kill -USR1 $TARGET
wait_for grep -q ticked "$T/target" || bad "the target does not tick"
wait_for sh -c "[ \$(wc -l <'$T/out') -ge 4000 ]"
kill -TERM $tool
wait $tool
is "SIGTERM: exit status" $? 0
is "all ticks" "$(wc -l <"$T/out" | tr -d ' ')" 4000
is "each n four times" "$(sed 's/.* n=//' "$T/out" | sort | uniq -c | awk '$1 != 4 || $2 >= 1000' | wc -l | tr -d ' ')" 0
is "threads" "$(sed 's/^probed-\([0-9]*\) .*/\1/' "$T/out" | sort -u | wc -l | tr -d ' ')" 4
clean SIGTERM

# ---- every way to end
"$ST" probe -p $TARGET 'p peek' 2>"$T/err" | head -2 >"$T/out"
is "closed pipe: lines" "$(wc -l <"$T/out" | tr -d ' ')" 2
# head ends before the probe does
wait_for sh -c "[ -z \"\$('$ST' status -p $TARGET)\" ]"
clean "closed pipe"
is "closed pipe: stderr" "$(cat "$T/err")" ""
(
	"$ST" probe -p $TARGET 'p:never exit' 2>"$T/err"
	echo $? >"$T/status"
) | sleep 1
wait_for test -s "$T/status"
is "closed pipe without a hit" "$(cat "$T/status")" 0
clean "closed pipe without a hit"

"$ST" probe -p $TARGET 'p:orphan peek' >/dev/null 2>"$T/err" &
tool=$!
wait_for sh -c "'$ST' status -p $TARGET | grep -q 'probe orphan'"
"$ST" probe -p $TARGET -n 1 'p:second shape' >"$T/out" 2>"$T/err"
is "a second printer: exit status" $? 3
like "a second printer" "$T/err" "process $tool"
probe "a second counter" 0 -c -n 1 'p:second shape'
kill -KILL $tool
wait $tool 2>/dev/null
"$ST" status -p $TARGET >"$T/out"
like "killed: status" "$T/out" "^probe orphan [0-9]+ hits on 1 sites \\(1 move\\), by orphan: p:orphan peek$"
probe "after a kill" 0 -n 3 'p:next shape'
is "after a kill" "$(grep -c ': next: ' "$T/out")" 3
clean "after a kill"

printing
"$ST" detach -p $TARGET 2>"$T/detach"
is "detach below a probe: exit status" $? 0
wait $tool
is "detached: exit status of the probe" $? 0
like "detached" "$T/err" "process $TARGET was detached"
check "detached: nothing of ours is left" sh -c "! grep -q sidetrack /proc/$TARGET/maps"
probe "after a detach" 0 -n 1 'p peek'
"$ST" detach -p $TARGET
is "detach: exit status" $? 0
stop "all that"

start
printing
kill -USR2 $TARGET
wait $tool
is "exec: exit status" $? 0
like "exec" "$T/err" "process $TARGET runs another program now"
probe "after exec" 0 -n 1 'p peek'
stop exec

start
printing
stop "target ends"
wait $tool
is "target ends: exit status" $? 0
like "target ends" "$T/err" "has exited"

start
printing
kill -KILL $TARGET
wait $TARGET 2>/dev/null
wait $tool
is "target killed: exit status" $? 0
like "target killed" "$T/err" "has exited"

# ---- what can't be
start
probe "no such function" 1 'p no_such_function'
like "no such function" "$T/err" "no_such_function.*sidetrack functions -p $TARGET"
probe "no such object" 1 'p nothing.so:f'
like "no such object" "$T/err" "no object nothing.so"
probe "no such symbol" 1 'p peek @no_such_symbol'
like "no such symbol" "$T/err" "no symbol no_such_symbol"
probe "no such process" 1 -p 4194303 'p peek'
probe "wrong" 2 'p peek %nothing'
like "wrong: the place" "$T/err" '^ {11}\^$'
probe "not yet" 1 'r peek $arg1'
clean "what can't be"
"$ST" functions -p $TARGET 'probed:many_*' >"$T/out" 2>"$T/err"
is "functions: exit status" $? 0
is "functions" "$(grep -Ec '^0x[0-9a-f]+ probed:many_[1-8] (nop|move)$' "$T/out")" 8
like "functions: summary" "$T/err" '8 functions: '
"$ST" probe -p $TARGET 'p probed:many_*' >/dev/null 2>&1 &
tool=$!
wait_for sh -c "'$ST' status -p $TARGET | grep -q many"
"$ST" functions -p $TARGET 'probed:many_*' >"$T/hooked" 2>"$T/err"
check "functions: the same with hooks" cmp "$T/out" "$T/hooked"
"$ST" --json status >"$T/status" 2>"$T/err"
like "status of all" "$T/status" "^\{\"pid\":$TARGET,\"comm\":\"probed\",\"probes\":1,\"patches\":0\}$"
kill -INT $tool
wait $tool
is "Ctrl-C: exit status" $? 0
clean "Ctrl-C"
stop "what can't be"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
