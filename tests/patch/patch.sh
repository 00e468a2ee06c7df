#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack patch on a running program with threads in the functions it replaces: applied, used, reverted, many times; refused with a
# reason where it must be; the program unharmed after each. Usage: patch.sh SIDETRACK PATCHED FIX.so WRONG.so...
ST=$1 PATCHED=$2 FIX=$3
shift 3
T=$(mktemp -d) || exit 1
passed=0 failed=0
TARGET=
trap 'kill -9 $TARGET 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
# st STATUS ARGS...: output in $T/out and $T/err
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
answer() {
	n=$(grep -c answer "$T/target")
	kill -USR1 "$TARGET"
	i=0
	while [ "$(grep -c answer "$T/target")" = "$n" ] && [ $i -lt 500 ]; do
		i=$((i + 1))
		sleep 0.02
	done
	tail -1 "$T/target"
}

# Patches name the program by its file name.
cp "$PATCHED" "$T/patched"
PATCHED=$T/patched
"$PATCHED" >"$T/target" &
TARGET=$!
i=0
until grep -q ready "$T/target" || [ $i -gt 500 ]; do
	i=$((i + 1))
	sleep 0.02
done

is "before" "$(answer)" "answer 42 5 3"
st 0 patch apply -p $TARGET --allow-unsigned "$FIX"
is "applied" "$(answer)" "answer 1006 22 6"
st 0 patch list -p $TARGET
is "list" "$(cat "$T/out")" "fix enabled independent patched plain,is_static,floating"
st 1 patch apply -p $TARGET --allow-unsigned "$FIX"
like "twice" "$T/err" "a patch fix is there already"
st 0 probe -p $TARGET -n 1 'p:seen plain a=$arg1:s32 b=$arg2:s32'
like "a probe on a patched function" "$T/out" ': seen: \(plain\+0x0\) a=4 b=2$'
is "still patched" "$(answer)" "answer 1006 22 6"
st 0 patch revert -p $TARGET fix
is "reverted" "$(answer)" "answer 42 5 3"
st 0 patch list -p $TARGET
is "list of none" "$(cat "$T/out")" ""
st 1 patch revert -p $TARGET fix
like "revert of none" "$T/err" "there is no patch fix"

# ---- what must be refused
for file in "$@"; do
	name=$(basename "$file" .so)
	case $name in
	*no_manifest*) why='has no manifest' ;;
	*no_function*) why='no function there_is_none' ;;
	*no_import*) why='there_is_none_either' ;;
	*build_id*) why='is for patched with build-id 00112233' ;;
	*level*) why="there is no level 'sometimes'" ;;
	*constructor*) why='onstructor' ;;
	*tls*) why='TLS|thread-local' ;;
	*) continue ;;
	esac
	st 1 patch apply -p $TARGET --allow-unsigned "$file"
	like "$name" "$T/err" "$why"
	is "after $name" "$(answer)" "answer 42 5 3"
done
for file in "$@"; do
	case $file in *no_object*) absent=$file ;; esac
done
# As in the kernel: a patch for what is not loaded is enabled, and waits.
st 0 patch apply -p $TARGET --allow-unsigned "$absent"
like "an object that is not there" "$T/err" 'has no object libnone.so: that part of patch wrong waits'
st 0 patch list -p $TARGET
is "enabled without its object" "$(cat "$T/out")" "wrong enabled independent libnone.so plain"
st 0 patch revert -p $TARGET wrong
is "after an object that is not there" "$(answer)" "answer 42 5 3"
echo "this is no ELF file" >"$T/text.so"
st 1 patch apply -p $TARGET --allow-unsigned "$T/text.so"
like "text" "$T/err" "not an ELF file"
st 1 patch apply -p $TARGET --allow-unsigned "$T/missing.so"
like "missing" "$T/err" "No such file"
size=$(wc -c <"$FIX")
for part in 64 200 1000 2000 4000 $((size / 2)) $((size - 64)); do
	[ $part -lt "$size" ] || continue
	head -c $part "$FIX" >"$T/cut.so"
	"$ST" patch apply -p $TARGET --allow-unsigned "$T/cut.so" >"$T/out" 2>"$T/err"
	got=$?
	# A file whose end is missing may still hold all that counts.
	if [ $got = 0 ]; then "$ST" patch revert -p $TARGET fix; fi
	if [ $got -le 1 ] && { [ $got = 0 ] || [ -s "$T/err" ]; }; then ok; else bad "cut at $part: exit status $got"; fi
done
is "after damaged files" "$(answer)" "answer 42 5 3"
for file in "$@"; do
	case $file in *second*) second=$file ;; esac
done
st 0 patch apply -p $TARGET --allow-unsigned "$FIX"
st 0 patch apply -p $TARGET --allow-unsigned "$second"
is "the same function again" "$(answer)" "answer 4 22 6"
st 0 patch revert -p $TARGET second
is "and what is below it" "$(answer)" "answer 1006 22 6"
st 0 patch revert -p $TARGET fix

# ---- many times, under threads that call all the time
rounds=20
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=200
i=0
while [ $i -lt $rounds ]; do
	"$ST" patch apply -p $TARGET --allow-unsigned "$FIX" 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	"$ST" patch revert -p $TARGET fix 2>"$T/err" || bad "round $i: $(cat "$T/err")"
	i=$((i + 1))
done
is "after $rounds rounds" "$(answer)" "answer 42 5 3"
st 0 patch apply -p $TARGET --allow-unsigned "$FIX"
st 0 detach -p $TARGET
is "detach reverts" "$(answer)" "answer 42 5 3"
st 0 status -p $TARGET
is "nothing is left" "$(cat "$T/out")$(grep -c sidetrack /proc/$TARGET/maps)" 0
kill -TERM $TARGET
wait $TARGET
is "its exit status" $? 0
is "its last word" "$(tail -1 "$T/target")" ok
TARGET=
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
