#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What ./dev bench runs.
#
#	./dev bench [quick] [--json | --markdown] [PART…]
#
#	quick	shorter runs: to see whether something is off, not to quote
#	--json	one JSON object a line in place of the table; --markdown: as docs/costs.md has it
#	PART	micro probe batch rest every attach patch peers insns; default all
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
PARTS='micro probe batch rest every attach patch peers insns'
. "$HERE/sqlite.sh"

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

# What the rows of part_micro, part_batch and part_peers share.
build_hooks()
{
	gcc $CFLAGS -mgeneral-regs-only -c "$HERE/micro-hooks.c" -o "$WORK/micro-hooks.o"
}

part_micro()
{
	local patch=()

	build_hooks &&
		gcc $CFLAGS -fcf-protection=none "$HERE/micro.c" "$HERE/micro-sites.S" "$WORK/micro-hooks.o" "$LIB" \
			-lpthread -o "$WORK/micro" &&
		gcc -shared -fPIC -O2 -fcf-protection=none -falign-functions=64 -nostartfiles -I"$ROOT/include" \
			-DPROGRAM='"micro"' "$HERE/micro-patch.c" -o "$WORK/micro-patch.so" || return
	[ ! -x "$TOOL" ] || patch=("$TOOL" "$WORK/micro-patch.so")
	"$WORK/micro" "$CPU" "$(often 200 4000)" "${patch[@]}" >>"$OUT"
}

part_probe()
{
	local tool=()

	gcc $CFLAGS -fcf-protection=none "$HERE/probe.c" "$HERE/probe-sites.S" "$LIB" -lpthread -o "$WORK/probe" || return
	[ ! -x "$TOOL" ] || tool=("$TOOL")
	"$WORK/probe" "$CPU" "$(often 100 1500)" "${tool[@]}" >>"$OUT"
}

part_batch()
{
	build_hooks &&
		gcc $CFLAGS "$HERE/batch.c" "$HERE/batch-sites.S" "$WORK/micro-hooks.o" "$LIB" -Wl,--wrap=st_text_edit \
			-lpthread -o "$WORK/batch" &&
		"$WORK/batch" "$CPU" "$(often 10 100)" >>"$OUT"
}

part_rest()
{
	sqlite_source && sqlite_build plain && sqlite_build mnop -pg -mfentry -mnop-mcount &&
		sqlite_build pfe5 -fpatchable-function-entry=5 || return
	version sqlite "$(cat "$SQLITE/version")"
	package_version lld
	"$HERE/rest.py" "$SQLITE" "$CPU" "$(often 3 12)" "$(often 2 7)" "$(often 5 10)" >>"$OUT"
}

