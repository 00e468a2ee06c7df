#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Two tools at once: one attaches and probes while another detaches, at every moment of it. Neither may leave the process
# with a jump to memory that is gone. Usage: overlap.sh SIDETRACK PROBED
ST=$1
PROBED=$2
T=$(mktemp -d) || exit 1
passed=0 failed=0
"$PROBED" >"$T/target" &
TARGET=$!
trap 'kill $TARGET 2>/dev/null; rm -rf "$T"' EXIT
sleep 0.5

rounds=40
[ "$SIDETRACK_LONG" = 1 ] && rounds=1000
i=0
while [ $i -lt $rounds ] && kill -0 $TARGET 2>/dev/null; do
	i=$((i + 1))
	"$ST" probe -p $TARGET 'p peek' >/dev/null 2>"$T/probe" &
	tool=$!
	# 0 to 39 ms later
	sleep "0.0$(((i * 7) % 4))$((i % 10))"
	"$ST" detach -p $TARGET 2>"$T/detach"
	status=$?
	if [ $status -gt 1 ] && [ $status != 3 ]; then
		failed=$((failed + 1))
		echo "failed: round $i: detach: $status: $(cat "$T/detach")"
	fi
	# It has ended, or got in behind the detach.
	sleep 0.1
	# Once it is the tool it ignores SIGINT, by the shell's will, until it has begun to wait for it: again until it ends.
	until grep -q sidetrack /proc/$tool/comm 2>/dev/null || [ ! -e /proc/$tool ]; do sleep 0.05; done
	(while kill -INT $tool; do sleep 0.2; done) 2>/dev/null &
	wait $tool
	status=$?
	wait $!
	case $status in
	0 | 1 | 3) passed=$((passed + 1)) ;;
	*)
		failed=$((failed + 1))
		echo "failed: round $i: probe: $status: $(cat "$T/probe")"
		;;
	esac
done
"$ST" detach -p $TARGET 2>/dev/null
kill -TERM $TARGET
wait $TARGET
status=$?
if [ $status = 0 ]; then
	passed=$((passed + 1))
else
	failed=$((failed + 1))
	echo "failed: exit status of the target after round $i: $status"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
