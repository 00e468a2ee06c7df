#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# patch install, uninstall, list --installed, and the watcher: programs that start later, however they are started, are patched before
# their constructors run; a watcher that is killed under load blocks nobody.
# Usage: install.sh LIB SIDETRACK PROGRAM LINKED LIBRARY.so PROGRAM-FIX.so LIBRARY-FIX.so
LIB=$1 ST=$2 PROGRAM=$3 LINKED=$4 LIBRARY=$5 FIX=$6 LIBRARY_FIX=$7
T=$(mktemp -d) || exit 1
. "$LIB"
FS=$T/fs
WATCH= KEPT=
trap 'kill -9 $TARGET $TOOL $WATCH $KEPT 2>/dev/null; wait 2>/dev/null; umount -l "$FS" 2>/dev/null; rm -rf "$T"' EXIT

[ "$(id -u)" = 0 ] || { echo "only root can watch programs that start"; exit 77; }
# A file system of our own: the programs of others are none of our business.
mkdir "$FS"
mount -t tmpfs -o size=64m none "$FS" || { echo "no file system can be mounted here"; exit 77; }
cp "$PROGRAM" "$FS/program"
cp "$LINKED" "$FS/linked"
cp "$LINKED" "$FS/linked-too"
cp "$LIBRARY" "$FS/liblater.so"
SIDETRACK_PATCHES=$FS/patches
export SIDETRACK_PATCHES

watch() {
	[ ! -f "$T/watch.err" ] || mv "$T/watch.err" "$T/watch.err.1"
	: >"$T/watch"
	"$ST" patch watch --on "$FS" >"$T/watch" 2>"$T/watch.err" 3>&- &
	WATCH=$!
	until_true grep -q 'watching programs that start' "$T/watch"
}
# all WHAT FILE LINE N: the file has this line that many times, and no other
all() { is "$1" "$(sort "$2" | uniq -c | tr -s ' ' | tr '\n' ';')" " $4 $3;"; }
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
by_shell() {
	i=0
	while [ $i -lt "$2" ]; do
		"$1"
		i=$((i + 1))
	done
}

