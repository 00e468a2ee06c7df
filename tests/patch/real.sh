#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A stock server under load: a patch of two functions that have to change together goes in and out, by thread and by process, over and
# over. Every answer is the old one or the new one, no connection fails, and in the end the code is what the files hold.
# Usage: real.sh KIND SIDETRACK LOAD PATCH SOURCES; KIND: redis, nginx, python, memcached
KIND=$1 ST=$2 LOAD=$3 PATCH=$4 SRC=$5
. "$SRC/tests/probe/lib.sh"
NAME=real_$KIND
port=$((21000 + $$ % 20000))
servers= load= first=
trap 'for p in $load $servers $first; do kill -9 $p 2>/dev/null; done; rm -rf "$T"' EXIT

need() {
	[ -x "$1" ] || { echo "$1 is not installed"; exit 77; }
}
case $KIND in
redis)
	need /usr/bin/redis-server
	/usr/bin/redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$T" >"$T/server" 2>&1 &
	first=$!
	;;
nginx)
	need /usr/sbin/nginx
	cat >"$T/conf" <<-END
		daemon off;
		master_process on;
		worker_processes 2;
		user root;
		pid $T/pid;
		error_log $T/log;
		events { worker_connections 64; }
		http {
			access_log off;
			keepalive_requests 1000000;
			server { listen 127.0.0.1:$port; location / { return 200 "\$arg_real\n"; } }
		}
	END
	/usr/sbin/nginx -p "$T" -c "$T/conf" >"$T/server" 2>&1 &
	first=$!
	;;
python)
	need /usr/bin/python3.11
	cat >"$T/server.py" <<-END
		import socketserver
		class Handler(socketserver.StreamRequestHandler):
		    def handle(self):
		        for line in self.rfile:
		            self.wfile.write(b"%r\n" % float(line))
		class Server(socketserver.ThreadingTCPServer):
		    daemon_threads = allow_reuse_address = True
		Server(("127.0.0.1", $port), Handler).serve_forever()
	END
	/usr/bin/python3.11 "$T/server.py" >"$T/server" 2>&1 &
	first=$!
	;;
memcached)
	need /usr/bin/memcached
	/usr/bin/memcached -u root -l 127.0.0.1 -p $port -U 0 -t 4 >"$T/server" 2>&1 &
	first=$!
	;;
esac
# All processes of the server.
family() {
	echo $first $(cat /proc/$first/task/$first/children)
}
up() {
	[ "$("$LOAD" $KIND $port)" = old ]
}
wait_for up || { bad "the server does not answer: $(cat "$T/server")"; finish; exit 1; }
[ $KIND != nginx ] || wait_for sh -c "[ \$(cat /proc/$first/task/$first/children | wc -w) = 2 ]"
servers=$(family)
# What a new connection is answered; nginx: by whichever worker.
answer() {
	if [ $KIND = memcached ]; then
		exec 9<>/dev/tcp/127.0.0.1/$port
		printf 'stats\r\nquit\r\n' >&9
		if grep -q 'libevent patched' <&9; then echo new; else echo old; fi
		exec 9<&-
	else
		"$LOAD" $KIND $port
	fi
}
"$LOAD" $KIND $port 8 >"$T/load" 2>&1 &
load=$!

# change VERB WHAT...: in each process
change() {
	verb=$1
	shift
	for p in $servers; do
		"$ST" patch $verb -p $p --timeout 60s "$@" >"$T/out" 2>"$T/err"
		got=$?
		if [ $got = 0 ]; then ok; else bad "round $round: $verb in $p: exit status $got: $(cat "$T/err")"; fi
	done
}
rounds=6
[ $KIND != nginx ] || rounds=3
[ "${SIDETRACK_LONG:-}" = 1 ] && rounds=100
round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	level=thread
	[ $((round % 3)) = 0 ] && level=process
	change apply --allow-unsigned --level $level "$PATCH"
	is "round $round, $level: applied" "$(answer)" new
	change revert $NAME
	is "round $round, $level: reverted" "$(answer)" old
	[ "$failed" = 0 ] || break
done
for p in $servers; do
	"$ST" detach -p $p 2>"$T/err"
	is "detach: $(cat "$T/err")" $? 0
	clean "$KIND $p" $p
	is "mappings of ours" "$(grep -c sidetrack /proc/$p/maps)" 0
	if said=$("$SRC/scripts/compare-code.py" $p 2>&1); then ok; else bad "$said"; fi
done
is "the same processes" "$(family)" "$servers"
kill $load
wait $load
is "the load: $(cat "$T/load")" $? 0
load=
like "replies" "$T/load" '[1-9][0-9]* old'
[ $KIND = memcached ] || like "replies" "$T/load" '[1-9][0-9]* new'
cat "$T/load"
kill $first
wait $first 2>/dev/null
first= servers=
finish
