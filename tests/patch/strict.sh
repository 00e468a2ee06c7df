#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Patches for programs that forbid themselves what a tool would have them do: seccomp filters, no code that can be written. As root, and as
# an ordinary user: it works, or is refused with a sentence; the program is unharmed either way, and its code is as before afterwards.
# Usage: strict.sh SIDETRACK SHADOWED FIRST.so THREAD.so
ST=$1 PROGRAM=$2 FIRST=$3 THREAD=$4
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
TARGET= HOW= run=
trap 'kill -9 $TARGET 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $run $HOW: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
st() {
	want=$1
	shift
	$run "$ST" "$@" >"$T/out" 2>"$T/err" 3>&-
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
until_true() {
	i=0
	until "$@" 2>/dev/null || [ $i -gt 1500 ]; do
		i=$((i + 1))
		sleep 0.02
	done
}
start() {
	rm -f "$T/stdin"
	mkfifo "$T/stdin"
	: >"$T/target"
	# The redirections are the shell's, and the user's name changes before the program is there.
	$run "$T/shadowed" idle <"$T/stdin" >"$T/target" 2>&1 &
	TARGET=$!
	exec 3>"$T/stdin"
	until_true grep -q ready "$T/target"
}
answered() { [ "$(wc -l <"$T/target")" != "$n" ] || ! kill -0 $TARGET; }
ask() {
	n=$(wc -l <"$T/target")
	echo "$1" >&3
	until_true answered
	tail -n 1 "$T/target"
}
finish() {
	# Strict mode has no way out but to be killed.
	if [ $HOW = mode-strict ]; then kill -9 $TARGET; else echo end >&3; fi
	exec 3>&-
	wait $TARGET 2>/dev/null
	got=$?
	[ $HOW = mode-strict ] || is "its exit status" $got 0
	TARGET=
}
code_is_whole() {
	if grep -q 'code in [0-9]* objects are what their files hold' "$T/err"; then ok; else bad "detach: $(cat "$T/err")"; fi
	is "mappings of ours" "$(grep -c sidetrack /proc/$TARGET/maps)" 0
}
# The first object is as before; what a patch remembers of it outlives the patch.
works() {
	if ! $run "$ST" patch apply --allow-unsigned -p $TARGET "$FIRST" 2>"$T/err" 3>&- && grep -q 'seccomp filter' "$T/err"; then
		echo "skipped: $HOW: the tool may not suspend a seccomp filter here"
		skipped=$((skipped + 1))
		return
	fi
	is "apply" "$(cat "$T/err")" ""
	is "independent" "$(ask "use 1")" "11 constructed 1 destroyed 0"
	st 0 patch revert -p $TARGET shadow_first
	is "reverted" "$(ask "use 1")" "0 constructed 1 destroyed 0"
	st 0 patch apply --allow-unsigned --timeout 60s -p $TARGET "$THREAD"
	is "by thread" "$(ask "use 1")" "21 constructed 1 destroyed 0"
	is "another object" "$(ask "use 2")" "11 constructed 2 destroyed 0"
	is "freed" "$(ask all)" "0 constructed 2 destroyed 2"
	st 0 patch revert --timeout 60s -p $TARGET shadow_thread
	st 0 patch apply --allow-unsigned -p $TARGET "$FIRST"
	is "again" "$(ask "use 1")" "11 constructed 3 destroyed 2"
	st 0 detach -p $TARGET
	is "detached" "$(ask "use 1")" "0 constructed 3 destroyed 2"
	code_is_whole
}
# refused WHY
refused() {
	for patch in "$FIRST" "$THREAD"; do
		st 1 patch apply --allow-unsigned -p $TARGET "$patch"
		if grep -q "$1" "$T/err"; then ok; else bad "refused, but not for '$1': $(cat "$T/err")"; fi
		is "after it was refused" "$(ask "use 1")" "0 constructed 0 destroyed 0"
		is "mappings of ours" "$(grep -c sidetrack /proc/$TARGET/maps)" 0
	done
}

cp "$PROGRAM" "$T/shadowed"
chmod 755 "$T"
chmod 644 "$FIRST" "$THREAD" 2>/dev/null
users=user
[ "$(id -u)" = 0 ] && users="root other"
for user in $users; do
	if [ $user = other ]; then
		run="setpriv --reuid=65534 --regid=65534 --clear-groups"
		if ! $run cat "$FIRST" "$ST" >"$T/null" 2>&1; then
			echo "skipped: an ordinary user can't read the build here"
			skipped=$((skipped + 1))
			continue
		fi
	fi
	for HOW in service-fail service-kill ours-fail ours-kill wx-fail wx-kill mdwe mode-strict; do
		start
		said=$(ask $HOW)
		if [ "$said" != "0 constructed 0 destroyed 0" ]; then
			echo "skipped: $HOW: the kernel says ${said%% *}"
			skipped=$((skipped + 1))
			HOW=none
			finish
			continue
		fi
		case $user-$HOW in
		*-mode-strict) refused 'strict seccomp mode' ;;
		*-mdwe | root-*) works ;;
		*) refused 'seccomp filter' ;;
		esac
		finish
	done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
