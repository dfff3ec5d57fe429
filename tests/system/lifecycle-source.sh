#!/bin/bash
# SOURCE: the mountpoint itself, a relative path, and one that vanishes.
. "${0%/*}/../lib.sh"
require xfs_io

note "SOURCE and MOUNTPOINT are the same directory"
pool xfs
mkdir "$POOL/images"
echo below >"$POOL/images/file"
bounce "$POOL/images" "$POOL/images"
is "mounted there" "$(findmnt -no FSTYPE "$POOL/images" | tail -n 1)" fuse.bouncefs
is "file" "$(cat "$POOL/images/file")" below
echo above >"$POOL/images/file"
truncate -s 10M "$POOL/images/disk.img"
dd if=/dev/urandom of="$POOL/images/disk.img" bs=1M count=10 conv=notrunc,fsync status=none
sum=$(sha256sum <"$POOL/images/disk.img")
unbounce "$POOL/images"
is "file below" "$(cat "$POOL/images/file")" above
is "image below" "$(sha256sum <"$POOL/images/disk.img")" "$sum"

note "relative operands, and nothing kept busy where it was started"
mount_at "$TMP/elsewhere" -t tmpfs none
mkdir "$TMP/elsewhere/mnt"
ln -s "$POOL/images" "$TMP/elsewhere/source"
(cd "$TMP/elsewhere" && "$BOUNCEFS" -o "log=$TMP/bouncefs.log" source ../mnt)
defer unbounce "$MNT"
detach "$TMP/elsewhere"
is "file" "$(cat "$MNT/file")" above
# a program that reads the output sees its end
is "output" "$(unbounce "$MNT"; timeout 10 "$BOUNCEFS" -o "log=$TMP/bouncefs.log" \
	"$POOL/images" "$MNT" 2>&1)" ""
unbounce "$MNT"

note "SOURCE is removed"
mkdir "$POOL/short-lived"
echo text >"$POOL/short-lived/file"
bounce "$POOL/short-lived" "$MNT"
exec 9<>"$MNT/file"
rm -r "$POOL/short-lived"
fails "No such file" touch "$MNT/new"
fails "No such file" cat "$MNT/absent"
is "listing" "$(ls "$MNT")" ""
echo TEXT >&9
exec 9>&-
unbounce "$MNT"

note "SOURCE's filesystem is lazily unmounted"
bounce "$POOL/images" "$MNT"
umount -l "$POOL"
echo "still there" >"$MNT/file"
is "file" "$(cat "$MNT/file")" "still there"
is "image" "$(sha256sum <"$MNT/disk.img")" "$sum"
unbounce "$MNT"
# the last user is gone: the device is free
within 5 mount "$POOL_LOOP" "$POOL"
is "file below" "$(cat "$POOL/images/file")" "still there"

note "SOURCE's filesystem shuts down"
bounce "$POOL/images" "$MNT"
exec 9<>"$MNT/disk.img"
xfs_io -x -c shutdown "$POOL"
fails "Input/output error" timeout 20 dd if="$MNT/disk.img" of=/dev/null iflag=direct status=none
fails "Input/output error" timeout 20 dd if=/dev/zero bs=4k count=1 conv=notrunc status=none \
	of="$MNT/disk.img" oflag=direct
fails "Input/output error" timeout 20 touch "$MNT/new"
fails "Input/output error" timeout 20 sync "$MNT/disk.img"
exec 9>&-
unbounce "$MNT"
# mountpoint(1) cannot tell about a dead filesystem
umount "$POOL"
