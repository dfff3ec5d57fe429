#!/bin/bash
# A backing store that hangs is no dead daemon: the manager hears WATCHDOG=1 while requests wait for it,
# and while a successor waits for what its predecessor had under way there.
. "${0%/*}/lib.sh"
require xfs_io

store
truncate -s 1G "$STORE/disk"
pool xfs "$STORE/disk"
fallocate -l 16M "$POOL/vm.img"
dd if=/dev/zero of="$POOL/vm.img" bs=1M count=16 conv=notrunc,fsync status=none
manage "$POOL" "$MNT"
keeper

# watched: the watchdog is fed often enough for SECONDS (the manager allows one second between two)
watched()
{
	local before
	before=$(heard watchdog)
	sleep "$1"
	[ $(($(heard watchdog) - before)) -ge "$1" ] ||
		die "WATCHDOG=1 came $(($(heard watchdog) - before)) times in $1 s"
}

watched 2
note "requests wait for the store"
ctl hold write byte=h
xfs_io -d -c 'pwrite -q -S 0x68 0 4k' "$MNT/vm.img" &
within 10 holds 1
watched 3
note "a successor waits for what its predecessor had there"
kill_worker KILL
watched 3
ctl clear
wait $!
watched 2
