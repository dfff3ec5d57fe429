#!/bin/bash
# Installed, it is a filesystem to mount(8) and umount(8): options, fstab, remount, the helper.
. "${0%/*}/../lib.sh"
require mount.fuse meson

# the installed files appear in this mount namespace only, and go with it
DESTDIR=$TMP/root meson install -C "$BUILD" --no-rebuild --quiet
for dir in "$TMP"/root/*; do
	target=$(realpath "/${dir##*/}")
	mount -t overlay -o "lowerdir=$dir:$target" overlay "$target"
done

pool xfs
mknod "$POOL/null" c 1 3
by_mount() { env -i mount -t fuse.bouncefs "$POOL" "$MNT" "$@"; }
defer unbounce "$MNT"
option() { findmnt -no VFS-OPTIONS "$MNT" | tr , '\n' | grep -qx "$1"; }

note "everything that mount(8) passes"
by_mount -o rw,dev,suid,exec,noatime,nofail,_netdev,x-foo=bar,x-systemd.device-timeout=5,auto,cache=none
is "type and source" "$(findmnt -no FSTYPE,SOURCE "$MNT" | tr -s ' ')" "fuse.bouncefs $POOL"
option rw
option noatime
cat "$MNT/null"
echo text >"$MNT/file"
umount "$MNT"
by_mount -o ro,nodev,nosuid,noexec,nofail,user
for o in ro nodev nosuid noexec; do
	option $o || die "not $o: $(findmnt -no VFS-OPTIONS "$MNT")"
done
fails "Read-only" touch "$MNT/file"
fails "Permission denied" cat "$MNT/null"
umount "$MNT"
by_mount -o defaults
umount "$MNT"
fails "cache=" by_mount -o nonsense=1
fails "not a mountpoint" mountpoint "$MNT"

note "relative operands"
(cd "$TMP" && mount -t fuse.bouncefs "${POOL#"$TMP/"}" mnt)
is "file" "$(cat "$MNT/file")" text

note "remount"
mount -o remount,ro "$MNT"
option ro
fails "Read-only" touch "$MNT/file"
is "file" "$(cat "$MNT/file")" text
mount -o remount,rw "$MNT"
echo more >>"$MNT/file"
mount -o remount,ro,noexec "$MNT"
option noexec
is "keeper and worker" "$(pgrep -xc bouncefs)" 2
umount "$MNT"

note "umount waits for the daemon"
store
ctl delay 3000 fsync
# umount(8) looks for a helper if it is asked to, or finds an option in /run/mount/utab
mount -t fuse.bouncefs -o _netdev "$STORE" "$MNT"
echo image >"$MNT/disk.img"
# the last close of a writer syncs, and nobody waits for a close
umount "$MNT"
# its lock is gone a moment before it is
within 1 no_daemon
is "image" "$(cat "$STORE_BELOW/disk.img")" image

note "fstab"
echo "$POOL $MNT fuse.bouncefs defaults,noatime,nofail,_netdev,x-systemd.automount,cache=none 0 0" \
	>"$TMP/fstab"
mount -T "$TMP/fstab" "$MNT"
option noatime
is "file" "$(cat "$MNT/file")" $'text\nmore'
umount "$MNT"
mount -T "$TMP/fstab" -a
mountpoint -q "$MNT"
umount "$MNT"
