# Sourced by haproxy-versions.sh, mysql-server.sh and mariadb-server.sh: packages of any
# Debian suite from the mirror that this machine is configured with, through an apt of
# their own: nothing is installed, no source list of the machine is touched.
# shellcheck shell=sh

# debian_mirror prints the mirror's URI; it ends the script where there is none.
debian_mirror() {
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's|^Debian ||p' | grep -v security | head -n 1)
	if [ -z "$mirror" ]; then
		# Before the first apt-get update no index is known: read the configured source.
		mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
			sed -n -e 's/^URIs: *//p' -e 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' |
			grep '/debian/\{0,1\}$' | head -n 1)
	fi
	if [ -z "$mirror" ]; then
		echo "${0##*/}: no Debian mirror in this machine's apt sources: nothing to fetch" >&2
		return 1
	fi
	echo "$mirror"
}

# private_apt DIR COMMAND... runs a command of apt with its lists, cache and an empty dpkg
# status in DIR, so that every library is fetched, whatever this machine has installed.
private_apt() {
	dir=$1 cmd=$2
	shift 2
	"$cmd" -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$dir/state" \
		-o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
		-o APT::Sandbox::User=root -o APT::Install-Recommends=0 -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::Check-Valid-Until=false -o Acquire::Retries=2 \
		-o APT::Update::Post-Invoke-Success::= -o DPkg::Post-Invoke::= "$@"
}

# update_suites DIR MIRROR SUITE... makes DIR and reads the suites' lists into it; what apt says
# is in DIR/log.
update_suites() {
	dir=$1 from=$2
	shift 2
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/debs" "$dir/root" || return 1
	: >"$dir/status"
	option=
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keyring" ] && option="[signed-by=$keyring] "
	for s in "$@"; do
		echo "deb $option$from $s main"
	done >"$dir/sources.list"
	private_apt "$dir" apt-get -q update >"$dir/log" 2>&1 && ! grep -q '^E:' "$dir/log"
}

# first_error DIR is the first thing that apt complained of.
first_error() { grep '^E:' "$1/log" | head -n 1; }

# server_packages DIR PATTERN PACKAGE... prints what is fetched of PACKAGE and all that it needs:
# what PATTERN matches, and libraries.
server_packages() {
	dir=$1 pattern=$2
	shift 2
	private_apt "$dir" apt-get -s install "$@" 2>"$dir/log" |
		awk '/^Inst /{print $2}' | grep -E "^($pattern|lib[a-z0-9].*)\$" | grep -v -E -- '-perl$'
}

# unpack DIR PACKAGE... fetches packages and unpacks them into DIR/root.
unpack() {
	dir=$1
	shift
	(cd "$dir/debs" && private_apt "$dir" apt-get -q download "$@") >"$dir/log" 2>&1 || return 1
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb -x "$deb" "$dir/root" || return 1
	done
}
