#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Getting in and out of programs in every awkward state, from the command line: every function of libc probed while threads loop in
# malloc, dlopen, printf, block in system calls, run signal handlers, block all signals, have a SIGTRAP handler of their own. The
# program checks itself (tests/process/target.c) and must end as it would have. Then the tool is killed at random moments.
# Usage: attach.sh [--user] SIDETRACK TARGET [STATIC]; with --user as anybody but root, whose tools find the agent in other ways
if [ "$1" = --user ]; then
	shift
	D=$(mktemp -d) || exit 1
	mkdir "$D/scripts"
	cp "$0" "$@" "$D"
	cp "$SIDETRACK_SRC/scripts/compare-code.py" "$D/scripts"
	[ "$(id -u)" = 0 ] && run="setpriv --reuid=65534 --regid=65534 --clear-groups"
	[ "$(id -u)" = 0 ] && chown -R 65534:65534 "$D"
	a=$(basename "$1") b=$(basename "$2") c=$(basename "$3")
	cd "$D" || exit 1
	TMPDIR=$D SIDETRACK_SRC=$D $run sh "$D/attach.sh" "$D/$a" "$D/$b" "$D/$c"
	status=$?
	rm -rf "$D"
	exit $status
fi
ST=$1 PROG=$2
shift 2
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
TARGET= DOOR=
trap 'kill -9 $TARGET $DOOR 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
alive() { if kill -0 "$TARGET" 2>/dev/null; then ok; else bad "$1: the target is gone: $(cat "$T/err.target")"; fi; }

# start PROGRAM MODES: it runs until its standard input, which DOOR holds open, ends
start() {
	rm -f "$T/in"
	mkfifo "$T/in"
	sleep 1000 >"$T/in" &
	DOOR=$!
	"$@" <"$T/in" >"$T/out.target" 2>"$T/err.target" &
	TARGET=$!
	sleep 0.3
}
end() {
	kill $DOOR
	i=0
	while kill -0 $TARGET 2>/dev/null && [ $i -lt 600 ]; do
		i=$((i + 1))
		sleep 0.05
	done
	wait $TARGET
	is "$1: exit status of the target ($(cat "$T/err.target"))" $? 0
	TARGET= DOOR=
}
stopped() { cat /proc/$TARGET/task/*/status 2>/dev/null | grep -c '^State:[[:space:]]*[Tt]'; }
clean() {
	is "$1: status" "$("$ST" status -p $TARGET 2>&1)" ""
	is "$1: mappings of ours" "$(grep -c 'memfd:sidetrack' /proc/$TARGET/maps)" 0
	is "$1: stopped threads" "$(stopped)" 0
	[ -n "${SIDETRACK_VM:-}" ] || {
		if said=$("$SIDETRACK_SRC/scripts/compare-code.py" $TARGET 2>&1); then ok; else bad "$1: $said"; fi
	}
}
# Under emulation, looking at all of libc takes seconds.
all='libc.so.6:*'
killed=100
[ "${SIDETRACK_LONG:-}" = 1 ] && killed=1000
if [ -n "${SIDETRACK_VM:-}" ]; then
	all='libc.so.6:*[mrp][aeo][lai][lnd]*'
	killed=10
fi
# probe_all NAME SECONDS: those functions, counted
probe_all() {
	"$ST" probe -p $TARGET -c "p:all $all" >"$T/out" 2>"$T/err" &
	tool=$!
	sleep "$2"
	# It has its hooks in when it is ready to be told to end.
	i=0
	while [ -n "${SIDETRACK_VM:-}" ] && [ $i -lt 60 ] && ! "$ST" status -p $TARGET 2>/dev/null | grep -q 'on [1-9]'; do
		i=$((i + 1))
		sleep 0.3
	done
	kill -INT $tool
	wait $tool
	is "$1: exit status of probe: $(tail -1 "$T/err")" $? 0
	like "$1: counts" "$T/out" '^all [0-9]+$'
}

for mode in malloc,malloc2 dlopen printf handler threads trap mask vector blocked; do
	start "$PROG" "$mode"
	alive "$mode: start"
	for round in 1 2; do
		[ $round = 2 ] && [ -n "${SIDETRACK_VM:-}" ] && break
		probe_all "$mode" 0.4
		alive "$mode: probed"
	done
	"$ST" detach -p $TARGET 2>"$T/err"
	is "$mode: detach: $(cat "$T/err")" $? 0
	clean "$mode"
	end "$mode"
done

# ---- the tool killed at random points; a later one gets in, and everything out
start "$PROG" malloc,dlopen,nanosleep,threads
i=0
seed=$$
while [ $i -lt $killed ]; do
	"$ST" probe -p $TARGET -c "p:all $all" >/dev/null 2>&1 &
	tool=$!
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	sleep 0.$(printf %03d $((seed / 65536 % 150)))
	kill -9 $tool
	wait $tool 2>/dev/null
	kill -0 $TARGET 2>/dev/null || break
	i=$((i + 1))
done
is "killed tools" $i $killed
alive "after killed tools"
is "threads left stopped" "$(stopped)" 0
probe_all "after killed tools" 0.3
"$ST" detach -p $TARGET 2>"$T/err"
is "detach after killed tools: $(cat "$T/err")" $? 0
clean "after killed tools"
end "killed tools"

# ---- seccomp: in as root, or a reason why not; never a dead target
start "$PROG" seccomp,poll,vector
if [ "$(id -u)" = 0 ]; then
	probe_all seccomp 0.4
	"$ST" detach -p $TARGET 2>"$T/err"
	is "seccomp: detach: $(cat "$T/err")" $? 0
else
	"$ST" probe -p $TARGET -n 1 'p malloc' >"$T/out" 2>"$T/err"
	is "seccomp, not root" $? 1
	like "seccomp, not root" "$T/err" seccomp
fi
alive seccomp
clean seccomp
end seccomp

# ---- other ways to link
for prog in "$@"; do
	start "$prog" malloc
	"$ST" probe -p $TARGET -n 3 'p:m malloc size=$arg1:u64' >"$T/out" 2>"$T/err"
	is "$(basename "$prog"): probe: $(cat "$T/err")" $? 0
	like "$(basename "$prog")" "$T/out" ': m: \((malloc|__libc_malloc)\+0x0\) size='
	"$ST" detach -p $TARGET
	clean "$(basename "$prog")"
	end "$(basename "$prog")"
done

# ---- no such process, a zombie, not ours
"$ST" probe -p 4194303 'p malloc' >"$T/out" 2>"$T/err"
is "no such process" $? 1
like "no such process" "$T/err" '[Nn]o (such )?process'
sh -c 'sleep 0.3 & echo $!; exec sleep 20' >"$T/zombie" &
zombie=$!
i=0
until grep -q '^State:.*Z' "/proc/$(head -1 "$T/zombie" 2>/dev/null)/status" 2>/dev/null || [ $i -gt 20 ]; do
	i=$((i + 1))
	sleep 0.1
done
"$ST" probe -p "$(head -1 "$T/zombie")" "p malloc" >/dev/null 2>"$T/err"
is "zombie" $? 1
like "zombie" "$T/err" 'zombie'
kill $zombie
wait $zombie 2>/dev/null

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
