#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs everywhere.c under qemu-user, with what QEMU's own log says of how often each instruction runs: a translation block of one
# instruction each, all of them logged.
#
#	everywhere.sh PROGRAM
program=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
qemu=${MESON_EXE_WRAPPER%% *}
rest=${MESON_EXE_WRAPPER#"$qemu"}

# Where the program lies, by one run; it lies there in the next as well.
$MESON_EXE_WRAPPER "$program" --bare >"$dir/where" || exit 1
read -r base mark from size <"$dir/where"
$qemu -singlestep -d nochain,exec -dfilter "$from+$size" -D "$dir/log" $rest "$program" --bare >"$dir/again" || exit 1
cmp -s "$dir/where" "$dir/again" || { echo "the program lies elsewhere each time"; exit 1; }
# Trace CPU: HOST [.../ADDRESS/.../...] NAME
awk -F/ -v base="$base" -v mark="$mark" '
	function number(hex,	n, i) {
		hex = tolower(hex)
		sub(/^0x/, "", hex)
		for (i = 1; i <= length(hex); i++)
			n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
		return n
	}
	BEGIN { base = number(base); mark = number(mark); function_index = -1 }
	/^Trace/ {
		if (!($2 in known))
			known[$2] = number($2)
		at = known[$2]
		if (at == mark)
			function_index++
		n[function_index " " at - base]++
	}
	END { for (k in n) if (k !~ /^-/) print k, n[k] }' "$dir/log" >"$dir/truth"
[ -s "$dir/truth" ] || { echo "QEMU has logged nothing"; exit 1; }
$MESON_EXE_WRAPPER "$program" --truth "$dir/truth"
