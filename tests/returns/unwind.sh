#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Programs that unwind their stack, with a return probe on each of their functions from outside: started by the tool, and attached to. Their
# output and exit status are those of the bare program.
#
#	unwind.sh SIDETRACK PROGRAM...
sidetrack=$1
shift
dir=$(mktemp -d) || exit 1
passed=0 failed=0

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

judge() {	# judge WHAT STATUS
	ok "$1: exit status $2, bare $bare: $(tail -n 3 "$dir/err")" $(($2 != bare))
	cmp -s "$dir/bare" "$dir/out"
	ok "$1: output: $(diff "$dir/bare" "$dir/out" | head -n 6)" $?
	hits=$(awk '{ n += $2 } END { print n + 0 }' "$dir/hits")
	echo "$1: $hits hits"
	ok "$1: hits" $((hits < 20))
}

for program; do
	name=$(basename "$program")
	"$program" >"$dir/bare"
	bare=$?

	"$sidetrack" probe -c -o "$dir/hits" "r:all $name:*" -- "$program" >"$dir/out" 2>"$dir/err"
	judge "$name started" $?

	rm -f "$dir/stdin"
	mkfifo "$dir/stdin"
	"$program" wait <"$dir/stdin" >"$dir/out" &
	target=$!
	exec 9>"$dir/stdin"
	"$sidetrack" probe -c -o "$dir/hits" -p "$target" "r:all $name:*" 2>"$dir/err" 9>&- &
	tool=$!
	# The agent is there, and the probe's site: the function that the program will leave last has been changed.
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		"$sidetrack" status -p "$target" 2>/dev/null | grep -q "on [1-9][0-9]* site.*$name:\*" && break
		sleep 0.5
	done
	sleep 2
	echo >&9
	exec 9>&-
	wait "$target"
	status=$?
	target=
	wait $tool
	tool=$?
	ok "$name attached: status $tool of the tool: $(cat "$dir/err")" $tool
	judge "$name attached" $status
done

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
