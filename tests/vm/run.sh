#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tests/vm/run.sh [OPTIONS] ARCH [FILE…] -- COMMAND…: boots a stock Debian kernel (arm or arm64) under QEMU, runs each
# COMMAND in it with the shell, powers off. tests/README.md has the details; exit status 0 when all commands ended with 0.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for arch in "$@"; do
	case $arch in
	arm | arm64)
		"$here/kernel.sh" "$arch" >/dev/null
		"$here/../../scripts/sysroot.sh" "$arch" >/dev/null
		break
		;;
	--) break ;;
	esac
done
exec python3 "$here/vm.py" "$@"
