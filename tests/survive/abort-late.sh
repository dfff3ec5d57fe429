#!/bin/bash
# The connection is aborted while a write is on its way to the disk: as long as that may land, the pool
# has no new daemon, whose newer write it would land on top of.
. "${0%/*}/lib.sh"

require xfs_io
store
kind=xfs
truncate -s 1G "$STORE/disk.$kind"
pool "$kind" "$STORE/disk.$kind"
dd if=/dev/zero of="$POOL/vm.img" bs=64k count=16 conv=fsync status=none
mount_at "$TMP/fusectl" -t fusectl none
bounce "$POOL" "$MNT"
ctl hold write file="disk.$kind" byte=1 times=1
xfs_io -d -c 'pwrite -q -S 0x31 0 4k' "$MNT/vm.img" &
within 10 holds 1
echo 1 >"$TMP/fusectl/$(mountpoint -d "$MNT" | cut -d: -f2)/abort"
wait $! || true
umount -l "$MNT"

note "the pool stays locked"
fails "served by another bouncefs" "$BUILD/bouncefs" "$POOL" "$MNT"

note "until the write has landed"
ctl release
bounce "$POOL" "$MNT"
xfs_io -d -c 'pwrite -q -S 0x32 0 4k' -c fsync "$MNT/vm.img"
sleep 1
is "block" "$(dd if="$POOL/vm.img" bs=4k count=1 iflag=direct status=none | head -c 1)" 2
