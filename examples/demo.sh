#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The main job, on the stock Debian redis-server: attach while it is under load, look at its functions, print the
# arguments of some as they run, replace one, take it back, leave, and prove that nothing was harmed. `./dev demo` calls
# this; everything is on loopback and ends with the script.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/lib.sh"

sidetrack=$BUILD/sidetrack
port=${DEMO_PORT:-7391}
hits=${DEMO_HITS:-400}
work=$(mktemp -d "${TMPDIR:-/tmp}/sidetrack-demo.XXXXXX")
redis= bench= load=

finish()
{
	local pid

	for pid in $bench $load $redis; do
		kill "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
exec 3>&1

step()
{
	printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi
}

run()
{
	printf '$ %s\n' "${*@Q}" | sed -E "s#'([A-Za-z0-9_./=-]+)'#\1#g" | sed "s#$BUILD/##; s#$work/##g; s#$here/##g" >&3
	"$@"
}

field()
{
	sed -n "s/.*\b$1 \([0-9.]*\).*/\1/p" "$2"
}

now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}

threads_stopped()
{
	awk '/^State:/ && $2 ~ /[Tt]/ { n++ } END { print n + 0 }' /proc/"$redis"/task/*/status
}

cli()
{
	redis-cli -p "$port" "$@"
}

step "redis-server, stock Debian $(dpkg-query -W -f '${Version}' redis-server), on 127.0.0.1:$port"
"${CC:-cc}" -O2 -o "$work/redis-load" "$here/examples/redis-load.c"
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --daemonize no --dir "$work" >"$work/redis.log" &
redis=$!
for _ in $(seq 100); do
	[ "$(cli ping 2>/dev/null)" = PONG ] && break
	sleep 0.05
done
[ "$(cli ping)" = PONG ] || die "redis-server did not start: $(tail -n 3 "$work/redis.log")"
threads=$(ls /proc/"$redis"/task | wc -l)
echo "pid $redis, $threads threads"
"$work/redis-load" "$port" 8 2 >"$work/before"
echo "undisturbed: $(field rate "$work/before") requests a second, median $(field p50 "$work/before") us, 99 % $(field p99 "$work/before") us"
# One run after the other, each to its end: a run that loses a reply or a connection fails.
{
	runs=0
	while [ ! -e "$work/enough" ]; do
		redis-benchmark -p "$port" -t set,get,incr,lpush -c 20 -n 10000 -q || exit 1
		runs=$((runs + 1))
	done
	echo "$runs" >"$work/runs"
} >"$work/bench.out" 2>&1 &
bench=$!
"$work/redis-load" "$port" 8 3600 >"$work/load" &
load=$!
sleep 0.5
began=$(now_ms)

step "1. attach; what can be hooked?"
run "$sidetrack" functions -p "$redis" 'redis-server:*' >"$work/functions" 2>"$work/summary"
head -n 5 "$work/functions"
echo "..."
cat "$work/summary"
functions=$(wc -l <"$work/functions")
refused=$(grep -c ' no: ' "$work/functions" || true)

step "2. probes: functions that run under this load, and their arguments"
run "$sidetrack" probe -p "$redis" -n "$hits" 'p:command redis-server:processCommand client=$arg1' \
	'p:find redis-server:dictFind dict=$arg1 key=$arg2:string' >"$work/probe"
for name in command find; do
	grep -m 4 " $name: " "$work/probe" || die "no hit of $name"
done
echo "... $(wc -l <"$work/probe") lines"

step "3. replace pingCommand, by a patch compiled on the spot"
run "${CC:-cc}" -shared -fPIC -O2 -nostartfiles -I "$here/include" -o "$work/hello_ping.so" "$here/examples/redis-hello-ping.c"
old=$(cli ping)
run "$sidetrack" patch apply -p "$redis" --allow-unsigned "$work/hello_ping.so"
new=$(cli ping)
echo "redis-cli ping: $old -> $new"
run "$sidetrack" patch list -p "$redis"
sleep 1
run "$sidetrack" patch revert -p "$redis" hello_ping
again=$(cli ping)
echo "redis-cli ping: $new -> $again"
[ "$old" = PONG ] && [ "$new" = "PONG from a live patch" ] && [ "$again" = PONG ] || die "the answers are wrong"

step "4. detach, and the proof"
run "$sidetrack" detach -p "$redis"
ended=$(now_ms)
stopped=$(threads_stopped)
touch "$work/enough"
wait "$bench" || die "redis-benchmark failed: $(tail -n 3 "$work/bench.out")"
bench=
kill "$load"
wait "$load" || die "the load saw a wrong or lost reply: $(cat "$work/load")"
load=
compared=$("$here/scripts/compare-code.py" "$redis") || die "the code is not what the files hold: $compared"
tr '\r' '\n' <"$work/bench.out" | grep -i 'error' && die "redis-benchmark saw an error"
"$work/redis-load" "$port" 8 2 >"$work/after"
[ "$stopped" = 0 ] || die "$stopped threads are left stopped"
[ "$(ls /proc/"$redis"/task | wc -l)" = "$threads" ] || die "the number of threads changed"

cat <<TXT

---------------------------------------------------------------------------------------------------
 redis-server $redis was attached to, probed, patched, reverted and left in $((ended - began)) ms, under full load

 functions      $functions in redis-server, $((functions - refused)) can be hooked, $refused not
 probes         $(wc -l <"$work/probe") hits printed with their arguments
 patch          pingCommand: "$old" -> "$new" -> "$again"
 load meanwhile $(cat "$work/runs") runs of redis-benchmark, 40,000 requests each, all answered
                $(field requests "$work/load") checked requests: $(field replies "$work/load") replies, $(field wrong "$work/load") wrong, $(field failed "$work/load") failed connections
 longest wait   $(field max "$work/load") us for one of those replies (before: $(field max "$work/before") us)
 code           $compared
 threads        $threads, $stopped stopped
 as before      $(field rate "$work/before") requests/s, p99 $(field p99 "$work/before") us  ->  $(field rate "$work/after") requests/s, p99 $(field p99 "$work/after") us
---------------------------------------------------------------------------------------------------
TXT
