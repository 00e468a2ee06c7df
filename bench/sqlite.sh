# SPDX-License-Identifier: GPL-2.0-only
# sqlite as Debian has it, for bench/run.sh: fetches the source package with an apt state of its own, makes the one-file
# form, and builds it with test/speedtest1.c. Sourced by bash.

. "$ROOT/scripts/foreign.sh"

SQLITE=$WORK/sqlite

# Leaves $SQLITE/sqlite3.c, sqlite3.h, speedtest1.c, version; a reason on stderr if not.
sqlite_source()
{
	local dir

	[ -e "$SQLITE/version" ] && return
	mkdir -p "$SQLITE/source" "$BUILD/apt/x86_64"
	foreign_sources | sed 's/^deb /deb-src /' >"$BUILD/apt/x86_64/sources.list"
	foreign_init x86_64
	foreign_apt x86_64 apt-get update >&2
	(cd "$SQLITE/source" && foreign_apt x86_64 apt-get --only-source source sqlite3) >&2 || return
	dir=$(find "$SQLITE/source" -maxdepth 1 -type d -name 'sqlite3-*' | head -n 1)
	(cd "$dir" && ./configure --disable-tcl && make sqlite3.c) >&2 || return
	cp "$dir/sqlite3.c" "$dir/sqlite3.h" "$dir/test/speedtest1.c" "$SQLITE" &&
		sed -n 's/^Version: //p' "$SQLITE"/source/*.dsc | head -n 1 >"$SQLITE/version"
}

# sqlite_build NAME FLAGS…: speedtest1 with these flags for all of sqlite, as objects with a section for each function.
# No PIE: GCC's -mnop-mcount has no other form.
sqlite_build()
{
	local name=$1 dir=$SQLITE/$1

	shift
	[ "$dir/speedtest1.o" -nt "$SQLITE/version" ] && return
	mkdir -p "$dir"
	gcc -O2 -fno-pie -fcf-protection=none -ffunction-sections -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION \
		-I"$SQLITE" "$@" -c "$SQLITE/sqlite3.c" -o "$dir/sqlite3.o" &&
		gcc -O2 -fno-pie -fcf-protection=none -ffunction-sections -I"$SQLITE" "$@" -c "$SQLITE/speedtest1.c" \
			-o "$dir/speedtest1.o"
}