part_every()
{
	sqlite_source && sqlite_build plain && sqlite_build mnop -pg -mfentry -mnop-mcount &&
		sqlite_build fentry -pg -mfentry || return
	for build in plain mnop; do
		gcc -no-pie "$SQLITE/$build"/*.o -lm -o "$SQLITE/speedtest1-$build" || return
	done
	gcc -no-pie "$SQLITE"/fentry/*.o -I"$ROOT" "$HERE/every-floor.S" -lm -o "$SQLITE/speedtest1-fentry" &&
		gcc $CFLAGS -fPIC -mgeneral-regs-only -c "$HERE/every-hook.c" -o "$WORK/every-hook.o" &&
		gcc $CFLAGS -fPIC -shared "$HERE/every.c" "$WORK/every-hook.o" "$LIB" -lpthread -o "$WORK/every.so" || return
	"$HERE/every.py" "$SQLITE" "$WORK/every.so" "$CPU" "$(often 3 15)" "$(often 5 10)" >>"$OUT"
}

part_attach()
{
	if [ ! -x "$TOOL" ]; then
		unavailable "the tool is not built ($TOOL)" attach/all
		return
	fi
	package_version redis-server
	"$HERE/attach.py" "$TOOL" "$(often 3 10)" >>"$OUT"
}

# patch_of OUT ARGUMENTS…
patch_of()
{
	local out=$1

	shift
	gcc -shared -fPIC -O2 -fcf-protection=none -falign-functions=64 -nostartfiles -I"$ROOT/include" "$@" -o "$WORK/$out"
}

part_patch()
{
	if [ ! -x "$TOOL" ]; then
		unavailable "the tool is not built ($TOOL)" patch/none_1
		return
	fi
	build_hooks &&
		gcc $CFLAGS -fcf-protection=none "$HERE/patch-change.c" "$HERE/micro-sites.S" "$WORK/micro-hooks.o" -lpthread \
			-o "$WORK/patch-change" &&
		gcc $CFLAGS "$HERE/patch.c" -lpthread -o "$WORK/patch" &&
		gcc $CFLAGS "$HERE/patch-tail.c" -lpthread -o "$WORK/patch-tail" &&
		patch_of patch-settled.so -DPROGRAM='"patch-change"' "$HERE/micro-patch.c" &&
		patch_of patch-moving.so "$HERE/patch-moving.c" &&
		patch_of patch-fix.so "$HERE/patch-fix.c" &&
		patch_of patch-redis.so -DREDIS "$ROOT/tests/patch/real-fix.c" || return
	"$WORK/patch-change" "$CPU" "$(often 200 1000)" "$TOOL" "$WORK/patch-settled.so" "$WORK/patch-moving.so" >>"$OUT" || return
	"$HERE/patch-memory.py" "$TOOL" "$WORK" "$ROOT/include" >>"$OUT" || return
	patch_tail || return
	for threads in 1 100; do
		"$WORK/patch" "$TOOL" "$WORK/patch-fix.so" $threads "$(often 10 100)" >>"$OUT" || return
	done
}

patch_tail()
{
	local port=$((21000 + $$ % 20000)) server status

	if ! command -v redis-server >/dev/null; then
		unavailable "redis-server is not installed" tail/none
		return 0
	fi
	package_version redis-server
	redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no >/dev/null &
	server=$!
	"$WORK/patch-tail" "$TOOL" "$WORK/patch-redis.so" "$(often 5 20)" $port $server >>"$OUT"
	status=$?
	kill $server
	wait $server
	return $status
}

part_peers()
{
	build_hooks &&
		gcc $CFLAGS -fno-pie -pg -mfentry -mnop-mcount -c "$HERE/peers-targets.c" -o "$WORK/peers-targets.o" &&
		gcc $CFLAGS -no-pie -fno-pie -fcf-protection=none "$HERE/peers.c" "$HERE/micro-sites.S" \
			"$WORK/peers-targets.o" "$WORK/micro-hooks.o" "$LIB" -lpthread -o "$WORK/peers" || return
	# With clang's runtime in a process of its own: it patches sleds of its own kind.
	rm -f "$WORK/peers-xray"
	clang -O2 -g -fno-pie -fxray-instrument -c "$HERE/peers-xray.c" -o "$WORK/peers-xray.o" &&
		gcc $CFLAGS -fno-pie -fcf-protection=none -DWITH_XRAY -c "$HERE/peers.c" -o "$WORK/peers-main.o" &&
		clang -no-pie -fxray-instrument -I"$ROOT" "$WORK/peers-main.o" "$WORK/peers-xray.o" "$HERE/micro-sites.S" \
			"$WORK/peers-targets.o" "$WORK/micro-hooks.o" "$LIB" -lpthread -o "$WORK/peers-xray"
	[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
	package_version bpftrace
	package_version uftrace
	package_version clang
	package_version gdbserver
	"$HERE/peers.py" "$WORK/peers" "$WORK/peers-xray" "$TOOL" "$CPU" "$(often 50 400)" >>"$OUT"
}

# insns_of ARCH ISA QEMU FLAGS…
insns_of()
{
	local arch=$1 isa=$2 qemu=$3 gcc sysroot=$BUILD/sysroot/$1 lib=$BUILD/$1/engine/libsidetrack.a

	shift 3
	gcc=$(gnu_triplet "$arch")-gcc
	"$gcc" --sysroot="$sysroot" $CFLAGS "$@" -mgeneral-regs-only -c "$HERE/micro-hooks.c" -o "$WORK/hooks-$isa.o" &&
		"$gcc" --sysroot="$sysroot" $CFLAGS "$@" "$HERE/insns.c" "$WORK/hooks-$isa.o" "$lib" -lpthread \
			-o "$WORK/insns-$isa" || {
		unavailable "it could not be built" "insns/$isa-nop-general"
		return
	}
	"$HERE/insns.py" "$isa" "$WORK/count.so" "$qemu" "$sysroot" "$WORK/insns-$isa" >>"$OUT"
}

part_insns()
{
	gcc -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden "$HERE/count.c" -o "$WORK/count.so" || return
	"$ROOT/dev" build arm64 && "$ROOT/dev" build arm || return
	package_version qemu-user
	insns_of arm64 a64 'qemu-aarch64 -cpu cortex-a72'
	insns_of arm64 sve 'qemu-aarch64 -cpu max'
	insns_of arm a32 qemu-arm -marm
	insns_of arm t32 qemu-arm -mthumb
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
