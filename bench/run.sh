#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What ./dev bench runs.
#
#	./dev bench [quick] [--json | --markdown] [PART…]
#
#	quick	shorter runs: to see whether something is off, not to quote
#	--json	one JSON object a line in place of the table; --markdown: as docs/costs.md has it
#	PART	micro batch rest every attach peers insns; default all
#
# Every part writes lines of JSON to build/bench/results.jsonl; bench/table.py knows the goals and prints the table. A part
# that can't run here says why, in the table. What is compared is measured in one run, interleaved.

set -uo pipefail
. "$(dirname "$0")/../scripts/lib.sh"

HERE=$ROOT/bench
WORK=$BUILD/bench
OUT=$WORK/results.jsonl
TOOL=$BUILD/sidetrack
LIB=$BUILD/engine/libsidetrack.a
CFLAGS="-O2 -g -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I$ROOT/include -I$ROOT -I$HERE"
PARTS='micro batch rest every attach peers insns'

# The CPU that is measured on: the last; the other threads of a measurement go to the first.
CPU=$(($(nproc) - 1))

quick=
json=
markdown=
parts=
for arg in "$@"; do
	case $arg in
	quick) quick=y ;;
	--json) json=y ;;
	--markdown) markdown=--markdown ;;
	-h | --help)
		sed -n '3,/^$/s/^#\t\{0,1\}//p' "$0"
		exit 0
		;;
	*)
		case " $PARTS " in
		*" $arg "*) parts="$parts $arg" ;;
		*)
			say "$0: no part '$arg': $PARTS"
			exit 2
			;;
		esac
		;;
	esac
done

# often QUICK FULL: how many times to measure
often()
{
	if [ -n "$quick" ]; then echo "$1"; else echo "$2"; fi
}

put()
{
	printf '%s\n' "$1" >>"$OUT"
}

# quoted TEXT: as a JSON string
quoted()
{
	python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"
}

unavailable()
{
	local reason=$1 row

	shift
	for row in "$@"; do
		put "{\"row\": \"$row\", \"unavailable\": $(quoted "$reason")}"
	done
}

note()
{
	put "{\"note\": \"$1\", \"text\": $(quoted "$2")}"
}

version()
{
	put "{\"version\": \"$1\", \"text\": $(quoted "$2")}"
}

package_version()
{
	version "$1" "$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo "not installed")"
}

machine()
{
	put "{\"machine\": $(quoted "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, Linux $(uname -r), $(. /etc/os-release && echo "$PRETTY_NAME")")}"
	put "{\"commit\": $(quoted "$(git -C "$ROOT" describe --always --dirty 2>/dev/null)")}"
	put "{\"load\": $(quoted "$(cut -d ' ' -f 1-3 /proc/loadavg)")}"
	package_version gcc
}

build_micro()
{
	gcc $CFLAGS -mgeneral-regs-only -c "$HERE/micro-hooks.c" -o "$WORK/micro-hooks.o" &&
		gcc $CFLAGS -fcf-protection=none "$HERE/micro.c" "$HERE/micro-sites.S" "$WORK/micro-hooks.o" "$LIB" \
			-lpthread -o "$WORK/micro" &&
		gcc $CFLAGS "$HERE/batch.c" "$HERE/batch-sites.S" "$WORK/micro-hooks.o" "$LIB" \
			-Wl,--wrap=st_text_edit -lpthread -o "$WORK/batch"
}

part_micro()
{
	build_micro || return
	gcc -shared -fPIC -O2 -fcf-protection=none -falign-functions=64 -nostartfiles -I"$ROOT/include" \
		"$HERE/micro-patch.c" -o "$WORK/micro-patch.so" || return
	if [ -x "$TOOL" ]; then
		"$WORK/micro" "$CPU" "$(often 200 2000)" "$TOOL" "$WORK/micro-patch.so" >>"$OUT"
	else
		"$WORK/micro" "$CPU" "$(often 200 2000)" >>"$OUT"
	fi
}

part_batch()
{
	build_micro && "$WORK/batch" "$CPU" "$(often 10 60)" >>"$OUT"
}

mkdir -p "$WORK"
: >"$OUT"
machine
for part in ${parts:-$PARTS}; do
	say "bench: $part"
	"part_$part" 2>"$WORK/$part.log" ||
		unavailable "it failed: $(tail -n 1 "$WORK/$part.log") (build/bench/$part.log)" "$part"
done
if [ -n "$json" ]; then
	cat "$OUT"
else
	python3 "$HERE/table.py" $markdown "$OUT"
fi
