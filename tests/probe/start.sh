#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# sidetrack probe -- COMMAND: programs of every kind are probed from their first instruction on, and run as they would without us.
# Usage: start.sh LIB SIDETRACK FAMILY FAMILY-STATIC FAMILY-NONPIE [FAMILY-MUSL]
ST=$2 FAMILY=$3 STATIC=$4 NONPIE=$5 MUSL=$6
. "$1"
cp "$FAMILY" "$T/family"
FAMILY=$T/family

# ---- the hits of all threads, from main() on; output and exit status are the program's
probe "start" 0 'p:m family:main argc=$arg1:s32' 'p:w family:work n=$arg1:s32' -- "$FAMILY" threads
like "main" "$T/out" '^family-[0-9]+ \[.*\] [0-9.]+: m: \(main\+0x0\) argc=2$'
lines "work" "$T/out" ': w: \(work\+0x0\) n=(10|11|12|70)$' 4
is "nothing else is said" "$(cat "$T/err")" ""
probe "a status" 0 'p:w family:work n=$arg1:s32' -- "$FAMILY" work 3
lines "a status" "$T/out" ' n=3$' 1
like "a status" "$T/err" 'family ended with status 6$'
printf 'one\ntwo\n' >"$T/in"
"$ST" probe -o "$T/hits" 'p:main main' 'p:w work' -- "$FAMILY" work 0 <"$T/in" >"$T/out" 2>"$T/err"
is "-o: exit status" $? 0
is "-o: stdout" "$(cat "$T/out")" ""
lines "-o: hits" "$T/hits" ': (main|w): ' 2
printf '#!/bin/sh\ncat\necho $1\nexit 4\n' >"$T/script"
chmod +x "$T/script"
"$ST" probe -c 'p:main main' -- "$T/script" three <"$T/in" >"$T/out" 2>"$T/err"
is "a script: exit status" $? "$(grep -q "nothing was there" "$T/err" && echo 1 || echo 0)"
like "a script: its stdin and stdout" "$T/out" '^two$'
like "a script: its argument" "$T/out" '^three$'
like "a script: its status" "$T/err" 'script ended with status 4'

# ---- what is there before the C library has begun
probe "the first instruction" 0 'p:s family:_start' 'p:m main' -- "$FAMILY" work 0
lines "the first instruction" "$T/out" ': s: ' 1
probe "the first instruction of a static program" 0 -c 'p:s _start' -- "$STATIC" work 0
is "the first instruction of a static program" "$(cat "$T/out")" "s 1"
probe "the loader itself" 0 -c 'p:l ld-*:*' -- "$FAMILY" threads
if [ "$(sed 's/^l //' "$T/out")" -gt 10 ] 2>/dev/null; then ok; else bad "the loader itself: $(cat "$T/out" "$T/err")"; fi
probe "a library" 0 -c 'p:e libc.so.6:exit' -- "$FAMILY" work 0
is "a library" "$(cat "$T/out")" "e 1"

# ---- kinds of programs
for kind in STATIC NONPIE MUSL; do
	eval prog=\$$kind
	[ -n "$prog" ] || continue
	cp "$prog" "$T/kind"
	probe "$kind" 0 'p:m main' 'p:w work n=$arg1:s32' -- "$T/kind" fork threads
	lines "$kind: main" "$T/out" ': m: ' 1
	lines "$kind: work" "$T/out" ': w: \(work\+0x0\) n=(10|11|12|70)$' 4
	lines "$kind: threads" "$T/out" "^kind-[1-9][0-9]* .* n=1[012]\$" 3
	is "$kind: threads differ" "$(sed -n 's/^kind-\([0-9]*\) .* n=1[012]$/\1/p' "$T/out" | sort -u | wc -l | tr -d ' ')" 3
done

# ---- ways to end
probe "enough hits" 0 -n 2 'p:w family:work n=$arg1:s32' -- "$FAMILY" threads wait
lines "enough hits" "$T/out" ': w: ' 2
# What is there from before must not be taken for a hit.
: >"$T/out"
"$ST" probe 'p:w family:work' -- "$FAMILY" threads until "$T/end" >"$T/out" 2>"$T/err" &
tool=$!
wait_for grep -q ': w: ' "$T/out" || bad "SIGTERM: there is no hit: $(cat "$T/err")"
kill -TERM $tool
wait $tool
is "SIGTERM: exit status" $? 0
touch "$T/end"

# ---- what can't be
probe "no such command" 1 'p main' -- no-such-command
like "no such command" "$T/err" "no-such-command can't be started: there is no such command"
probe "no such file" 1 'p main' -- "$T/nothing"
like "no such file" "$T/err" "can't be started: there is no such file"
: >"$T/empty"
probe "not executable" 1 'p main' -- "$T/empty"
like "not executable" "$T/err" "can't be started: it is not executable"
case ${SIDETRACK_ARCH:-x86_64} in
x86_64) machine='\267\000' ;;	# AArch64
*) machine='\076\000' ;;	# x86-64
esac
printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000'"$machine"'\001\000\000\000' >"$T/foreign"
dd if=/dev/zero bs=200 count=1 >>"$T/foreign" 2>/dev/null
chmod +x "$T/foreign"
probe "another architecture" 1 'p main' -- "$T/foreign"
probe "a function that is nowhere" 1 'p:w family:work' 'p nowhere' -- "$FAMILY" work 0
like "a function that is nowhere" "$T/err" "nothing was there that p nowhere matches"
lines "a function that is nowhere: the other one" "$T/out" ': w: ' 1
probe "no command" 2 'p main' --
probe "both" 2 -p 1 'p main' -- true
probe "no specification" 2 -- true
finish
