#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tests/vm/kernel.sh {arm64|arm}: the stock Debian kernel and the static busybox that a virtual machine boots, in
# build/vm/ARCH as vmlinuz and busybox; `version` names them. Nothing is installed; of the kernel's package only the
# image is kept: console, initramfs and timers are built in, no module is needed.

set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$ROOT/scripts/foreign.sh"

fetch_kernel()
{
	local arch=$1 dir=$BUILD/vm/$1 meta image tmp

	[ -e "$dir/version" ] && return
	case $arch in
	arm) meta=linux-image-armmp ;;
	arm64) meta=linux-image-arm64 ;;
	esac
	foreign_update "$arch"
	image=$(foreign_apt "$arch" apt-cache depends "$meta" | sed -n 's/^ *Depends: \(linux-image-\)/\1/p')
	[ -n "$image" ] || die "the archive has no kernel package $meta"
	say "kernel for the $arch virtual machine: $image, busybox-static, into $dir"
	tmp=$dir.new
	rm -rf "$tmp"
	mkdir -p "$tmp"
	(
		cd "$tmp"
		foreign_apt "$arch" apt-get download "$image" busybox-static >apt.log 2>&1 ||
			die "could not download $image for $arch: $(grep '^E:' apt.log | head -n 2)"
		dpkg-deb --fsys-tarfile linux-image-*.deb |
			tar -x --wildcards --strip-components=2 './boot/vmlinuz-*'
		dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -xO ./bin/busybox >busybox
		chmod 755 busybox
		mv vmlinuz-* vmlinuz
		ls ./*.deb | sed 's#^\./##; s#\.deb$##' >version
		rm -f ./*.deb apt.log
	)
	rm -rf "$dir"
	mv "$tmp" "$dir"
}

case ${1-} in
arm64 | arm) ;;
*) die "usage: tests/vm/kernel.sh {arm64|arm}" ;;
esac
locked "$BUILD/apt/$1.lock" fetch_kernel "$1"
echo "$BUILD/vm/$1"
