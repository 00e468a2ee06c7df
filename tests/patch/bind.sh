#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack patch build: symbols of a patch are found in files, whole, stripped or debug, or refused with a reason; the patch then goes
# into a stripped program, and only into the build that it was made for, with the code that it was made for.
# Usage: bind.sh SIDETRACK BOUND STRIPPED DEBUG OTHER LIBRARY PATCH.so...
ST=$1 WHOLE=$2 STRIPPED=$3 DEBUG=$4 OTHER=$5 LIBRARY=$6
shift 6
for file in "$@"; do
	name=$(basename "$file" .so)
	eval "$(echo "${name#bound-}" | tr a-z A-Z)=\$file"
done
T=$(mktemp -d) || exit 1
passed=0 failed=0
TARGET=
trap 'kill -9 $TARGET 2>/dev/null; rm -rf "$T"' EXIT
export SIDETRACK_DEBUG_PATH="$T/debug"

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err"
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
# until_line PATTERN: a line of the target's since it was last asked
until_line() {
	n=0
	until grep -q "$1" "$T/target" || [ $n -gt 500 ]; do
		n=$((n + 1))
		sleep 0.02
	done
	grep "$1" "$T/target" | tail -1
}
answer() {
	: >"$T/target"
	kill -USR1 "$TARGET"
	until_line answer
}
tamper() {
	: >"$T/target"
	kill -USR2 "$TARGET"
	until_line chang
}
start() {
	mkdir -p "$T/$1"
	cp "$2" "$T/$1/bound"
	: >"$T/target"
	"$T/$1/bound" >>"$T/target" &
	TARGET=$!
	until_line ready >/dev/null
}
stop() {
	kill -TERM $TARGET
	wait $TARGET
	is "its exit status" $? 0
	TARGET=
}
refused() {
	what=$1 why=$2
	shift 2
	rm -f "$T/no.so"
	st 1 patch build "$@" -o "$T/no.so"
	like "$what" "$T/err" "$why"
	[ ! -e "$T/no.so" ] || bad "$what: a file was written all the same"
}
apply() { want=$1; shift; st "$want" patch apply -p $TARGET --allow-unsigned "$@"; }
# Its memory stays as long as a word on the stack looks like an address there, even one that was left behind: calls wipe it out.
revert() {
	i=0
	until "$ST" patch revert -p $TARGET "$1" 2>"$T/err" || [ $i -gt 20 ]; do
		i=$((i + 1))
		answer >/dev/null
	done
	[ $i -le 20 ] && ok || bad "revert $1: $(cat "$T/err")"
}

# ---- the files
cp "$WHOLE" "$T/bound"
st 0 patch build --object "$T/bound" "$FIX" -o "$T/fix.so"
st 0 patch build --object bound="$WHOLE" "$FIX" -o "$T/named.so"
if cmp -s "$T/fix.so" "$T/named.so"; then ok; else bad "an object under another name gives another patch"; fi
st 0 patch build --object bound="$STRIPPED" --object bound="$DEBUG" "$FIX" -o "$T/both.so"
if cmp -s "$T/fix.so" "$T/both.so"; then ok; else bad "the stripped file and its debug file give another patch"; fi
id=$(tr '\0\t' '\n ' <"$T/fix.so" | sed -n 's/^object bound //p')
like "the build-id" /dev/stdin '^[0-9a-f]{40}$' <<END
$id
END
refused "debug file alone" 'has no code \(is it a debug file\?\)' --object bound="$DEBUG" "$FIX"
refused "stripped alone" 'has no symbol bound-twin.c:helper \(is the file stripped' --object bound="$STRIPPED" "$FIX"
rest=${id#??}
mkdir -p "$T/debug/.build-id/${id%"$rest"}"
cp "$DEBUG" "$T/debug/.build-id/${id%"$rest"}/$rest.debug"
st 0 patch build --object bound="$STRIPPED" "$FIX" -o "$T/found.so"
if cmp -s "$T/fix.so" "$T/found.so"; then ok; else bad "the debug file that was found gives another patch"; fi
rm -r "$T/debug"
refused "files of two builds" 'different build-ids' --object bound="$WHOLE" --object bound="$OTHER" "$FIX"
refused "no file" 'the patch is for bound: which file is that\?' --object "$LIBRARY" "$RELOCATED"
refused "another name" 'has nothing to do with something; it is for bound' --object something="$WHOLE" "$FIX"
refused "no such file" 'No such file' --object "$T/none" "$FIX"
echo text >"$T/text"
refused "text" 'not an ELF file' --object bound="$T/text" "$FIX"
refused "text as patch" 'not an ELF file' --object bound="$WHOLE" "$T/text"
refused "built twice" 'has the addresses of its symbols already' --object "$T/bound" "$T/fix.so"
head -c 3000 "$WHOLE" >"$T/cut"
"$ST" patch build --object bound="$T/cut" "$FIX" -o "$T/no.so" 2>"$T/err"
is "a file that was cut off" $? 1
[ -s "$T/err" ] && ok || bad "a file that was cut off: no sentence"

# ---- the symbols
refused "several" 'bound has 2 helper: (bound.c 0x[0-9a-f]+, bound-twin.c|bound-twin.c 0x[0-9a-f]+, bound.c) 0x[0-9a-f]+; say which' \
	--object bound="$WHOLE" "$AMBIGUOUS"
refused "none" 'bound has no static nothing.c:helper' --object bound="$WHOLE" "$MISSING"
refused "data" 'counter in bound is data' --object bound="$WHOLE" "$DATA"
refused "an ifunc" 'chosen at run time' --object bound="$WHOLE" "$CHOSEN"
refused "another build" "asks for bound with build-id 00112233, the file has $id" --object bound="$WHOLE" "$BUILD"
refused "a relocation in the code" 'code of relocated is changed by the dynamic loader' --object bound="$WHOLE" --object "$LIBRARY" "$RELOCATED"

# ---- the command
st 1 patch build --source . --build make fix.diff -o "$T/no.so"
like "from source" "$T/err" 'is not there yet'
st 2 patch build "$FIX" -o "$T/no.so"
st 2 patch build --object bound="$WHOLE" -o "$T/no.so"
st 2 patch build --object bound="$WHOLE" "$FIX"
st 2 patch build --object bound= "$FIX" -o "$T/no.so"

# ---- a program with symbols, and a patch that is looked up there
st 0 patch build --object bound="$WHOLE" "$SECOND" -o "$T/second.so"
start whole "$WHOLE"
is "before" "$(answer)" "answer 11 12"
apply 0 "$FIX"
is "looked up" "$(answer)" "answer 11 1140"
revert bound_fix
is "reverted" "$(answer)" "answer 11 12"
# What we have changed ourselves does not count.
"$ST" probe -p $TARGET 'p:seen bound:first' >"$T/hits" 2>&1 &
PROBE=$!
i=0
until grep -q seen "$T/hits" || [ $i -gt 100 ]; do
	i=$((i + 1))
	answer >/dev/null
done
for file in "$SECOND" "$T/second.so"; do
	apply 0 "$file"
	is "probed" "$(answer)" "answer 17 12"
	revert bound_second
done
kill -INT $PROBE
wait $PROBE
is "the probe" $? 0
apply 1 "$AMBIGUOUS"
like "several in the process" "$T/err" 'has several static functions helper: say which, as "FILE.c:helper"'
apply 1 "$MISSING"
like "none in the process" "$T/err" 'has no function nothing.c:helper'
apply 1 "$DATA"
like "data in the process" "$T/err" 'that is data'
is "changes its code" "$(tamper)" changed
apply 1 "$FIX"
like "changed code" "$T/err" 'code of bound-twin.c:helper in bound is not what its file has \(from bound-twin.c:helper\+0x[0-9a-f]+ on: [0-9a-f]+, not'
apply 1 "$T/fix.so"
like "changed code, built" "$T/err" 'is not what its file has \(from'
is "changes it back" "$(tamper)" "changed back"
apply 0 "$T/fix.so"
is "built, with symbols" "$(answer)" "answer 11 1140"
revert bound_fix
stop

# ---- without symbols
start stripped "$STRIPPED"
apply 1 "$FIX"
like "no symbols" "$T/err" 'bound has no function bound-twin.c:helper'
apply 0 "$T/fix.so"
is "stripped" "$(answer)" "answer 11 1140"
apply 0 "$T/second.so"
is "stripped, two patches" "$(answer)" "answer 17 1140"
revert bound_second
revert bound_fix
is "stripped, reverted" "$(answer)" "answer 11 12"
is "stripped, changes its code" "$(tamper)" changed
apply 1 "$T/fix.so"
like "stripped, changed code" "$T/err" 'is not what its file has \(from'
is "stripped, changes it back" "$(tamper)" "changed back"
# Also when the file is gone.
rm "$T/stripped/bound"
apply 0 "$T/fix.so"
is "stripped, file gone" "$(answer)" "answer 11 1140"
st 0 detach -p $TARGET
stop

# ---- another build
start other "$OTHER"
apply 1 "$T/fix.so"
like "another build in the process" "$T/err" "is for bound with build-id $id, the process has [0-9a-f]"
is "another build, unharmed" "$(answer)" "answer 11 12"
stop
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
