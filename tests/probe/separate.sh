#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Debug information in a file of its own: every place where it may be, and a file that is not the program's.
# Usage: separate.sh PROBE-DWARF PROGRAM
DWARF=$1
PROGRAM=$2
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
trap 'rm -rf "$T"' EXIT
# works NAME: all of the program's values are found; fails NAME: none, with a reason
works() {
	if "$DWARF" "$T/bin/program" >"$T/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "failed: $1: $(grep failed: "$T/out" | head -3)"
	fi
}
fails() {
	if ! "$DWARF" "$T/bin/program" >"$T/out" 2>&1 && grep -q "program has no debug information" "$T/out"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "failed: $1: $(tail -3 "$T/out")"
	fi
}

mkdir "$T/bin" "$T/bin/.debug" "$T/debug"
objcopy --only-keep-debug "$PROGRAM" "$T/program.debug" || exit 1
# Symbols stay: the functions are found by them.
objcopy --strip-debug "$PROGRAM" "$T/bin/program" || exit 1
id=$(readelf -n "$PROGRAM" | sed -n 's/.*Build ID: //p')
[ ${#id} -gt 8 ] || exit 1
fails "no debug file"

folder=$T/debug/.build-id/$(echo "$id" | cut -c1-2)
file=$folder/$(echo "$id" | cut -c3-).debug
mkdir -p "$folder"
cp "$T/program.debug" "$file"
SIDETRACK_DEBUG_PATH=/nowhere:$T/debug
export SIDETRACK_DEBUG_PATH
works "by build-id"
unset SIDETRACK_DEBUG_PATH
fails "by build-id, elsewhere"

objcopy --add-gnu-debuglink="$T/program.debug" "$T/bin/program" || exit 1
fails "a link to nothing"
cp "$T/program.debug" "$T/bin/"
works "a link beside the program"
mv "$T/bin/program.debug" "$T/bin/.debug/"
works "a link in .debug"
mkdir -p "$T/debug$T/bin"
mv "$T/bin/.debug/program.debug" "$T/debug$T/bin/"
export SIDETRACK_DEBUG_PATH="$T/debug"
works "a link in a folder of debug files"
rm -r "$T/debug$T"

# Another program's, under the name of this one's.
objcopy --only-keep-debug "$DWARF" "$file" || exit 1
fails "the debug file of another program"
objcopy --compress-debug-sections "$T/program.debug" "$file" || exit 1
works "compressed"

# Without a build-id the checksum in the link says whether it is the right file.
rm "$file"
objcopy -R .note.gnu.build-id --strip-debug "$PROGRAM" "$T/bin/program" || exit 1
objcopy --add-gnu-debuglink="$T/program.debug" "$T/bin/program" || exit 1
cp "$T/program.debug" "$T/bin/"
works "no build-id"
echo >>"$T/bin/program.debug"
fails "no build-id, another checksum"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
