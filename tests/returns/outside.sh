#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Return probes in a process that was attached to: what they see; gdb walks through calls that are pending; detaching in the middle of
# them, and the program ends as it would have.
#
#	outside.sh SIDETRACK PROGRAM GDB-SCRIPT
sidetrack=$1 program=$2 script=$3
dir=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0

ok() {	# ok WHAT TRUE?
	if [ "$2" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $1"
	fi
}

cleanup() {
	exec 9>&-
	[ -z "$target" ] || kill "$target" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT

mkfifo "$dir/stdin"
"$program" <"$dir/stdin" >"$dir/out" &
target=$!
exec 9>"$dir/stdin"

name=$(basename "$program")
timeout 20 "$sidetrack" probe -p "$target" -n 12 "r:in $name:inner" "r:mid $name:middle" "r:out $name:outer \$retval" \
	>"$dir/hits" 2>"$dir/err"
ok "probe: $(tail -n 1 "$dir/err")" $?
grep -q 'in: (middle.* <- inner)' "$dir/hits"
ok "a return of inner" $?
grep -q 'out: (main.* <- outer) arg1=0x' "$dir/hits"
ok "a return of outer, and what it returned" $?

if command -v gdb >/dev/null; then
	"$sidetrack" probe -p "$target" "r $name:inner" "r $name:middle" "r $name:outer" >/dev/null 2>&1 &
	tool=$!
	sleep 1
	gdb -nx -batch -p "$target" -ex "source $script" -ex bt >"$dir/bt" 2>&1
	for f in inner middle outer main; do
		grep -q " in $f " "$dir/bt"
		ok "gdb: no $f in: $(grep '^#' "$dir/bt")" $?
	done
	kill -INT $tool
	wait $tool
else
	skipped=$((skipped + 1))
	echo "skipped: no gdb"
fi

# It is in the middle of a call nearly always.
for round in 1 2 3; do
	"$sidetrack" probe -p "$target" "r $name:inner" "r $name:middle" "r $name:outer" >/dev/null 2>&1 &
	tool=$!
	sleep 0.35
	"$sidetrack" detach -p "$target" 2>"$dir/err"
	ok "detach: $(cat "$dir/err")" $?
	wait $tool
	grep -q sidetrack "/proc/$target/maps"
	ok "something of the agent is left" $((!$?))
done
exec 9>&-
wait "$target"
ok "exit status" $(($? != 7))
target=
[ "$(sort -u "$dir/out")" = 3 ]
ok "output" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
