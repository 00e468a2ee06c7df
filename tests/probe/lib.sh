# SPDX-License-Identifier: GPL-2.0-only
# What the scripts of this folder share: checks that count, a folder that goes away, the last line. Sourced.
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
TARGET=
trap 'kill $TARGET 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
# like NAME FILE REGEX: some line matches; unlike: none does
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
unlike() { if grep -Eq -- "$3" "$2"; then bad "$1: $(grep -E -- "$3" "$2" | head -3)"; else ok; fi; }
# lines NAME FILE REGEX COUNT
lines() { is "$1" "$(grep -Ec -- "$3" "$2")" "$4"; }
# wait_for COMMAND...: up to a minute, as a virtual machine on a busy host may need
wait_for() {
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -gt 600 ] && return 1
		sleep 0.1
	done
}
# armed PID NAME: a probe is where it shall be. (A program of these tests waits for a file to be there: `until`, then `touch`.)
armed() { wait_for sh -c "'$ST' status -p $1 | grep -q '^probe $2 .* on [1-9]'" || bad "probe $2 is not armed: $(cat "$T/err")"; }
# probe NAME STATUS ARGS...: runs to its end; output in $T/out and $T/err
probe() {
	name=$1 want=$2
	shift 2
	"$ST" probe "$@" >"$T/out" 2>"$T/err" </dev/null
	got=$?
	if [ $got = "$want" ]; then ok; else bad "$name: exit status $got, not $want: $(cat "$T/err")"; fi
}
# Nothing of ours is in a process, and none of its threads is stopped.
clean() {
	is "$1: status" "$("$ST" status -p "$2" 2>&1)" ""
	is "$1: stopped threads" "$(cat /proc/"$2"/task/*/status 2>/dev/null | grep -c '^State:[[:space:]]*[Tt]')" 0
}
finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}
