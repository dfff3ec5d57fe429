#!/bin/bash
# Where a file takes no direct I/O, a mode that wants it becomes the one that promises the same.
. "${0%/*}/lib"

truncate -s 1G "$TMP/disk"
loop "$TMP/disk" --direct-io=on
format ext4 "$LOOP"
mount_at "$TMP/pool" -o data=journal "$LOOP"
bounce "$TMP/pool" "$MNT"
truncate -s 8M "$MNT/a.img"
hold_open "$MNT/a.img"
effective "$MNT/a.img" "cache=writeback (auto: no direct I/O on this file)"
setting "$MNT/a.img" cache none
effective "$MNT/a.img" "cache=writeback (no direct I/O on this file)"
setting "$MNT/a.img" cache directsync
effective "$MNT/a.img" "cache=writethrough (no direct I/O on this file)"
dd if=/dev/urandom of="$TMP/data" bs=1M count=8 status=none
dd if="$TMP/data" of="$MNT/a.img" bs=1M conv=notrunc status=none
cmp "$TMP/data" "$MNT/a.img"
let_go
