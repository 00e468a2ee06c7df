# SPDX-License-Identifier: GPL-2.0-only
# What the project's scripts share: where things are, how they speak, and the three targets.
# Sourced by bash; sets no state that a caller does not ask for.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SIDETRACK_BUILD:-$ROOT/build}

say()
{
	printf '%s\n' "$*" >&2
}

warn()
{
	say "warning: $*"
}

die()
{
	say "$0: $*"
	exit 1
}

# A target's names: ours is that of engine/arch/, Debian, GNU and QEMU each have their own.
debian_arch()
{
	case $1 in
	x86_64) echo amd64 ;;
	arm64) echo arm64 ;;
	arm) echo armhf ;;
	*) die "unknown target '$1': x86_64, arm64 and arm are known" ;;
	esac
}

gnu_triplet()
{
	case $1 in
	x86_64) echo x86_64-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	arm) echo arm-linux-gnueabihf ;;
	*) die "unknown target '$1': x86_64, arm64 and arm are known" ;;
	esac
}

# Runs a command under an exclusive lock, so that two ./dev in one tree do not build the same thing at once.
locked()
{
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(
		flock 9
		"$@" 9>&-
	) 9>"$file"
}
