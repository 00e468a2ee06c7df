#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# scripts/sysroot.sh {arm64|arm}: the libraries that a cross build compiles and links against, and that qemu-user and
# the virtual machines run with, in build/sysroot/ARCH. Nothing is installed. Made once for a list of packages; prints
# the folder. `rm -r build/sysroot` makes it anew from today's archive.

set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/foreign.sh"

# The last four are what decoders and planners of the target are shown: tests/arch/.
PACKAGES='libc6-dev libgcc-s1 libstdc++-12-dev libelf-dev libdw-dev zlib1g-dev libsodium-dev redis-server python3-minimal libssl3 libc6-dbg'

make_sysroot()
{
	local arch=$1 dir=$BUILD/sysroot/$1 tmp deb link target

	[ "$(sed -n 's/^wanted: //p' "$dir/.packages" 2>/dev/null)" = "$PACKAGES" ] && return
	foreign_update "$arch"
	say "sysroot for $arch: $PACKAGES and what they need, into $dir"
	foreign_download "$arch" $PACKAGES
	tmp=$dir.new
	rm -rf "$tmp"
	mkdir -p "$tmp"
	echo "wanted: $PACKAGES" >"$tmp/.packages"
	foreign_resolve "$arch" $PACKAGES >>"$tmp/.packages"
	sed 1d "$tmp/.packages" | while read -r deb; do
		dpkg-deb -x "$BUILD/apt/$arch/archives/$deb" "$tmp"
	done
	# A link that is absolute leads out of the sysroot, to this machine's own file or to nothing.
	find "$tmp" -type l -lname '/*' | while read -r link; do
		target=$(readlink "$link")
		ln -sfr "$tmp$target" "$link"
	done
	rm -rf "$tmp"/usr/share/{doc,man,lintian,locale} "$dir"
	mv "$tmp" "$dir"
}

case ${1-} in
arm64 | arm) ;;
*) die "usage: scripts/sysroot.sh {arm64|arm}" ;;
esac
locked "$BUILD/apt/$1.lock" make_sysroot "$1"
echo "$BUILD/sysroot/$1"
