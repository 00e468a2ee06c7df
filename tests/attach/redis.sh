#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A stock redis-server under load whose replies are checked: probes inside of its functions, jumps and breakpoints, at places that overlap,
# and at returns, go on and off, and the tool is killed; afterwards no reply was wrong, and the code is what the file holds.
# Usage: redis.sh SIDETRACK SOURCES
ST=$1
SRC=$2
command -v redis-server >/dev/null || { echo "redis-server is not installed"; exit 77; }
T=$(mktemp -d) || exit 1
passed=0 failed=0
redis= load=
trap 'for p in $load $redis; do kill -9 $p 2>/dev/null; done; rm -rf "$T"' EXIT

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "failed: $*"; }
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', not '$3'"; fi; }
like() { if grep -Eq -- "$3" "$2"; then ok; else bad "$1: no line like '$3' in: $(head -5 "$2")"; fi; }

"${CC:-cc}" -O2 -o "$T/redis-load" "$SRC/examples/redis-load.c" || exit 1
port=$((20000 + $$ % 20000))
redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$T" >"$T/server" 2>&1 &
redis=$!
i=0
until "$T/redis-load" $port 1 1 >/dev/null 2>&1 || [ $i -gt 50 ]; do
	i=$((i + 1))
	sleep 0.2
done
"$T/redis-load" $port 4 3600 >"$T/load" 2>&1 &
load=$!

# probe NAME ARGS...: until COUNT hits; every line in $T/out
probe() {
	name=$1
	shift
	timeout 60 "$ST" probe -p $redis "$@" >"$T/out" 2>"$T/err"
	is "$name: exit status: $(tail -1 "$T/err")" $? 0
}
# Every place in the first bytes of a function that can be one: overlapping ones, so some have to be breakpoints.
places() {
	for off in $(seq 0 "$2"); do
		printf 'p:x%d redis-server:%s+%d\n' "$off" "$1" "$off"
	done
}

probe "returns" -n 300 'r:ret redis-server:processCommand result=$retval' 'r:find redis-server:dictFind entry=$retval'
like "returns" "$T/out" ': ret: \(.*<- processCommand\) result='
like "returns" "$T/out" ': find: \(.*<- dictFind\) entry='
# Each place that is refused is refused alone: only what is an instruction counts.
functions='dictFind lookupKey'
[ "${SIDETRACK_LONG:-}" = 1 ] && functions="$functions processCommand call lookupCommand addReply"
for f in $functions; do
	specs=()
	while read -r spec; do
		"$ST" probe -p $redis -c -n 1 "$spec" >/dev/null 2>&1 && specs+=("$spec")
	done < <(places $f 24)
	[ ${#specs[@]} -ge 4 ] && ok || bad "$f: only ${#specs[@]} places"
	"$ST" probe -p $redis -c "${specs[@]}" "r:ret redis-server:$f" >"$T/out" 2>"$T/err" &
	tool=$!
	i=0
	until "$ST" status -p $redis 2>/dev/null | grep -q 'ret [1-9]' || [ $i -gt 100 ]; do
		i=$((i + 1))
		sleep 0.1
	done
	"$ST" status -p $redis >"$T/status"
	like "$f: status" "$T/status" 'sites \(1 breakpoint\)'
	kill -INT $tool
	wait $tool
	is "$f: exit status" $? 0
	is "$f: places without a hit" "$(grep -c ' 0$' "$T/out")" 0
done
# Killed with all of it in place; detached by another.
for i in 1 2 3 4 5; do
	"$ST" probe -p $redis -c "${specs[@]}" "r:ret redis-server:$f" >/dev/null 2>&1 &
	tool=$!
	sleep 0.$((i * 15))
	kill -9 $tool
	wait $tool 2>/dev/null
done
"$ST" detach -p $redis 2>"$T/err"
is "detach: $(cat "$T/err")" $? 0
is "status" "$("$ST" status -p $redis 2>&1)" ""
is "mappings of ours" "$(grep -c memfd:sidetrack /proc/$redis/maps)" 0
if said=$("$SRC/scripts/compare-code.py" $redis 2>&1); then ok; else bad "$said"; fi
sleep 0.3
kill $load
wait $load
is "the load: $(cat "$T/load")" $? 0
load=
like "replies" "$T/load" '[1-9]'
cat "$T/load"
kill $redis
wait $redis
is "redis-server: exit status" $? 0
redis=
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
