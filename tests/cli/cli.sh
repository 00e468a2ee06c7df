#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The command line's contract, as far as it needs no process: help, exit statuses, what goes to stdout and to stderr.
# Usage: cli.sh SIDETRACK
ST=$1
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
# run NAME STATUS ARGS...
run() {
	name=$1 want=$2
	shift 2
	"$ST" "$@" >"$T/out" 2>"$T/err" </dev/null
	got=$?
	if [ $got = "$want" ]; then ok; else bad "$name: exit status $got, not $want: $(cat "$T/err")"; fi
}
out() { if grep -Eq -- "$1" "$T/out"; then ok; else bad "$name: stdout lacks '$1': $(head -3 "$T/out")"; fi; }
err() { if grep -Eq -- "$1" "$T/err"; then ok; else bad "$name: stderr lacks '$1': $(head -3 "$T/err")"; fi; }
no_out() { if [ -s "$T/out" ]; then bad "$name: stdout: $(head -1 "$T/out")"; else ok; fi; }
no_err() { if [ -s "$T/err" ]; then bad "$name: stderr: $(head -1 "$T/err")"; else ok; fi; }

run "no verb" 2
no_out
err 'sidetrack help VERB'
run "--help" 0 --help
out '^Example'
no_err
run "help" 0 help
run "--version" 0 --version
out '^sidetrack [0-9]'
for verb in functions probe patch status detach; do
	run "help $verb" 0 help $verb
	out '^Example'
	no_err
	if [ "$(wc -l <"$T/out")" -le 25 ] && [ "$(wc -L <"$T/out")" -le 120 ]; then ok; else bad "help $verb: more than a screen"; fi
	cp "$T/out" "$T/help"
	run "$verb --help" 0 $verb --help
	if cmp -s "$T/out" "$T/help"; then ok; else bad "$verb --help is something else"; fi
	run "$verb --nothing" 2 $verb --nothing
	no_out
	err 'nothing is not known'
	run "$verb -Z" 2 $verb -Z
	err '-Z is not known'
done
run "no such verb" 2 prove
no_out
err "there is no verb 'prove'"
run "no such help" 2 help prove
run "no such option" 2 --verbose
for verb in trace report export graph top live diff snapshot; do
	run "$verb" 1 $verb -x y
	no_out
	err "^sidetrack: $verb is not there yet"
done
run "patch --all" 1 patch apply --all x.so
err "can't open x.so"

# No process has this number.
nobody=4194303
for option in -n9 -c --follow --wait --json '-f a==1' '-f a>0||!(a&2)' '--hist a' '--hist $arg2:u8'; do
	run "probe $option" 1 probe -p $nobody $option 'p f a=$arg1'
	err "there is no process $nobody"
done
for filter in '' a a== b==1 'a==1&&' '(a==1' a~1 'a=="x"'; do
	run "probe -f '$filter'" 2 probe -p $nobody -f "$filter" 'p f a=$arg1'
	no_out
	err '^ +\^$'
done
for value in '' :u8 a:u9 %nothing '$arg0' '$retval' '+0('; do
	run "probe --hist '$value'" 2 probe -p $nobody --hist "$value" 'p f a=$arg1'
	no_out
	err '^ +\^$'
done
run "-f without a value" 2 probe -p $nobody 'p f' -f
run "probe -- CMD without SPEC" 2 probe -- true
err 'which function'
run "probe -- without CMD" 2 probe 'p f' --
err 'which command'
run "probe -p and -- CMD" 2 probe -p $nobody 'p f' -- true
err 'either -p PID or -- COMMAND'
run "probe of no command" 1 probe 'p f' -- no-such-command
err 'there is no such command'

run "probe without -p" 2 probe 'p f'
run "probe without SPEC" 2 probe -p 1
run "-p without a value" 2 probe -p
run "-p nonsense" 2 probe -p 12x 'p f'
err "'12x' is not a process id"
run "-p 0" 2 status -p 0
run "-p -1" 2 status -p -1
run "-n nonsense" 2 probe -p 1 -n 0 'p f'
run "a wrong SPEC" 2 probe -p 1 'p f %nothing'
err '^        \^$'
run "a SPEC with an escape" 2 probe -p 1 "$(printf 'p f \033[31m')"
if grep -q "$(printf '\033')" "$T/err"; then bad "an escape sequence reached the terminal"; else ok; fi
run "an entry has no \$retval" 2 probe -p 1 'p f $retval'
run "a return has" 1 probe -p $nobody 'r f $retval'
err "there is no process $nobody"
run "status of nobody" 1 status -p $nobody
err "sidetrack: status: .*$nobody"
run "status, too much" 2 status x
run "detach of nobody" 1 detach -p $nobody
run "detach without -p" 2 detach
run "patch without more" 2 patch
run "patch nonsense" 2 patch nonsense
run "patch apply without -p" 2 patch apply x.so
run "patch apply without FILE" 2 patch apply -p 1
run "functions without more" 2 functions
run "functions of nobody" 1 functions -p $nobody
run "functions of no file" 1 functions /nothing
no_out
err '/nothing'
echo text >"$T/text"
run "functions of a text" 1 functions "$T/text"

run "functions" 0 functions "$ST" 'main' 'cli_*'
out '^0x[0-9a-f]+ [^ ]*:main (nop|move|breakpoint|no: .+)$'
out ':cli_functions '
err '^sidetrack: [0-9]+ functions: [0-9]+ nop, [0-9]+ move, [0-9]+ breakpoint, [0-9]+ no$'
if grep -vEq ':(main|cli_[a-z_.0-9]*) ' "$T/out"; then bad "functions: more than what matches"; else ok; fi
run "functions --json" 0 functions --json "$ST" 'main'
out '^\{"address":"0x[0-9a-f]+","object":"[^"]*","function":"main","kind":"[a-z]+","reason":(null|"[^"]+")\}$'
cp "$T/out" "$T/json"
run "--json functions" 0 --json functions "$ST" 'main'
if cmp -s "$T/out" "$T/json"; then ok; else bad "--json in front of the verb is something else"; fi
run "functions, no match" 1 functions "$ST" 'no_such_*'
(
	"$ST" functions "$ST" 2>"$T/err"
	echo $? >"$T/status"
) | head -1 >"$T/out"
name="closed pipe"
if [ "$(cat "$T/status")" = 0 ]; then ok; else bad "a closed pipe: exit status $(cat "$T/status")"; fi
if [ -w /dev/full ]; then
	"$ST" functions "$ST" >/dev/full 2>"$T/err"
	if [ $? = 1 ]; then ok; else bad "a full disk is no failure"; fi
	name="full disk"
	err 'No space left'
else
	echo "skipped: there is no /dev/full"
	skipped=$((skipped + 1))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
