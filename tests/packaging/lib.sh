# shellcheck shell=bash
# lib.sh - clean Debian systems, on top of ../lib.sh:
#
#	debian bookworm "$TMP/clean"    # a minimal one; what it is made of is downloaded once a build directory
#	enter "$TMP/clean"              # with /proc, /dev, /sys and a clone of what is committed in /src
#	inside COMMAND...               # runs in /src there
#	keep_packages                   # what apt has downloaded there is there for the next one, too
. "${BASH_SOURCE[0]%/*}/../lib.sh"
. "$TESTS/debian.sh"
require mmdebstrap git

# shellcheck disable=SC2034
HERE=$TESTS/packaging

# debian RELEASE DIRECTORY
debian()
{
	local lines cache=$BUILD/packaging/$1

	DEBS=$cache/archives
	mkdir -p "$DEBS"
	exec 8>"$cache/lock"
	flock 8
	if [ ! -e "$cache/root.tar" ]; then
		mapfile -t lines < <(sources "$1")
		mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Sandbox::User "root"' \
			--aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io --skip=cleanup/apt/lists \
			--dpkgopt='path-exclude=/usr/share/locale/*' "$1" "$TMP/$1.tar" "${lines[@]}"
		mv "$TMP/$1.tar" "$cache/root.tar"
	fi
	mkdir "$2"
	tar -C "$2" --numeric-owner -xf "$cache/root.tar"
	mkdir -p "$2/var/cache/apt/archives"
	cp "$DEBS"/*.deb "$2/var/cache/apt/archives/" 2>/dev/null || true
	exec 8>&-
}

# enter ROOT: its scratch memory is ours, so that whatever is left there is found
enter()
{
	ROOT=$1
	mkdir -p "$TMP/shm" "$ROOT/src"
	mount_at "$ROOT" --bind "$ROOT" # a new mount namespace in there wants its root to be a mount
	mount_at "$ROOT/proc" -t proc proc
	mount_at "$ROOT/sys" --rbind /sys
	mount --make-rprivate "$ROOT/sys"
	defer umount -R "$ROOT/sys"
	mount_at "$ROOT/dev" --bind /dev
	mount_at "$ROOT/dev/shm" --bind "$TMP/shm"
	git -c advice.detachedHead=false clone -q "$TESTS/.." "$ROOT/src"
}

inside()
{
	chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		CI="$CI" JOBS="${JOBS:-$(nproc)}" sh -c 'cd /src && exec "$@"' sh "$@"
}

keep_packages() { cp -n "$ROOT"/var/cache/apt/archives/*.deb "$DEBS/"; }

# logged NAME COMMAND...: its output, in $TMP/NAME.txt, counts only if it fails
logged()
{
	local name=$1 began=$SECONDS
	shift
	"$@" >"$TMP/$name.txt" 2>&1 || { tail -n 60 "$TMP/$name.txt"; die "$name failed"; }
	note "  $name: $((SECONDS - began)) s"
}

# ours ROOT: what we have put there, one a line, in one way of writing: manuals are compressed by a distribution,
# units may be in /lib, Debian has a place of its own for zsh's completions
ours()
{
	(cd "$1" && find . -name '*bounce*' ! -path './src/*' ! -path './out/*' ! -path './proc/*' ! -path './sys/*' ! -path './dev/*' \
		! -path './var/*' \( -type f -o -type l -o -path '*/doc/*' \) | sed 's|^\./||'
	cd "$1" && find usr -path '*/doc/bouncefs/examples/*' -type f) |
		sed -e 's/\.gz$//' -e 's|^lib/systemd|usr/lib/systemd|' -e 's|^sbin/|usr/sbin/|' \
			-e 's|vendor-completions|site-functions|' -e '/\/doc\/bouncefs[-0-9.]*$/d' | sort -u
}
