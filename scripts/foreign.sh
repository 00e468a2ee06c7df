# SPDX-License-Identifier: GPL-2.0-only
# Debian packages of another architecture, without `dpkg --add-architecture` and without root: an apt state of its own
# under build/apt/ARCH. The machine's own package state is never touched; a repository that fails is a warning, because
# the foreign index of the security archive is often out of step.

# Sources: where this machine gets Debian from, as far as it is a Debian archive (others rarely have armhf).
foreign_sources()
{
	local lines

	lines=$(apt-get indextargets 'Created-By: Packages' --format \
		'$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
		sed -n 's/^Debian deb /deb /p' | sort -u)
	# Lists that were never fetched name no origin.
	if [ -z "$lines" ]; then
		lines='deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main'
	fi
	printf '%s\n' "$lines" |
		sed 's#^deb #deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] #'
}

# The apt state of ARCH, written anew each time: the tree may have moved, the machine's proxy may have changed.
foreign_init()
{
	local arch=$1 deb dir=$BUILD/apt/$1

	deb=$(debian_arch "$arch")
	mkdir -p "$dir"/{lists/partial,archives/partial,log,empty/partial}
	: >"$dir/status"
	[ -e "$dir/sources.list" ] || foreign_sources >"$dir/sources.list"
	# The machine's hooks (Post-Invoke and the like) are for its own state; its proxy is for us, too.
	{
		cat <<-END
			Dir::Etc::Parts "$dir/empty";
			Dir::Etc::Main "/dev/null";
			Dir::Etc::SourceList "$dir/sources.list";
			Dir::Etc::SourceParts "$dir/empty";
			Dir::Etc::PreferencesParts "$dir/empty";
			Dir::State "$dir";
			Dir::State::Lists "$dir/lists";
			Dir::State::status "$dir/status";
			Dir::State::extended_states "$dir/extended_states";
			Dir::Cache "$dir";
			Dir::Cache::archives "$dir/archives";
			Dir::Cache::pkgcache "";
			Dir::Cache::srcpkgcache "";
			Dir::Log "$dir/log";
			APT::Architecture "$deb";
			APT::Architectures { "$deb"; };
			APT::Install-Recommends "false";
			APT::Sandbox::User "";
			Acquire::Languages "none";
			Acquire::GzipIndexes "true";
			Acquire::Retries "3";
			Debug::NoLocking "true";
		END
		apt-config dump | grep -E '^Acquire::(http|https|Check-|ForceIPv)' || true
	} >"$dir/apt.conf"
}

# foreign_apt ARCH apt-get|apt-cache ARGUMENTS…
foreign_apt()
{
	local arch=$1 tool=$2

	shift 2
	APT_CONFIG=$BUILD/apt/$arch/apt.conf "$tool" -q "$@"
}

# Fetches the package lists once. Half of an answer is enough: what is missing shows when a package is asked for.
foreign_update()
{
	local arch=$1 dir=$BUILD/apt/$1

	foreign_init "$arch"
	[ -e "$dir/lists/fetched" ] && [ "${2-}" != again ] && return
	say "package lists of $(debian_arch "$arch") (apt state of its own in $dir)"
	foreign_apt "$arch" apt-get update >"$dir.log" 2>&1 ||
		warn "a package list of $(debian_arch "$arch") could not be fetched; going on with what there is:
$(grep -E '^(E|W|Err)' "$dir.log" | head -n 4)"
	ls "$dir"/lists/*_Packages* >/dev/null 2>&1 ||
		die "no package list of $(debian_arch "$arch") could be fetched: $(tail -n 1 "$dir.log")"
	touch "$dir/lists/fetched"
}

# foreign_resolve ARCH PACKAGE… prints the file names (name_version_arch.deb) of the packages and of all they need.
foreign_resolve()
{
	local arch=$1

	shift
	# An empty cache, because apt does not print what it has downloaded already.
	foreign_apt "$arch" apt-get install -y --print-uris --no-install-recommends \
		-o Dir::Cache::archives="$BUILD/apt/$arch/empty" "$@" |
		sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" | sort
}

# foreign_download ARCH PACKAGE…: the packages and all they need, in build/apt/ARCH/archives.
foreign_download()
{
	local arch=$1 log=$BUILD/apt/$1.log

	shift
	if ! foreign_apt "$arch" apt-get install -y --download-only --no-install-recommends "$@" >"$log" 2>&1; then
		# The archive has moved on since the lists were fetched.
		foreign_update "$arch" again
		foreign_apt "$arch" apt-get install -y --download-only --no-install-recommends "$@" \
			>"$log" 2>&1 ||
			die "could not download $* for $(debian_arch "$arch"): $(grep '^E:' "$log" | head -n 2)"
	fi
}
