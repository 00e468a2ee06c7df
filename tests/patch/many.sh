#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# patch apply --all and revert --all: five hundred processes in one call, some of them busy, of another build, or not ours.
# Usage: many.sh SIDETRACK MANY FIX.so OTHER-BUILD.so
ST=$1 MANY=$2 FIX=$3 OTHER=$4
T=$(mktemp -d) || exit 1
passed=0 failed=0 skipped=0
TARGET=
trap 'kill -9 $TARGET $(cat "$T/pids" 2>/dev/null) 2>/dev/null; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err" 3>&-
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(head -5 "$T/err")"; fi
}
until_true() {
	i=0
	until "$@" 2>/dev/null; do
		i=$((i + 1))
		[ $i -lt 1200 ] || { bad "waited for: $*"; return 1; }
		sleep 0.05
	done
}
more_lines() { [ "$(wc -l <"$T/target")" -gt "$1" ]; }
tell() {
	n=$(wc -l <"$T/target")
	echo "$*" >&3
	until_true more_lines "$n"
	tail -n 1 "$T/target"
}
count() { grep -Ec -- "$1" "$T/out"; }

[ -p "$T/in" ] || mkfifo "$T/in"
cp "$MANY" "$T/many"
cp "$MANY" "$T/one"
# start N: processes; none is left of those before
start() {
	N=$1
	"$T/many" "$N" "$T/one" <"$T/in" >"$T/target" 2>"$T/target.err" &
	TARGET=$!
	exec 3>"$T/in"
	until_true grep -q ready "$T/target"
	sed -n 's/^ready //p' "$T/target" >"$T/pids"
	is "all run" "$(wc -w <"$T/pids")" "$N"
	is "before" "$(tell ask)" "answers $N 0"
}
finish() {
	exec 3>&-
	wait $TARGET
	is "all end well" $? 0
	is "their last word" "$(tail -n 1 "$T/target")" ok
	TARGET=
	: >"$T/pids"
}

# ---- all of them; in a virtual machine there is less memory, and one slow processor
[ "${SIDETRACK_VM:-}" = 1 ] && start 60 || start 500
st 0 patch apply --all --allow-unsigned "$FIX"
is "a line for each" "$(count '^[0-9]+ one: applied$')" $N
is "and no other" "$(wc -l <"$T/out")" $N
is "all answer new" "$(tell ask)" "answers 0 $N"
st 0 patch revert --all many
is "a line for each, too" "$(count '^[0-9]+ one: reverted$')" $N
is "all answer old" "$(tell ask)" "answers $N 0"
finish

# ---- a few, more closely
start 12
st 0 --json patch apply --all --allow-unsigned "$FIX"
is "JSON: a line for each" "$(count '^\{"pid":[0-9]+,"comm":"one","name":"many","result":"applied"\}$')" $N
st 0 patch list
is "each has the patch" "$(count '^many enabled thread one answer$')" $N
st 0 patch apply --all --allow-unsigned "$FIX"
is "again: it is there" "$(count '^[0-9]+ one: applied already$')" $N
st 0 patch revert --all many
st 1 patch revert --all many
like "nobody has it" "$T/err" 'no process has a patch many'
st 0 patch list
is "nobody has any" "$(count many)" 0

# ---- some are in the way
is "held" "$(tell hold 3)" held
is "held too" "$(tell hold 7)" held
st 3 patch apply --all --allow-unsigned --timeout 100ms "$FIX"
is "all others" "$(count '^[0-9]+ one: applied$')" $((N - 2))
is "who is busy, and why" "$(count '^[0-9]+ one: busy: .*thread [0-9]+ .*answer')" 2
like "how many" "$T/err" "2 of $N processes were left as they were \(2 busy, 0 refused\)"
is "old code where it was busy" "$(tell free 3)" "freed 1"
is "and there too" "$(tell free 7)" "freed 1"
is "some old, some new" "$(tell ask)" "answers 2 $((N - 2))"
st 0 patch apply --all --allow-unsigned "$FIX"
is "the rest" "$(count '^[0-9]+ one: applied$')" 2
is "new everywhere" "$(tell ask)" "answers 0 $N"
is "held in the patch" "$(tell hold 5)" held
st 3 patch revert --all --timeout 100ms many
is "reverted but for one" "$(count ': reverted$')" $((N - 1))
is "it comes out" "$(tell free 5)" "freed 2"
st 0 patch revert --all many
is "the last one" "$(count ': reverted$')" 1

# ---- refused, or not for them
st 1 patch apply --all "$FIX"
like "not signed" "$T/err" '--allow-unsigned'
st 1 patch apply --all --allow-unsigned "$OTHER"
like "another build: how many" "$T/err" "$N processes have another build"
like "another build: nobody is left" "$T/err" 'no process has an object that patch many is for'
is "another build: no line" "$(count .)" 0
st 2 patch apply --all -p $TARGET --allow-unsigned "$FIX"
st 2 patch revert many
is "as before" "$(tell ask)" "answers $N 0"

# ---- not ours
as_user() {
	if [ "${SIDETRACK_VM:-}" = 1 ]; then
		su user -c "$*"
	else
		setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$*"
	fi
}
if [ "$(id -u)" = 0 ] && as_user true 2>"$T/err"; then
	chmod 755 "$T"
	cp "$ST" "$T/sidetrack"
	cp "$FIX" "$T/fix.so"
	as_user "$T/sidetrack patch apply --all --allow-unsigned $T/fix.so" >"$T/out" 2>"$T/err" 3>&-
	is "not ours: status" $? 1
	is "not ours: counted" "$(sed -n 's/.* \([0-9]*\) more processes can.t be looked at.*/\1/p' "$T/err" | awk -v n=$N '{ print ($1 >= n) }')" 1
else
	skipped=$((skipped + 1))
	echo "skipped: nobody else to be (not root, or no setpriv)"
fi

st 0 patch apply --all --allow-unsigned "$FIX"
finish
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
