#!/bin/sh
# Unpacks HAProxy releases beside the installed one, so that tests can run
# against all of them: one per Debian suite, as an executable DEST/X.Y/haproxy.
#
#   usage: haproxy-versions.sh DEST [SUITE...]
#
# The packages come through apt from the mirror that this machine is configured
# with, into a private apt directory: nothing is installed, no source list of the
# machine is touched. Each haproxy runs with its own suite's libraries and never
# sees the machine's, except where the machine's C library is the newer one (it
# is backward compatible, and only glibc 2.33 and later know --argv0).
#
# What cannot be had is skipped with one line on stderr. Versions that are there
# already are kept. The exit status is 0 if at least one version is usable.
set -u

if [ $# -lt 1 ]; then
	echo "usage: $0 DEST [SUITE...]" >&2
	exit 2
fi
mkdir -p "$1" || exit 1
dest=$(cd "$1" && pwd)
shift
# Debian 11 has 2.2, 12 has 2.6, 13 has 3.0, testing 3.2, experimental the next.
suites=${*:-"bullseye bookworm trixie forky experimental"}

arch=$(dpkg --print-architecture)
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
	sed -n 's|^Debian ||p' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	# Before the first apt-get update no index is known: read the configured source.
	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		sed -n -e 's/^URIs: *//p' -e 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' |
		grep '/debian/\{0,1\}$' | head -n 1)
fi
if [ -z "$mirror" ]; then
	echo "no Debian mirror in this machine's apt sources: nothing to fetch" >&2
	exit 1
fi

work=$(mktemp -d "$dest/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# A private apt: own lists, own cache, and an empty dpkg status so that every
# library is fetched, whatever this machine has installed.
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

skip() { echo "skipped $1: $2" >&2; }

fetch() {
	suite=$1 dir=$work/$1
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/debs" "$dir/root"
	: >"$dir/status"
	option=
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keyring" ] && option="[signed-by=$keyring] "
	echo "deb $option$mirror $suite main" >"$dir/sources.list"
	# experimental holds only what differs from unstable.
	[ "$suite" = experimental ] && echo "deb $option$mirror sid main" >>"$dir/sources.list"
	if ! private_apt "$dir" apt-get -q update >"$dir/log" 2>&1 || grep -q '^E:' "$dir/log"; then
		skip "$suite" "the mirror has no such suite: $(grep '^E:' "$dir/log" | head -n 1)"
		return 1
	fi
	packages=$(private_apt "$dir" apt-get -s -t "$suite" install haproxy 2>"$dir/log" |
		awk '/^Inst /{print $2}' | grep -E '^(haproxy|lib|gcc-)')
	if [ -z "$packages" ]; then
		skip "$suite" "no installable haproxy: $(grep '^E:' "$dir/log" | head -n 1)"
		return 1
	fi
	# The machine's C library serves where it is at least as new.
	theirs=$(private_apt "$dir" apt-cache policy libc6 | sed -n 's/^ *Candidate: //p')
	ours=$(dpkg-query -W -f '${Version}' libc6 2>/dev/null)
	loader=
	if dpkg --compare-versions "${ours:-0}" ge "${theirs:-0}"; then
		packages=$(echo "$packages" | grep -v -E '^(libc6|libc-bin|libcrypt1|libgcc-s1|gcc-.*)$')
		loader=$(find -L /lib64 /lib -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
	fi
	pinned=$(for p in $packages; do
		[ "$p" = haproxy ] && echo "haproxy/$suite" || echo "$p"
	done)
	# shellcheck disable=SC2086 # a list of words
	if ! (cd "$dir/debs" && private_apt "$dir" apt-get -q download $pinned) >"$dir/log" 2>&1; then
		skip "$suite" "download failed: $(grep '^E:' "$dir/log" | head -n 1)"
		return 1
	fi
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb -x "$deb" "$dir/root" || { skip "$suite" "cannot unpack ${deb##*/}"; return 1; }
	done

	version=$(dpkg-deb -f "$dir"/debs/haproxy_*.deb Version | sed 's/^[0-9]*://; s/^\([0-9]*\.[0-9]*\).*/\1/')
	target=$dest/$version
	rm -rf "$target"
	mkdir -p "$target"
	# Only what HAProxy can load at run time is kept.
	(cd "$dir/root" && rm -rf usr/share etc var) && mv "$dir/root" "$target/root"
	[ -n "$loader" ] || loader=$(find "$target/root" -name 'ld-linux*.so.*' | head -n 1)
	triplet=$(basename "$(dirname "$(find "$target/root" -path '*/lib/*-linux-gnu/*' -name 'lib*.so.*' | head -n 1)")")
	# --argv0 names the wrapper: a master process that reloads executes argv[0] again.
	cat >"$target/haproxy" <<-WRAPPER
		#!/bin/sh
		exec "$loader" --argv0 "$target/haproxy" \\
			--library-path "$target/root/usr/lib/$triplet:$target/root/lib/$triplet" \\
			"$target/root/usr/sbin/haproxy" "\$@"
	WRAPPER
	chmod +x "$target/haproxy"
	if ! "$target/haproxy" -v >"$dir/log" 2>&1; then
		skip "$suite" "haproxy $version does not start here: $(head -n 1 "$dir/log")"
		rm -rf "$target"
		return 1
	fi
	echo "$suite" >"$target/suite"
}

for suite in $suites; do
	have=$(grep -lx "$suite" "$dest"/*/suite 2>/dev/null | head -n 1)
	if [ -z "$have" ] || ! "${have%/suite}/haproxy" -v >/dev/null 2>&1; then
		fetch "$suite"
		rm -rf "${work:?}/$suite"
	fi
done

status=1
for wrapper in "$dest"/*/haproxy; do
	if [ -x "$wrapper" ]; then
		echo "$wrapper: $("$wrapper" -v | head -n 1)"
		status=0
	fi
done
exit $status
