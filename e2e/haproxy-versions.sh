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
. "$(dirname "$0")/private-apt.sh"
mirror=$(debian_mirror) || exit 1

work=$(mktemp -d "$dest/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

skip() { echo "skipped $1: $2" >&2; }

fetch() {
	suite=$1 dir=$work/$1
	sources=$suite
	# experimental holds only what differs from unstable.
	[ "$suite" = experimental ] && sources="experimental sid"
	# shellcheck disable=SC2086 # a list of words
	if ! update_suites "$dir" "$mirror" $sources; then
		skip "$suite" "the mirror has no such suite: $(first_error "$dir")"
		return 1
	fi
	packages=$(private_apt "$dir" apt-get -s -t "$suite" install haproxy 2>"$dir/log" |
		awk '/^Inst /{print $2}' | grep -E '^(haproxy|lib|gcc-)')
	if [ -z "$packages" ]; then
		skip "$suite" "no installable haproxy: $(first_error "$dir")"
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
	if ! unpack "$dir" $pinned; then
		skip "$suite" "cannot fetch and unpack it: $(first_error "$dir")"
		return 1
	fi

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
