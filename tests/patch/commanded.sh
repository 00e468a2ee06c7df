# SPDX-License-Identifier: GPL-2.0-only
# For the tests with commanded.c, which source it: ST, PROGRAM and T (a folder) are set.
passed=0 failed=0
TARGET= TOOL=

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }

# st STATUS ARGS...: sidetrack; output in $T/out and $T/err
st() {
	want=$1
	shift
	"$ST" "$@" >"$T/out" 2>"$T/err" 3>&-
	got=$?
	if [ $got = "$want" ]; then ok; else bad "sidetrack $*: exit status $got, not $want: $(cat "$T/err")"; fi
}
apply() { want=$1; shift; st "$want" patch apply -p "$TARGET" --allow-unsigned "$@"; }
revert() { want=$1; shift; st "$want" patch revert -p "$TARGET" "$@"; }
# patches WHAT NAMES STATES...: what list says, first two columns
patches() {
	"$ST" patch list -p "$TARGET" >"$T/list" 3>&-
	is "$1" "$(cut -d' ' -f1,2 <"$T/list" | tr '\n' ' ')" "$2"
}

# until COMMAND...: a condition, within a minute
until_true() {
	i=0
	until "$@" 2>/dev/null; do
		i=$((i + 1))
		[ $i -lt 1200 ] || { bad "waited for: $*"; return 1; }
		sleep 0.05
	done
}
more_lines() { [ "$(wc -l <"$T/target")" -gt "$1" ]; }
# tell COMMAND: to the program; its answer
tell() {
	n=$(wc -l <"$T/target")
	echo "$*" >&3
	until_true more_lines "$n"
	tail -n 1 "$T/target"
}
# version: what the functions answer, both halves
version() {
	set -- $(tell ask)
	echo "$3 $4"
}
in_state() { "$ST" patch list -p "$TARGET" 2>/dev/null 3>&- | cut -d' ' -f1,2 | grep -qx "$1"; }

start() {
	cp "$PROGRAM" "$T/commanded"
	[ -p "$T/in" ] || mkfifo "$T/in"
	"$T/commanded" <"$T/in" >"$T/target" &
	TARGET=$!
	exec 3>"$T/in"
	until_true grep -q ready "$T/target"
}
# The program ends well: no thread ever saw a mixture, nothing is left.
finish() {
	st 0 detach -p "$TARGET"
	is "nothing is left" "$(grep -c sidetrack "/proc/$TARGET/maps")" 0
	exec 3>&-
	wait "$TARGET"
	is "its exit status" $? "${1:-0}"
	[ "${1:-0}" = 1 ] || is "its last word" "$(tail -n 1 "$T/target")" ok
	TARGET=
}
end() {
	echo "$passed passed, $failed failed, 0 skipped"
	[ $failed = 0 ]
}
trap 'kill -9 $TARGET $TOOL 2>/dev/null; rm -rf "$T"' EXIT
