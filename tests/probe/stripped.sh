#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Functions of stripped programs: by a separate debug file, by .gnu_debugdata, by what .eh_frame describes; and files that are damaged.
# Usage: stripped.sh LIB SIDETRACK FAMILY
ST=$2
. "$1"
cp "$3" "$T/whole"
address=0x$(nm "$T/whole" | sed -n 's/^0*\([0-9a-f]*\) T work$/\1/p')
strip -o "$T/family" "$T/whole"
# Other places for debug files are none of our business here.
export SIDETRACK_DEBUG_PATH=$T/debug
mkdir "$T/debug"
numbers() { sed -n 's/.* n=\([0-9]*\)$/\1/p' "$T/out" | sort -n | tr '\n' ' '; }

# ---- no name at all: OBJECT:0xADDR
"$ST" functions "$T/family" >"$T/functions" 2>"$T/err"
is "functions: exit status" $? 0
like "functions: by address" "$T/functions" "^$address family:$address (nop|move|breakpoint)\$"
unlike "functions: no name" "$T/functions" ':work '
"$ST" functions "$T/whole" 2>/dev/null | sed -n 's/^\(0x[0-9a-f]*\) whole:\([a-z_]*\) .*/\1 \2/p' >"$T/names"
for f in main work in_thread; do
	at=$(sed -n "s/ $f\$//p" "$T/names")
	like "functions: $f" "$T/functions" "^$at family:$at "
done
probe "no name" 0 "p:w family:$address n=\$arg1:s32" -- "$T/family" threads
is "no name" "$(numbers)" "10 11 12 70 "
like "no name: shown" "$T/out" ": w: \(family:$address\+0x0\) n="
probe "inside" 0 -c "p:i family:$(printf '0x%x' $((address + $(objdump -d --no-show-raw-insn "$T/whole" --disassemble=work | \
	sed -n 's/^ *\([0-9a-f]*\):.*/0x\1/p' | sed -n 2p) - address)))" -- "$T/family" threads
is "inside" "$(cat "$T/out")" "i 4"
probe "in no function" 1 'p family:0x10 $arg1' -- "$T/family" threads
like "in no function" "$T/err" 'nothing was there that p family:0x10'
"$T/family" wait wait wait wait wait wait wait wait wait wait &
TARGET=$!
wait_for grep -q family /proc/$TARGET/comm
probe "in no function of a process" 1 -p $TARGET 'p family:0x10'
like "in no function of a process" "$T/err" '0x10 of family is in no function that is known'
probe "no such name" 1 -p $TARGET 'p family:work'
kill $TARGET
wait $TARGET 2>/dev/null
TARGET=

# ---- a separate debug file, by the build-id
id=$(readelf -n "$T/whole" | sed -n 's/.*Build ID: //p')
if [ -n "$id" ]; then
	folder=$T/debug/.build-id/$(echo "$id" | cut -c1-2)
	file=$folder/$(echo "$id" | cut -c3-).debug
	mkdir -p "$folder"
	objcopy --only-keep-debug "$T/whole" "$file"
	probe "a debug file" 0 'p:w family:work n=$arg1:s32' 'p:m main' -- "$T/family" threads
	is "a debug file" "$(numbers)" "10 11 12 70 "
	lines "a debug file: main" "$T/out" ': m: \(main\+0x0\)$' 1
	# That of another program is not taken, nor one that is damaged.
	objcopy --only-keep-debug "$ST" "$file" 2>/dev/null
	probe "another's debug file" 1 'p:w family:work' -- "$T/family" work 0
	echo nothing >"$file"
	probe "a damaged debug file" 1 'p:w family:work' -- "$T/family" work 0
	rm "$file"
else
	skipped=$((skipped + 1))
	echo "skipped: the program has no build-id"
fi

# ---- .gnu_debugdata
if command -v xz >/dev/null; then
	objcopy -S --keep-symbol=work "$T/whole" "$T/mini" 2>/dev/null && objcopy --only-keep-debug "$T/whole" "$T/mini"
	xz -9 -c "$T/mini" >"$T/mini.xz"
	objcopy --add-section .gnu_debugdata="$T/mini.xz" "$T/family" "$T/packed"
	probe ".gnu_debugdata" 0 'p:w packed:work n=$arg1:s32' -- "$T/packed" threads
	is ".gnu_debugdata" "$(numbers)" "10 11 12 70 "
	head -c 300 "$T/mini.xz" >"$T/cut.xz"
	objcopy --add-section .gnu_debugdata="$T/cut.xz" "$T/family" "$T/cut"
	"$ST" functions "$T/cut" >"$T/out" 2>"$T/err"
	is "damaged .gnu_debugdata: exit status" $? 0
	like "damaged .gnu_debugdata" "$T/err" 'its .gnu_debugdata is damaged'
	like "damaged .gnu_debugdata: by address" "$T/out" "^$address cut:$address "
else
	skipped=$((skipped + 1))
	echo "skipped: there is no xz"
fi

# ---- no section table
if python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[0x28:0x30] = bytes(8)
data[0x3c:0x40] = bytes(4)
open(sys.argv[2], "wb").write(data)
' "$T/family" "$T/bare" 2>/dev/null; then
	chmod +x "$T/bare"
	probe "no section table" 0 "p:w bare:$address n=\$arg1:s32" -- "$T/bare" threads
	is "no section table" "$(numbers)" "10 11 12 70 "
fi

# ---- every piece of a stripped program at once, and of the C library
probe "everything" 0 -c 'p:all family:*' -- "$T/family" threads fork exec vfork spawn
if [ "$(sed 's/all //' "$T/out")" -ge 10 ]; then ok; else bad "everything: $(cat "$T/out" "$T/err")"; fi
probe "all of the C library" 0 -c 'p:all libc.so.6:*' -- "$T/family" threads fork exec vfork spawn
if [ "$(sed 's/all //' "$T/out")" -ge 100 ]; then ok; else bad "all of the C library: $(cat "$T/out" "$T/err")"; fi
unlike "all of the C library: the program" "$T/err" 'ended with'

# ---- an ifunc is what was chosen for it
"$T/family" wait wait wait wait wait wait &
TARGET=$!
wait_for grep -q family /proc/$TARGET/comm
sleep 0.1
"$ST" probe -p $TARGET -c 'p:i libc.so.6:strlen' >"$T/out" 2>"$T/err" &
tool=$!
wait $TARGET
wait $tool
status=$?
case $status in
0) ok ;;
*) if grep -Eq "ifunc|only a breakpoint" "$T/err"; then ok; else bad "an ifunc: $(cat "$T/err")"; fi ;;
esac
TARGET=
finish
