#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Callbacks: which are called, in which order, when all goes well, when one refuses, when objects are not there, when a transition is
# reversed, with atomic replace. The cases are those of the kernel's test-callbacks.sh.
# Usage: callbacks.sh LIB SIDETRACK PROGRAM LIBRARY.so CALLS-INDEPENDENT CALLS-THREAD CALLS-PROCESS REFUSES REFUSES-PROCESS CALLS-ALL
LIB=$1 ST=$2 PROGRAM=$3 LIBRARY=$4 INDEPENDENT=$5 THREAD=$6 PROCESS=$7
shift 7
REFUSES=$1 REFUSES_PROCESS=$2 ALL=$3
T=$(mktemp -d) || exit 1
. "$LIB"
start
cp "$LIBRARY" "$T/libcommanded.so"
events() { tell events | cut -d' ' -f3-; }
# both EVENT: of both objects, in their order
both() { echo "$1:commanded $1:libcommanded.so"; }

# ---- an object is not there: it has no callbacks, and comes later
apply 0 "$INDEPENDENT"
like "it waits" "$T/err" 'no object libcommanded.so: that part of patch calls-independent waits'
is "one object: apply" "$(events)" "pre-patch:commanded post-patch:commanded"
is "it comes" "$(tell load "$T/libcommanded.so")" loaded
# The keeper that apply has left behind does it.
library_is_new() { [ "$(tell library | cut -d' ' -f3)" = 2 ]; }
until_true library_is_new
is "what has come" "$(events)" "pre-patch:libcommanded.so post-patch:libcommanded.so"
is "is patched" "$(tell library | cut -d' ' -f3)" 2
apply 1 "$INDEPENDENT"
is "nothing more has" "$(events)" ""
revert 0 calls-independent
is "both objects: revert" "$(events)" "$(both pre-unpatch) $(both post-unpatch)"
is "the library is as before" "$(tell library | cut -d' ' -f3)" 1

# ---- both are there
for level in thread process; do
	[ $level = thread ] && file=$THREAD || file=$PROCESS
	apply 0 "$file"
	is "$level: apply" "$(events)" "$(both pre-patch) $(both post-patch)"
	is "$level: the library" "$(tell library | cut -d' ' -f3)" 2
	revert 0 calls-$level
	is "$level: revert" "$(events)" "$(both pre-unpatch) $(both post-unpatch)"
	is "$level: the library again" "$(tell library | cut -d' ' -f3)" 1
done

# ---- the second one refuses: the first is taken back
for file in "$REFUSES" "$REFUSES_PROCESS"; do
	apply 1 "$file"
	like "refused" "$T/err" 'pre-patch callback for libcommanded.so refused: it returned -19'
	is "refused" "$(events)" "$(both pre-patch) post-unpatch:commanded"
	patches "refused" ""
	is "refused: as before" "$(version)" "1 1"
done

# ---- busy: the first of one way and the last of the other
tell hold 0 >/dev/null
apply 3 --timeout 200ms "$THREAD"
is "thread: reversed" "$(events)" "$(both pre-patch) $(both post-unpatch)"
# At level process they run at the moment of the flip, which never came.
apply 3 --timeout 200ms "$PROCESS"
is "process: not begun" "$(events)" ""
tell free 0 >/dev/null
apply 0 "$THREAD"
is "not busy" "$(events)" "$(both pre-patch) $(both post-patch)"
tell hold 0 >/dev/null
revert 3 --timeout 200ms calls-thread
is "revert: reversed" "$(events)" "$(both pre-unpatch) $(both post-patch)"
tell free 0 >/dev/null

# ---- atomic replace: those of the new patch alone
apply 0 "$ALL"
is "replaced" "$(events)" "$(both pre-patch) $(both post-patch)"
patches "replaced" "calls-all enabled "
revert 0 calls-all
is "replaced, and reverted" "$(events)" "$(both pre-unpatch) $(both post-unpatch)"

# ---- several patches: each has its own
apply 0 "$INDEPENDENT" "$THREAD"
is "two" "$(events)" "$(both pre-patch) $(both post-patch) $(both pre-patch) $(both post-patch)"
revert 0 calls-independent calls-thread
is "two, out of order" "$(events)" "$(both pre-unpatch) $(both post-unpatch) $(both pre-unpatch) $(both post-unpatch)"

# ---- an object goes
apply 0 "$INDEPENDENT"
is "before it goes" "$(events)" "$(both pre-patch) $(both post-patch)"
is "it goes" "$(tell unload)" unloaded
revert 0 calls-independent
is "reverted without it" "$(events)" \
	"pre-unpatch:libcommanded.so post-unpatch:libcommanded.so pre-unpatch:commanded post-unpatch:commanded"
finish
end
