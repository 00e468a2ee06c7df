#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tool is killed at one of its system calls, or one of them fails, all over apply and revert, with nobody in the way and with somebody.
# After each: the program answers old or new, never mixed; list, apply, revert and detach work; the code is what the files hold. And the
# program is killed in the midst of it: the tool ends, and says so.
# Usage: faults.sh LIB SIDETRACK PROGRAM THREAD.so PROCESS.so FAULT WHAT...; WHAT: kill, fail, victim, limits
LIB=$1 ST=$2 PROGRAM=$3 THREAD=$4 PROCESS=$5 FAULT=$6
shift 6
T=$(mktemp -d) || exit 1
. "$LIB"
points=6
[ "${SIDETRACK_VM:-}" = 1 ] && points=1	# each takes seconds there
[ "${SIDETRACK_LONG:-}" = 1 ] && points=100000
FILE= NAME= point=
EPERM=1 EINTR=4 EIO=5 ENOMEM=12

# One of the two, whatever the tool left.
sane() {
	got=$(version)
	case $got in
	'1 1' | '2 2') ok ;;
	*) bad "$point: $1: the program answers '$got'" ;;
	esac
}
listed() {
	"$ST" patch list -p "$TARGET" >"$T/list" 2>"$T/list.err" 3>&- || bad "$point: list: $(cat "$T/list.err")"
	grep -q "^$NAME " "$T/list"
}
# change VERB ARGS...: also if all that was left was to end what the other tool had begun
change() {
	verb=$1
	shift
	"$ST" patch "$verb" -p "$TARGET" --timeout 60s "$@" >"$T/out" 2>"$T/err" 3>&-
	got=$?
	if [ $got = 0 ]; then ok; else bad "$point: $verb: exit status $got: $(cat "$T/err")"; fi
}
# As found, to enabled and back, or straight back; then nothing of ours is there.
mend() {
	sane "after the fault"
	if [ $((n % 2)) = 0 ]; then
		if ! listed || ! grep -q " enabled " "$T/list"; then
			change apply --allow-unsigned "$FILE"
		fi
		is "$point: gone on with" "$(version)" "2 2"
	fi
	if listed; then
		change revert "$NAME"
	fi
	is "$point: reverted" "$(version)" "1 1"
	listed && bad "$point: still there: $(cat "$T/list")"
	st 0 detach -p "$TARGET"
	is "$point: after detach" "$(version)" "1 1"
	is "$point: stopped threads" "$(cat /proc/$TARGET/task/*/status | grep -c '^State:[[:space:]]*[Tt]')" 0
}
# before VERB: what the fault finds
before() {
	[ $1 != revert ] || apply 0 --timeout 60s "$FILE"
	[ $1 != busy ] || tell hold 0 >/dev/null
}
after() {
	[ $1 != busy ] || is "$point: the held call" "$(tell free 0)" "freed 0 1"
}
arguments() {
	case $1 in
	apply) echo patch apply -p $TARGET --allow-unsigned --timeout 60s "$FILE" ;;
	busy) echo patch apply -p $TARGET --allow-unsigned --timeout 20ms "$FILE" ;;
	revert) echo patch revert -p $TARGET --timeout 60s $NAME ;;
	esac
}
# each WHAT VERB
each() {
	n=0 point="$2, no fault"
	before $2
	"$FAULT" count "$T/calls" "$ST" $(arguments $2) >"$T/out" 2>&1 3>&-
	after $2
	calls=$(cat "$T/calls")
	mend
	step=$(((calls + points - 1) / points))
	k=$((step / 2 + 1))
	while [ $k -lt "$calls" ]; do
		n=$((n + 1))
		before $2
		case $((n % 4)) in
		0) error=$EIO ;;
		1) error=$ENOMEM ;;
		2) error=$EPERM ;;
		3) error=$EINTR ;;
		esac
		[ $1 = kill ] && error=
		point="$2, $1 ${error:-} at $k of $calls"
		timeout -s KILL 60 "$FAULT" $1 $k $error "$ST" $(arguments $2) >"$T/fault.out" 2>&1 3>&-
		got=$?
		[ $got != 137 ] || [ $1 = kill ] || bad "$point: no end"
		[ $got -lt 128 ] || [ $got = 137 ] || bad "$point: ended by signal $((got - 128))"
		after $2
		mend
		[ $failed -lt 5 ] || return
		k=$((k + step))
	done
}
# The program goes in the midst of it.
victim() {
	k=1 n=0
	while [ $n -lt $points ] && [ $k -lt $calls ]; do
		n=$((n + 1)) k=$((k + (calls + points) / (points + 1)))
		point="$1, the program is killed at $k of $calls"
		start
		before $1
		timeout -s KILL 60 "$FAULT" victim $k $TARGET "$ST" $(arguments $1) >"$T/fault.out" 2>&1 3>&-
		got=$?
		case $got in
		1 | 125) ok ;;
		0) ;;		# the last of its calls come when all is done
		*) bad "$point: exit status $got: $(cat "$T/fault.out")" ;;
		esac
		exec 3>&-
		wait $TARGET 2>/dev/null
		TARGET=
	done
}
# The program may not have what the patch needs.
limits() {
	before apply
	size=$(awk '/^VmSize/ { print $2 }' /proc/$TARGET/status)
	for more in 0 64 512 2048 4096 8192; do
		n=1 point="limited to $more KiB more"
		prlimit --pid $TARGET --as=$(((size + more) * 1024)):unlimited
		"$ST" $(arguments apply) >"$T/fault.out" 2>&1 3>&-
		got=$?
		[ $got = 0 ] || [ $got = 1 ] || bad "$point: exit status $got"
		[ $got = 0 ] || [ -s "$T/fault.out" ] || bad "$point: not a word"
		sane "$point"
		prlimit --pid $TARGET --as=unlimited:unlimited
		mend
	done
	for more in 0 1 2 3; do
		n=1 point="limited to $more more files"
		prlimit --pid $TARGET --nofile=$(($(ls /proc/$TARGET/fd | wc -l) + more)):1024
		"$ST" $(arguments apply) >"$T/fault.out" 2>&1 3>&-
		got=$?
		[ $got = 0 ] || [ $got = 1 ] || bad "$point: exit status $got"
		sane "$point"
		prlimit --pid $TARGET --nofile=1024:1024
		mend
	done
}

start
for what in "$@"; do
	for NAME in thread process; do
		[ $NAME = thread ] && FILE=$THREAD || FILE=$PROCESS
		case $what in
		kill | fail)
			for verb in apply busy revert; do
				# The paths that differ by level are in the second half of these; all of them with --long.
				[ $NAME = thread ] || [ $verb = apply ] || [ "${SIDETRACK_LONG:-}" = 1 ] || continue
				each $what $verb
			done
			;;
		esac
	done
	NAME=thread FILE=$THREAD
	case $what in
	limits)
		if command -v prlimit >/dev/null; then limits; else echo "skipped: limits: there is no prlimit here"; fi
		;;
	esac
	[ $failed -lt 5 ] || break
done
finish
for what in "$@"; do
	[ $what = victim ] || continue
	start
	before apply
	"$FAULT" count "$T/calls" "$ST" $(arguments apply) >"$T/out" 2>&1 3>&-
	calls=$(cat "$T/calls")
	finish
	victim apply
	victim revert
done
end
