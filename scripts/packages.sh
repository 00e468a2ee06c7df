# SPDX-License-Identifier: GPL-2.0-only
# The Debian packages that each command of ./dev needs, and how they get onto the machine: only what is missing, said
# before it is done, and never a service started or enabled.

# Here is the place to add one. Everything is in bookworm's main archive.
PACKAGES_NATIVE='gcc libc6-dev binutils meson ninja-build pkg-config python3 libelf-dev libdw-dev zlib1g-dev libsodium-dev'
PACKAGES_CROSS='gcc-arm-linux-gnueabihf g++-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-aarch64-linux-gnu
	g++-aarch64-linux-gnu libc6-dev-arm64-cross debian-archive-keyring'
PACKAGES_DEMO='redis-server redis-tools'
PACKAGES_TEST='g++ clang musl-tools gdb mandoc qemu-user qemu-system-arm libzydis-dev libcapstone-dev libunicorn-dev
	redis-server redis-tools nginx memcached'
PACKAGES_BENCH="$PACKAGES_CROSS clang libclang-rt-14-dev lld redis-server redis-tools bpftrace uftrace gdb gdbserver qemu-user
	tcl make dpkg-dev patch xz-utils"
PACKAGES_FUZZ='clang libclang-rt-14-dev'
PACKAGES_FORMAT='clang-format'

# Prints those of the packages that are not installed.
missing_packages()
{
	local name

	for name in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
	done | sort -u
}

# The services that a package of ours brings; they are left disabled when we are who installed them.
package_service()
{
	case $1 in
	redis-server | nginx | memcached) echo "$1" ;;
	esac
}

# As root: installs packages, with every door shut through which a service might start. Debian asks policy-rc.d before
# a maintainer script starts anything; RUNLEVEL=1 says the same to scripts that do not ask.
install_as_root()
{
	local guard=/usr/sbin/policy-rc.d ours= name service

	if [ ! -e "$guard" ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$guard"
		chmod 755 "$guard"
		ours=y
	fi
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive LC_ALL=C
	# A list that fails is a warning: another one may have the package.
	apt-get -q -o DPkg::Lock::Timeout=600 update || echo "warning: apt-get update failed"
	apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
		install -y --no-install-recommends "$@" || return
	for name in "$@"; do
		service=$(package_service "$name")
		[ -n "$service" ] || continue
		# Both of Debian's ways to start something at boot: rc?.d, and systemd's units, whose helper
		# wants to know on whose behalf.
		update-rc.d "$service" disable || return
		DPKG_MAINTSCRIPT_PACKAGE=$name deb-systemd-helper disable "$service.service" || return
	done
	if [ -n "$ours" ]; then
		rm -f "$guard"
		trap - EXIT
	fi
}

# need PACKAGE…: sees to it that they are installed, or says how.
need()
{
	local missing out

	command -v dpkg-query >/dev/null || die "this is not Debian; install what these packages hold: $*"
	missing=$(missing_packages "$@" | tr '\n' ' ')
	missing=${missing% }
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" = 0 ]; then
		say "installing: $missing"
		out=$(install_as_root $missing 2>&1)
	elif sudo -n true 2>/dev/null; then
		say "installing (with sudo): $missing"
		out=$(sudo -n bash -c "$(declare -f package_service install_as_root); install_as_root \"\$@\"" \
			install $missing 2>&1)
	else
		die "only root may install Debian packages that are missing here:" \
			"apt-get install --no-install-recommends $missing"
	fi || {
		say "$out"
		die "could not install: $missing"
	}
	missing=$(missing_packages "$@" | tr '\n' ' ')
	[ -z "$missing" ] || die "apt reported success, but these are not installed: $missing"
}
