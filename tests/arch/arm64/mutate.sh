#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# mutate.sh TORTURE-ALONE: takes out each instruction of st_entry and st_dispatch_vector in turn, on processors that
# differ in their vector state. The torture must fail on one of them. Without --long, only some of the instructions.

torture=$1
nm=${NM:-aarch64-linux-gnu-nm}
step=7
[ "${SIDETRACK_LONG:-0}" = 1 ] && step=1
set -- $($nm -S "$torture" | awk '
	$4 == "st_entry" { e = "0x" $2 }
	$4 == "st_dispatch_vector" { v = "0x" $2 }
	END { print e, v }')
[ $# = 2 ] || { echo "no symbols in $torture"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -r "$tmp"' EXIT

runs=0
for how in cortex-a72: max,sme=off: max: max,sme_fa64=off:--streaming; do
	QEMU_CPU=${how%:*} $MESON_EXE_WRAPPER "$torture" --misaligned --step $step ${how#*:} --mutate "$@" \
		>"$tmp/$runs" 2>/dev/null
	# 77: no such mode here
	[ $? = 77 ] && continue
	runs=$((runs + 1))
done
[ $runs -gt 2 ] || { echo "only $runs kinds of vector state here"; exit 77; }
taken=$(sed -n 's/.*: \([0-9]*\) instructions taken out.*/\1/p' "$tmp/0" | awk '{ n += $1 } END { print n }')

# Not noticed on any. Four may be missing: the comparison that spares copying a frame onto itself (cmp, b.eq), the mov of
# sp below a frame that is being copied (only a signal at that moment would tell), and the tbz for processors with SME but
# no SVE (QEMU has none).
survivors=$(grep -h 'nobody notices' "$tmp"/* | sed 's/nobody notices when //; s/ is missing//' | sort | uniq -c |
	awk -v runs=$runs '$1 == runs && !/st_entry: (eb06009f|54000200|910000ff)|vector: 3607/')
echo "$survivors"
n=$(printf '%s' "$survivors" | grep -c .)
echo "$((taken - n)) passed, $n failed, 0 skipped"
[ "$n" = 0 ] && [ "${taken:-0}" -gt 20 ]
