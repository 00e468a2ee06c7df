#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A program runs bare, then with a return probe on each of its functions: same output, same exit status, and the counts make
# sense. It is linked to probe.c's library.
#
#	run.sh PROGRAM [all] [FUNCTION…]
#
# all: every call returns, or is counted as missed; but those of the functions named, which may be left otherwise.
program=$1
shift
all=
[ "$1" != all ] || { all=y; shift; }
left=" $* "
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

ok() {	# ok WHAT PROOF-OF-THE-CONTRARY
	if [ -z "$2" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $1:"
		echo "$2" | head -20
	fi
}

unset SIDETRACK_RETURNS
$MESON_EXE_WRAPPER "$program" >"$dir/bare" 2>&1
bare=$?
export SIDETRACK_RETURNS="$(basename "$program"):*" SIDETRACK_RETURNS_LOG="$dir/log"
$MESON_EXE_WRAPPER "$program" >"$dir/probed" 2>&1
probed=$?
ok "exit status" "$([ $bare = $probed ] || echo "bare $bare, probed $probed")"
ok "output" "$(diff "$dir/bare" "$dir/probed")"
ok "output of the bare one" "$([ -s "$dir/bare" ] || echo none)"
ok "no log" "$([ -s "$dir/log" ] || echo "no counts were written")"

# What the compiler and the C library put into every program is not asked for.
refused=$(grep '^refused' "$dir/log" | grep -Ev '^refused (_[^ ]*|deregister_tm_clones|register_tm_clones|frame_dummy|call_weak_fn|[^ ]*\.cold) ')
ok "not probed" "$refused"
ok "counts" "$(awk -v all=$all -v left="$left" '
	$1 == "refused" { next }
	{ calls += $2; returns += $3; missed += $4 }
	$3 + $4 > $2 { print $1 ": " $2 " calls, " $3 " returns, " $4 " missed" }
	all && $3 + $4 < $2 && !index(left, " " $1 " ") && $1 != "main" && $1 !~ /^_/ {
		print $1 ": " $2 " calls, but " $3 " returns and " $4 " missed"
	}
	END {
		if (!returns) print "no return"
		print calls + 0 " calls, " returns + 0 " returns, " missed + 0 " missed" >"/dev/stderr"
	}' "$dir/log")"
[ $failed = 0 ] || cat "$dir/log" >&2

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
