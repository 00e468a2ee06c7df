#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Several patches: stacked, taken out in any order, replaced all at once, that depend on each other, that have states. The cases are
# those of the kernel's livepatch selftests (test-livepatch.sh, test-state.sh).
# Usage: order.sh LIB SIDETRACK PROGRAM V2 V3 V4-REPLACES-ALL PART5 DEPENDS-ON-V2 STATE-1 STATE-2 STATE-2-REPLACES-ALL ELSEWHERE
LIB=$1 ST=$2 PROGRAM=$3 V2=$4 V3=$5 ALL=$6 PART=$7 DEPENDS=$8
shift 8
STATE1=$1 STATE2=$2 STATE2ALL=$3 ELSEWHERE=$4
T=$(mktemp -d) || exit 1
. "$LIB"
start
is "before" "$(version)" "1 1"
held() {
	tell hold 0 >/dev/null
	set -- $(tell free 0)
	echo "$3"
}

# ---- a stack: the newest wins, whatever the order of revert
apply 0 "$V2"
apply 0 "$V3"
apply 0 "$PART"
patches "three" "v2 enabled v3 enabled part enabled "
is "the newest that has it" "$(version) $(held)" "3 3 5"
revert 0 v3
is "from the middle" "$(version) $(held)" "2 2 5"
revert 0 part
is "from the top" "$(version) $(held)" "2 2 2"
apply 0 "$V3"
revert 0 v2
is "from below" "$(version) $(held)" "3 3 3"
revert 0 v3
is "none is left" "$(version) $(held)" "1 1 1"
patches "none is left" ""

# ---- atomic replace
apply 0 "$V2" "$V3" "$PART"
apply 0 "$ALL"
patches "replaced" "all enabled "
is "replaced" "$(version) $(held)" "1 1 4"
is "the memory of the others is given back" "$(grep -cE 'version-(v2|v3|part)' "/proc/$TARGET/maps")" 0
revert 0 all
is "its own again" "$(version) $(held)" "1 1 1"

# What is replaced stays when the transition is reversed; a thread in one of its functions is in the way.
apply 0 "$V2"
tell hold 1 >/dev/null
apply 3 --timeout 200ms "$ALL"
patches "not replaced" "v2 enabled "
is "not replaced" "$(version)" "2 2"
apply 0 --no-wait "$ALL"
patches "both, for now" "v2 enabled all transition "
is "who is out of it" "$(version)" "1 1"
is "the call in what goes" "$(tell free 1)" "freed 1 2"
apply 0 "$ALL"
patches "replaced now" "all enabled "

# What comes later is not replaced, whatever becomes of that one.
apply 0 "$ELSEWHERE"
tell hold 1 >/dev/null
revert 3 --timeout 200ms all
patches "it stays, and what came later" "all enabled elsewhere enabled "
is "the call in it" "$(tell free 1)" "freed 1 4"
revert 0 all elsewhere

# ---- dependencies
apply 1 "$DEPENDS"
like "what it depends on is not there" "$T/err" 'patch depends depends on patch v2, which is not enabled'
apply 0 "$V2" "$DEPENDS"
revert 3 v2
like "something depends on it" "$T/err" 'patch depends depends on patch v2: revert that first'
revert 0 depends v2
patches "both are gone" ""

# ---- states
apply 0 "$STATE1"
apply 0 "$STATE2"
patches "a newer version" "state1 enabled state2 enabled "
revert 0 state1
apply 1 "$STATE1"
like "an older version" "$T/err" 'patch state1 is not compatible with patch state2: it has state 1 in version 1, that one in version 2'
apply 0 "$V2"
apply 1 "$ALL"
like "would replace a state it does not know" "$T/err" 'patch all is not compatible with patch state2: .* does not know its state 1'
patches "nothing was changed" "state2 enabled v2 enabled "
apply 0 "$STATE2ALL"
patches "taken over" "state2all enabled "
revert 0 state2all
is "at the end" "$(version) $(held)" "1 1 1"

# ---- one command line
apply 1 "$V2" "$T/missing.so" "$V3"
like "the first that fails ends it" "$T/err" 'missing.so'
patches "those before stay" "v2 enabled "
revert 1 v2 v3
like "revert: the same" "$T/err" 'there is no patch v3'
patches "revert: the same" ""
finish
end
