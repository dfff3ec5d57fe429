#!/bin/bash
# `meson install` puts everything where it is looked for. (Below /usr it is what the packages have: packages.sh.)
. "${0%/*}/lib.sh"

prefix=$(meson introspect --buildoptions "$BUILD" | sed -n 's/.*"name": "prefix", "value": "\([^"]*\)".*/\1/p')
[ -n "$prefix" ] || die "no prefix"
DESTDIR=$TMP/tree logged install meson install -C "$BUILD" --no-rebuild
# mount(8) looks for its helpers in one place
ours "$TMP/tree" | sed "s|^${prefix#/}/|usr/|" | sort >"$TMP/found"
diff "$HERE/files" "$TMP/found" || die "installed below $prefix"
grep -q "^ExecStart=$prefix/sbin/bouncefs " "$TMP/tree$prefix/lib/systemd/system/bouncefs@.service" ||
	die "the unit starts something else"
grep -q "^exec $prefix/sbin/bouncefs " "$TMP/tree/usr/sbin/mount.bouncefs" || die "mount.bouncefs, too"
