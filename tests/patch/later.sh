#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Parts of patches for objects that come after the patch, go, and come again: the kernel's livepatch selftest cases with modules
# (test-livepatch.sh, test-callbacks.sh). The keeper that does it: started when needed, killed, replaced, gone when not needed.
# Usage: later.sh LIB SIDETRACK PROGRAM LIBRARY.so INDEPENDENT.so THREAD.so PROCESS.so
LIB=$1 ST=$2 PROGRAM=$3 LIBRARY=$4
shift 4
T=$(mktemp -d) || exit 1
. "$LIB"

ask() {
	set -- $(tell ask)
	echo "$3 $4 $5"
}
did() { set -- $(tell "$@"); echo "$1"; }
# Whose letters they are.
keeper() { "$ST" status -p "$TARGET" 2>/dev/null 3>&- | sed -n 's/^hook objects, by \([0-9]*\)$/\1/p'; }
no_keeper() { [ -z "$(keeper)" ]; }
ended() { ! [ -d "/proc/$1" ]; }

cp "$PROGRAM" "$T/later"
# Patches call it liblater.so, as it does itself.
cp "$LIBRARY" "$T/liblater.so.1.2"
mkfifo "$T/in"
"$T/later" <"$T/in" >"$T/target" &
TARGET=$!
exec 3>"$T/in"
until_true grep -q ready "$T/target"
is "before" "$(ask)" "1 0 0"

for file; do
	name=$(basename "$file" .so)
	name=${name#later-}

	# ---- the object is there before the patch
	is "$name: loaded" "$(did load "$T/liblater.so.1.2")" loaded
	is "$name: not patched yet" "$(ask)" "1 1 1"
	apply 0 "$file"
	is "$name: both parts" "$(ask)" "2 2 1"
	until_true keeper >/dev/null
	is "$name: it may go, so there is a keeper" "$(keeper | wc -l)" 1
	revert 0 "$name"
	is "$name: reverted" "$(ask)" "1 1 1"
	until_true no_keeper
	is "$name: unloaded" "$(did unload)" unloaded

	# ---- the patch is there before the object
	apply 0 "$file"
	like "$name: said" "$T/err" "has no object liblater.so: that part of patch $name waits"
	is "$name: the program's part" "$(ask)" "2 0 0"
	patches "$name: enabled" "$name enabled "
	K=$(keeper)
	is "$name: it comes" "$(did load "$T/liblater.so.1.2")" loaded
	is "$name: it is patched before its constructor" "$(ask)" "2 2 2"

	# ---- it goes while patched, and comes again
	for i in 1 2 3; do
		is "$name: it goes" "$(did unload)" unloaded
		is "$name: the rest stays" "$(ask)" "2 0 0"
		patches "$name: still enabled" "$name enabled "
		is "$name: it comes again" "$(did load "$T/liblater.so.1.2")" loaded
		is "$name: it is patched again" "$(ask)" "2 2 2"
	done
	is "$name: by the same keeper" "$(keeper)" "$K"
	is "$name: it goes" "$(did unload)" unloaded

	# ---- disabled before it comes
	revert 0 "$name"
	until_true no_keeper
	until_true ended "$K"
	is "$name: it comes, and there is no patch" "$(did load "$T/liblater.so.1.2")" loaded
	is "$name: as before" "$(ask)" "1 1 1"
	is "$name: unloaded again" "$(did unload)" unloaded
done

# ---- a keeper that is killed
apply 0 "$file"
K=$(keeper)
st 1 patch watch -p $TARGET
like "only one" "$T/err" "has a keeper already: process $K"
kill -KILL "$K"
until_true ended "$K"
is "the process runs on" "$(ask)" "2 0 0"
patches "the records are right" "$name enabled "
is "what comes now is not patched" "$(did load "$T/liblater.so.1.2")" loaded
is "but works" "$(ask)" "2 1 1"
apply 0 "$file"
is "the next apply goes on" "$(ask)" "2 2 1"
K=$(keeper)
is "with a keeper" "$([ -d "/proc/$K" ] && echo there)" there
is "of this process's letters" "$(did unload)" unloaded
kill -KILL "$K"
until_true ended "$K"
is "again without one" "$(did load "$T/liblater.so.1.2")" loaded
"$ST" patch watch -p $TARGET >"$T/watch" 2>"$T/watch.err" 3>&- &
TOOL=$!
until_true grep -q '^watching process' "$T/watch"
is "patch watch goes on, too" "$(ask)" "2 2 1"
kill -TERM $TOOL
wait $TOOL
is "ended by a signal: status" $? 0
is "nothing of it is left" "$(keeper)" ""
TOOL=
is "gone without anybody watching" "$(did unload)" unloaded
patches "the records are right all the same" "$name enabled "
revert 0 "$name"
is "as in the beginning" "$(ask)" "1 0 0"

# ---- many times
rounds=10
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=200
apply 0 "$file"
K=$(keeper)
round=0
while [ $round -lt $rounds ]; do
	tell load "$T/liblater.so.1.2" >/dev/null
	now=$(ask)
	[ "$now" = "2 2 2" ] || bad "round $round: $now"
	tell unload >/dev/null
	round=$((round + 1))
done
is "after $rounds rounds" "$(ask) $(keeper)" "2 0 0 $K"

# ---- the end of the process is the end of the keeper
exec 3>&-
wait $TARGET
is "its exit status" $? 0
is "its last word" "$(tail -n 1 "$T/target")" ok
until_true ended "$K"
TARGET=
end
