#!/bin/bash
# The bug that bouncefs exists for, and that it is gone: Debian's 6.1 kernel, whose Btrfs does nothing against it, and
# 6.12, whose Btrfs does. The steps are in guest/usr/local/sbin/proof; VM_ONLY=races, death or seal: only these.
# timeout: 900
# alone
. "${0%/*}/lib.sh"

guest_base
populate() { install "$TOOLS/"{race,hot,steps} "$ROOT/usr/local/sbin/" && cp "$TOOLS/libdie.so" "$ROOT/usr/local/lib/"; }
guest_disk "$TMP/root.ext4" populate
truncate -s 1G "$TMP/pool.btrfs"

# prove RELEASE [APPEND]: each on a root of its own, as a guest that is switched off may leave it in disorder
prove()
{
	note "$1"
	cp --sparse=always "$TMP/root.ext4" "$TMP/used.ext4"
	APPEND="init=/usr/local/sbin/proof ${VM_ONLY:+only=$VM_ONLY} $2" boot "$1" "$TMP/used.ext4" "$TMP/pool.btrfs" | tee "$TMP/said.log"
	verdict "$TMP/said.log"
	note "$SECONDS s since the test began"
}

prove "$OLD_RELEASE" expect=broken
prove "$RELEASE" ''
