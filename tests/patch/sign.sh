#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack patch sign, and who is trusted: a patch goes into a process if a key of the trust store has signed all of it, or by
# --allow-unsigned; one that was changed afterwards never does. Usage: sign.sh SIDETRACK BOUND PATCH.so
ST=$1 PROGRAM=$2 PATCH=$3
T=$(mktemp -d) || exit 1
passed=0 failed=0
TARGET=
trap 'kill -9 $TARGET 2>/dev/null; rm -rf "$T"' EXIT
umask 022
export SIDETRACK_TRUSTED="$T/trusted"

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
# refused WHAT WHY FILE [OPTION]
refused() {
	st 1 patch apply -p $TARGET $4 "$3"
	like "$1" "$T/err" "$2"
}
accepted() {
	st 0 patch apply -p $TARGET $2 "$1"
	st 0 patch revert -p $TARGET bound_fix
}
# poke FILE OFFSET OCTAL
poke() { printf "\\$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }
size() { wc -c <"$1" | tr -d ' '; }

cp "$PROGRAM" "$T/bound"
cp "$PATCH" "$T/fix.so"
"$T/bound" >"$T/target" &
TARGET=$!
i=0
until grep -q ready "$T/target" || [ $i -gt 500 ]; do
	i=$((i + 1))
	sleep 0.02
done

# ---- keys
st 0 patch sign --generate "$T/alice"
is "the secret key is its owner's" "$(stat -c %a "$T/alice" "$T/alice.pub" | tr '\n' ' ')" "600 644 "
st 1 patch sign --generate "$T/alice"
like "a key is not overwritten" "$T/err" 'File exists'
rm "$T/alice.pub"
cp "$T/alice" "$T/lost"
st 1 patch sign --generate "$T/alice"
rm "$T/alice"
st 0 patch sign --generate "$T/alice"
if cmp -s "$T/alice" "$T/lost"; then bad "two keys are the same"; else ok; fi
st 0 patch sign --generate "$T/bob"
st 2 patch sign "$T/fix.so"
st 2 patch sign --key "$T/alice"
st 2 patch sign --key "$T/alice" --generate "$T/carol"

# ---- signing
before=$(size "$T/fix.so")
st 0 patch sign --key "$T/alice" "$T/fix.so"
is "what is added" $(($(size "$T/fix.so") - before)) 96
st 0 patch sign --key "$T/bob" "$T/fix.so"
is "a second signature takes the place of the first" $(($(size "$T/fix.so") - before)) 96
st 0 patch sign --key "$T/alice" "$T/fix.so"
head -c "$before" "$T/fix.so" >"$T/without.so"
if cmp -s "$T/without.so" "$PATCH"; then ok; else bad "signing changes the patch"; fi
chmod 644 "$T/bob"
st 1 patch sign --key "$T/bob" "$T/fix.so"
like "a key that others may read" "$T/err" 'may be read by others'
chmod 600 "$T/bob"
st 1 patch sign --key "$T/alice.pub" "$T/fix.so"
like "a public key, which others may read" "$T/err" 'may be read by others'
cp "$T/alice.pub" "$T/public"
chmod 600 "$T/public"
st 1 patch sign --key "$T/public" "$T/fix.so"
like "a public key" "$T/err" 'is no secret key of sidetrack'
st 1 patch sign --key "$T/none" "$T/fix.so"
like "no key" "$T/err" 'No such file'
echo text >"$T/text"
st 1 patch sign --key "$T/alice" "$T/text"
like "no patch" "$T/err" 'not an ELF file'
st 1 patch sign --key "$T/alice" "$T/none"
like "no file" "$T/err" 'No such file'
st 1 patch build --object "$T/bound" "$T/fix.so" -o "$T/no.so"
like "building what is signed" "$T/err" 'is signed: build the patch first'

# ---- who is trusted
refused "no trust store" 'signed by a key that is not trusted \([0-9a-f]{16}\): .* has no keys' "$T/fix.so"
mkdir "$T/trusted"
refused "an empty one" 'has no keys' "$T/fix.so"
cp "$T/bob.pub" "$T/trusted"
refused "others" 'has other keys only' "$T/fix.so"
accepted "$T/fix.so" --allow-unsigned
cp "$T/alice.pub" "$T/trusted/alice"
refused "a file with another ending" 'has other keys only' "$T/fix.so"
mv "$T/trusted/alice" "$T/trusted/alice.pub"
accepted "$T/fix.so"
st 0 patch check "$T/fix.so"
like "check says so" "$T/out" '^bound_fix independent signed'
refused "not signed" 'it is not signed .*--allow-unsigned' "$PATCH"
accepted "$PATCH" --allow-unsigned

# ---- changed afterwards
for at in 20 $((before / 2)) $((before - 1)); do
	cp "$T/fix.so" "$T/changed.so"
	poke "$T/changed.so" "$at" 252
	for option in "" --allow-unsigned; do
		refused "changed at $at" 'signature of alice does not fit: the file was changed' "$T/changed.so" $option
	done
done
cp "$T/fix.so" "$T/changed.so"
poke "$T/changed.so" $((before + 40)) 252
refused "changed signature" 'signature of alice does not fit' "$T/changed.so" --allow-unsigned
cp "$T/fix.so" "$T/changed.so"
poke "$T/changed.so" $((before + 25)) 252
refused "changed key" 'signed by a key that is not trusted' "$T/changed.so"
cp "$T/fix.so" "$T/changed.so"
poke "$T/changed.so" $((before + 16)) 2
refused "another version" 'damaged, or of a later version of sidetrack: it has version 2' "$T/changed.so" --allow-unsigned
for keep in 16 50 95; do
	head -c $((before + keep)) "$T/fix.so" >"$T/changed.so"
	refused "cut to $keep bytes of it" 'signature is damaged: something was cut off' "$T/changed.so" --allow-unsigned
	st 1 patch sign --key "$T/alice" "$T/changed.so"
	like "a damaged signature is not covered" "$T/err" 'signature is damaged'
done
cp "$T/fix.so" "$T/changed.so"
echo more >>"$T/changed.so"
refused "something behind it" 'signature is damaged: something was cut off' "$T/changed.so" --allow-unsigned

# ---- a trust store that others may change
chmod 664 "$T/trusted/alice.pub"
refused "a key that others may write" 'alice.pub may be written by others' "$T/fix.so"
accepted "$T/fix.so" --allow-unsigned
chmod 644 "$T/trusted/alice.pub"
for mode in 775 757; do
	chmod $mode "$T/trusted"
	refused "a folder with mode $mode" 'folder of trusted keys, .*, may be changed by others' "$T/fix.so"
done
chmod 755 "$T/trusted"
if [ "$(id -u)" = 0 ]; then
	chown 1000 "$T/trusted"
	refused "a folder of somebody else" 'may be changed by others' "$T/fix.so"
	chown 0 "$T/trusted"
	chown 1000 "$T/trusted/alice.pub"
	refused "a key of somebody else" 'alice.pub belongs to another user \(1000\)' "$T/fix.so"
	chown 0 "$T/trusted/alice.pub"
fi
echo "sidetrack public key 1" >"$T/trusted/carol.pub"
accepted "$T/fix.so"
rm "$T/trusted/alice.pub"
refused "a damaged key" 'carol.pub is no public key of sidetrack, or is damaged' "$T/fix.so"
SIDETRACK_TRUSTED="$T/text"
refused "no folder" 'Not a directory' "$T/fix.so"
accepted "$T/fix.so" --allow-unsigned

kill -USR1 $TARGET
i=0
until grep -q answer "$T/target" || [ $i -gt 500 ]; do
	i=$((i + 1))
	sleep 0.02
done
is "unharmed" "$(tail -1 "$T/target")" "answer 11 12"
kill -TERM $TARGET
wait $TARGET
is "its exit status" $? 0
TARGET=
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