# ---- the folder
is "before" "$("$FS/program"; "$FS/linked")" "first 1 1 0
first 1 1 1"
st 0 patch list --installed
is "none is installed" "$(cat "$T/out")" ""
st 1 patch uninstall in_program
like "none to uninstall" "$T/err" 'no patch in_program is installed'
st 1 patch install "$FIX"
like "not signed" "$T/err" '--allow-unsigned'
is "and not there" "$(ls "$SIDETRACK_PATCHES" 2>/dev/null)" ""
st 2 patch install
mkfifo "$T/in"
"$FS/program" stay <"$T/in" >"$T/stays" &
TARGET=$!
exec 3>"$T/in"
until_true has_lines "$T/stays" 1
st 0 patch install --allow-unsigned "$FIX"
like "nobody watches" "$T/err" "nobody watches programs that start"
is "who runs is patched at once" "$(cat "$T/out")" "$TARGET program: applied"
st 0 patch list --installed
is "it is installed" "$(cat "$T/out")" "in_program installed process program,libnever.so in_program,never"
st 0 --json patch list --installed
is "JSON" "$(cat "$T/out")" '{"kind":"patch","name":"in_program","state":"installed","level":"process","signed":false,"object":"program,libnever.so","functions":"in_program,never"}'
st 0 patch install --allow-unsigned "$FIX"
like "twice" "$T/err" "in_program is installed already"
cp "$FIX" "$T/other.so"
echo >>"$T/other.so"
st 1 patch install --allow-unsigned "$T/other.so"
like "another of that name" "$T/err" "another patch in_program is installed already"
chmod 777 "$SIDETRACK_PATCHES"
st 1 patch list --installed
like "others may write there" "$T/err" "others may write to"
st 1 patch install --allow-unsigned "$FIX"
st 1 patch watch --on "$FS"
chmod 755 "$SIDETRACK_PATCHES"
chmod 666 "$SIDETRACK_PATCHES"/*.patch
st 0 patch list --installed
is "a file that others may write is left out" "$(cat "$T/out")" ""
like "and said" "$T/err" "others may write to"
chmod 644 "$SIDETRACK_PATCHES"/*.patch
is "nobody watches yet" "$("$FS/program")" "first 1 1 0"

# ---- programs that start
watch
st 3 patch watch --on "$FS"
like "one watcher" "$T/err" "is at work already"
by_shell "$FS/program" 20 >"$T/new"
all "by a shell" "$T/new" "first 2 2 0" 20
"$FS/program" spawn 20 "$FS/program" >"$T/new"
all "by posix_spawn" "$T/new" "first 2 2 0" 20
i=0
while [ $i -lt 20 ]; do
	"$FS/program" daemon "$FS/program" "$T/daemons"
	i=$((i + 1))
done
until_true has_lines "$T/daemons" 20
all "by a daemon" "$T/daemons" "first 2 2 0" 20
ln -s "$FS/program" "$FS/other-name"
is "not a program of another name" "$("$FS/other-name")" "first 1 1 0"
mkdir "$FS/bin"
cp "$PROGRAM" "$FS/bin/long-name"
ln -s long-name "$FS/bin/program"
is "but one that is started by this name" "$("$FS/bin/program")" "first 2 2 0"
printf '#!%s\n' "$FS/program" >"$FS/script"
chmod 755 "$FS/script"
is "of a script" "$("$FS/script")" "first 2 2 0"
is "another program" "$("$FS/linked")" "first 1 1 1"
echo nothing >"$FS/broken"
chmod 755 "$FS/broken"
"$FS/broken" 2>/dev/null
is "one that is traced" "$("$FS/program" traced "$FS/program")" "first 1 1 0"
until_true grep -q 'goes on unpatched: somebody traces it' "$T/watch.err"

# ---- a library
st 0 patch install --allow-unsigned "$LIBRARY_FIX"
by_shell "$FS/linked" 5 >"$T/new"
by_shell "$FS/linked-too" 5 >>"$T/new"
all "two programs with it" "$T/new" "first 1 1 2" 10
is "one without" "$("$FS/program")" "first 2 2 0"
(unset LD_LIBRARY_PATH; LD_PRELOAD=$FS/liblater.so "$FS/linked") >"$T/new"
all "preloaded" "$T/new" "first 1 1 2" 1

# ---- no watcher, under load; what it has left with a process that it has patched does not hold the kernel's questions
"$FS/program" stay <"$T/in" >"$T/kept" 3>&- &
KEPT=$!
until_true has_lines "$T/kept" 1
kept() { "$ST" status -p $KEPT 2>/dev/null | grep -q '^hook objects'; }
until_true kept
rounds=60
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=1000
: >"$T/load"
by_shell "$FS/program" $rounds >"$T/load" &
TOOL=$!
until_true has_lines "$T/load" 10
kill -KILL $WATCH
wait $WATCH 2>/dev/null
wait $TOOL
is "a killed watcher holds up nobody" "$(grep -c '^first [12] [12] 0$' "$T/load")" $rounds
is "what starts now is not patched" "$("$FS/program")" "first 1 1 0"
"$FS/linked" stay <"$T/in" >"$T/stays-too" 3>&- &
TOOL=$!
until_true has_lines "$T/stays-too" 1
is "nor this" "$(cat "$T/stays-too")" "first 1 1 1"
watch
is "the next watcher goes on" "$("$FS/program")" "first 2 2 0"
listed() { [ "$("$ST" patch list -p "$1" 2>/dev/null | wc -l)" = "$2" ]; }
until_true listed $TOOL 1
patches_of() { "$ST" patch list -p "$1" 2>/dev/null | cut -d' ' -f1,2 | tr '\n' ' '; }
is "what was started meanwhile" "$(patches_of $TOOL)" "in_library enabled "

# ---- uninstalled
st 0 patch uninstall in_library in_program
is "nobody runs them" "$(cut -d' ' -f2- "$T/out" | sort | tr '\n' ';')" "linked: reverted;program: reverted;program: reverted;"
is "none is there" "$(ls "$SIDETRACK_PATCHES")" ""
is "what starts is as it was" "$("$FS/program"; "$FS/linked")" "first 1 1 0
first 1 1 1"
exec 3>&-
wait $TARGET
is "the first one: status" $? 0
is "all its life" "$(cat "$T/stays" | tr '\n' ';')" "first 1 1 0;again 1 0;"
wait $TOOL
is "the second one: status" $? 0
wait $KEPT
is "the one with a keeper: status" $? 0
is "all its life, too" "$(cat "$T/kept" | tr '\n' ';')" "first 2 2 0;again 1 0;"
TARGET= TOOL= KEPT=
kill -TERM $WATCH
wait $WATCH
is "the watcher ends: status" $? 0
[ $failed = 0 ] || cat "$T/watch.err" "$T/watch.err.1"
WATCH=
end
