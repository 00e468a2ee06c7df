#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tests/fuzz/run.sh [SECONDS] [NAME…]: builds and runs the fuzzers, one after the other, SECONDS each (60 if not given).
# A fuzzer is tests/fuzz/NAME.c; the command that builds it, `clang … -o NAME`, stands in its first comment. What it
# finds, and its corpus, stay in build/fuzz/NAME. tests/fuzz/NAME.seed, if it is there, puts files to begin with into the corpus.

set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

seconds=60
if [[ ${1-} =~ ^[0-9]+$ ]]; then
	seconds=$1
	shift
fi
cd "$ROOT"
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls *.c | sed 's/\.c$//')

failed=0
for name in "$@"; do
	dir=$BUILD/fuzz/$name
	[ -e "tests/fuzz/$name.c" ] || die "there is no fuzzer tests/fuzz/$name.c"
	command=$(sed -n '/^ \*\//q; /^ \*\tclang/,/[^\\]$/s/^ \*\t//p' "tests/fuzz/$name.c")
	[ -n "$command" ] || die "tests/fuzz/$name.c does not say how to build it"
	mkdir -p "$dir/corpus"
	eval "${command% -o *} -o '$dir/$name'"
	[ ! -x "tests/fuzz/$name.seed" ] || "tests/fuzz/$name.seed" "$dir/corpus"
	say "$name: $seconds s"
	if "$dir/$name" -max_total_time="$seconds" -timeout=10 -artifact_prefix="$dir/" \
		-print_final_stats=1 "$dir/corpus" >"$dir/log" 2>&1; then
		echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log") inputs, nothing found"
	else
		tail -n 40 "$dir/log"
		echo "$name: FAILED; the input is in $dir"
		failed=1
	fi
done
exit $failed
