#!/bin/bash
# The Debian package and the RPM are built from what is committed with what they say they need, installed on a
# clean system, and removed without a trace.
# timeout: 400
. "${0%/*}/lib.sh"

# listing DIRECTORY: all that is installed there but the package manager's memory
listing()
{
	(cd "$1" && find . \( -path ./src -o -path ./proc -o -path ./sys -o -path ./dev -o -path ./out -o \
		-path ./var/cache -o -path ./var/lib/apt -o -path ./var/log -o -path ./run \) -prune -o \
		! -path './var/lib/dpkg/*' -print | sort)
}

note "build"
debian bookworm "$TMP/build"
enter "$TMP/build"
mkdir "$ROOT/out"
logged update inside apt-get update -q
logged tools inside apt-get install -q -y --no-install-recommends git lintian rpm
logged build-dep inside apt-get build-dep -q -y --no-install-recommends ./contrib
keep_packages
inside git config --global --add safe.directory /src
logged deb inside contrib/package deb /out
! grep -E 'warning:' "$TMP/deb.txt" || die "the compiler warns"
inside sh -c 'lintian --allow-root --fail-on error,warning,info /out/*.changes' || die "lintian"
logged rpm inside contrib/package rpm /out

note "the RPM's files"
inside sh -c 'mkdir /out/rpm && rpm --root /out/rpm --dbpath /db -i --nodeps --noscripts /out/*.rpm' >"$TMP/rpm-i.txt" 2>&1
ours "$ROOT/out/rpm" | grep -v '/\(build-id\|licenses\)' >"$TMP/found"
diff "$HERE/files" "$TMP/found" || die "in the RPM"
inside sh -c 'rpm --root /out/rpm --dbpath /db -e --noscripts bouncefs' >"$TMP/rpm-e.txt" 2>&1
is "left by the RPM" "$(ours "$ROOT/out/rpm")" ""

note "install the Debian package on a clean system"
mkdir "$TMP/out"
cp "$ROOT"/out/bouncefs_*.deb "$TMP/out"
debian bookworm "$TMP/clean"
listing "$TMP/clean" >"$TMP/before"
enter "$TMP/clean"
mkdir "$ROOT/out"
cp "$TMP"/out/*.deb "$ROOT/out"
logged update inside apt-get update -q
logged apt inside sh -c 'apt-get install -q -y --no-install-recommends /out/*.deb'
ours "$ROOT" >"$TMP/found"
diff "$HERE/files" "$TMP/found" || die "in the Debian package"
like "version" "$(inside bouncefs --version | head -n 1)" "bouncefs [0-9]*"
like "bouncectl" "$(inside bouncectl status)" ""

note "it mounts"
mkdir "$ROOT/pool"
echo old >"$ROOT/pool/a.img"
inside mount -t fuse.bouncefs -o cache=writeback,x-test /pool /pool
defer detach "$ROOT/pool"
is "through the mount" "$(inside bouncectl get /pool/a.img cache)" writeback
inside umount /pool
is "the daemons" "$(pgrep -x bouncefs || true)" ""
rm -r "$ROOT/pool"

note "purge"
# an instance, as `systemctl enable` makes it
mkdir -p "$ROOT/etc/systemd/system/multi-user.target.wants"
ln -s /lib/systemd/system/bouncefs@.service \
	"$ROOT/etc/systemd/system/multi-user.target.wants/bouncefs@pool.service"
logged purge inside apt-get purge -q -y bouncefs
logged purge inside apt-get autoremove -q -y --purge
find "$ROOT/etc/systemd/system/multi-user.target.wants" "$ROOT/etc/systemd/system" -type d -empty -delete 2>/dev/null || true
listing "$ROOT" >"$TMP/after"
diff "$TMP/before" "$TMP/after" || die "purging leaves something"
