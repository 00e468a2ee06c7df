#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What runs at every hit, as the compiler made it: no vector register where none is saved, nothing from libc, and on the
# straight way through a hit no locked instruction, no system call and no call but the known ones.
#
#	hotpath.sh ARCH OBJDUMP ENGINE-HOT.a ENGINE-PROBE.a [AGENT.so]
arch=$1 objdump=$2 engine=$3 probe=$4 agent=$5
passed=0 failed=0

ok() {	# ok WHAT OFFENDERS
	if [ -z "$2" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $1:"
		echo "$2" | head -20
	fi
}

case $arch in
x86_64)
	vector='%[xyz]mm[0-9]|%mm[0-7]|%st|%k[0-7]|xsave|fxsave|xrstor'
	slow='(^|[ \t])lock[ \t]|syscall|sysenter|int +\$|xchg.*\(|cpuid|mfence|serialize'
	usual='popf|iret|fxsave|xsave|stmxcsr|fnst'
	;;
arm64)
	vector='(^|[^a-z0-9_])[vqdshbzp][0-9]+([^0-9a-z]|$)|fpcr|fpsr'
	slow='ldxr|ldaxr|stxr|stlxr|ldadd|cas|swp|ldset|ldclr|(^|[ \t])svc|dmb|dsb|isb'
	usual='[^ -~]'
	;;
arm)
	vector='(^|[^a-z0-9_])[qds][0-9]+([^0-9a-z]|$)|fpscr|vpush|vpop'
	slow='ldrex|strex|(^|[ \t])svc|dsb|isb|mcr'	# a dmb is what a release store is made of
	usual='[^ -~]'
	;;
esac

# "FUNCTION<tab>INSTRUCTION" of a disassembly; addresses of branches are left out, they look like registers.
lines() {
	awk '
	/^[0-9a-f]+ <.*>:$/ { name = $2; gsub(/[<>:]/, "", name); next }
	/^ *[0-9a-f]+:\t/ {
		n = split($0, part, "\t")
		text = ""
		for (i = 2; i <= n; i++)
			text = text " " part[i]
		sub(/[;@].*/, "", text)
		sub(/\/\/.*/, "", text)
		sub(/[0-9a-f]+ <[^>]*>.*/, "TARGET", text)
		print name "\t" text
	}'
}

vectors() {	# in functions that are not there to save them
	awk -F'\t' -v re="$vector" '$1 !~ /vector/ && $1 != "" && $2 ~ re'
}

hot() {		# of the straight way through a hit
	awk -F'\t' -v re="$slow" '$1 ~ /^(st_entry|st_dispatch|st_dispatch_general|st_return|st_return_alone|st_agent_count_brief|st_return_enter|st_return_run|st_probe_hit|st_return_probe_hit|st_agent_transition|st_agent_quiescent)$/ && $2 ~ re'
}

first_way() {	# from st_entry, and from st_return, to the first return
	awk -F'\t' -v re="$usual" '($1 == "st_entry" || $1 == "st_return") && !over[$1] {
		if ($2 ~ re) print; if ($2 ~ /(^| )ret/) over[$1] = 1 }'
}

code=$("$objdump" -d --no-show-raw-insn "$engine" | lines)
[ -n "$code" ] || { echo "no code in $engine"; exit 1; }
# Taking an instance is what a return probe's hit needs a locked instruction for; a probe's needs none.
probe_code=$("$objdump" -d --no-show-raw-insn "$probe" | lines)
for f in st_probe_hit st_return_probe_begin st_return_probe_end st_return_probe_hit; do
	echo "$probe_code" | grep -q "^$f	" && found= || found="no $f in $probe"
	ok "functions" "$found"
done
for f in st_entry st_dispatch st_dispatch_general st_dispatch_vector st_thread_find st_return st_return_enter st_return_run; do
	echo "$code" | grep -q "^$f	" && found= || found="no $f in $engine"
	ok "functions" "$found"
done

# Each rule must find what it is there for.
case $arch in
x86_64) set -- 'movaps %xmm0,(%rsp)' 'lock incq (%rax)' 'popf' ;;
arm64) set -- 'str q0, [sp]' 'ldxr x0, [x1]' '' ;;
arm) set -- 'vmov r0, s1' 'ldrex r0, [r1]' '' ;;
esac
[ -n "$(printf 'st_dispatch\t %s\n' "$1" | vectors)" ] && bad= || bad="finds no vector register"
ok "the test" "$bad"
[ -z "$(printf 'st_dispatch_vector\t %s\n' "$1" | vectors)" ] && bad= || bad="st_dispatch_vector may use them"
ok "the test" "$bad"
[ -n "$(printf 'st_dispatch\t %s\n' "$2" | hot)" ] && bad= || bad="finds no locked instruction"
ok "the test" "$bad"
[ -z "$3" ] || [ -n "$(printf 'st_entry\t %s\n' "$3" | first_way)" ] && bad= || bad="finds no popf"
ok "the test" "$bad"

ok "vector registers in the engine's hot part" "$(printf '%s\n%s\n' "$code" "$probe_code" | vectors)"
ok "not on the straight way through a hit" "$(printf '%s\n%s\n' "$code" "$probe_code" | hot)"
ok "too slow for the usual way out" "$(echo "$code" | first_way)"

# Symbols that no member of the archive defines.
symbols=$("$objdump" -t "$engine"; "$objdump" -t "$probe")
ok "symbols from outside" "$(echo "$symbols" | awk '
	/\*UND\*/ { undefined[$NF] = 1; next }
	NF >= 4 && $1 ~ /^[0-9a-f]+$/ { defined[$NF] = 1 }
	END { for (s in undefined) if (!(s in defined) && s !~ /^(_GLOBAL_OFFSET_TABLE_|__aeabi_unwind_cpp_pr[012])$/) print s }')"

if [ -n "$agent" ]; then
	code=$("$objdump" -d --no-show-raw-insn "$agent" | lines)
	[ -n "$code" ] && bad= || bad="no code in $agent"
	ok "the agent" "$bad"
	for f in st_agent_transition st_agent_quiescent; do
		echo "$code" | grep -q "^$f	" && found= || found="no $f in $agent"
		ok "functions" "$found"
	done
	ok "not on the straight way through a hook of a transition" "$(echo "$code" | grep '^st_agent_' | hot)"
	ok "vector registers in the agent" "$(echo "$code" | vectors)"
	ok "symbols from outside in the agent" "$("$objdump" -T "$agent" | awk '/\*UND\*/ && $NF != "" { print $NF }')"
fi

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
