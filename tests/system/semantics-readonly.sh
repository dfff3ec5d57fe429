#!/bin/bash
# Mount options reach the kernel: ro, nodev, noexec, nosuid; and a pool that is read-only below.
. "${0%/*}/../lib.sh"

pool ext4
echo text >"$POOL/file"
echo image >"$POOL/disk.img"
cp /bin/true "$POOL/program"
mknod "$POOL/null" c 1 3

refuses_changes()
{
	is "image" "$(cat "$MNT/disk.img")" image
	fails "Read-only" touch "$MNT/new"
	fails "Read-only" dd if=/dev/zero of="$MNT/disk.img" conv=notrunc count=1 status=none
	fails "Read-only" rm "$MNT/file"
	fails "Read-only" mkdir "$MNT/dir"
	fails "Read-only" setfattr -n user.a -v b "$MNT/file"
	fails "Read-only" chmod 600 "$MNT/file"
	is "file" "$(cat "$MNT/file")" text
}

note "ro"
bounce "$POOL" "$MNT" ro
refuses_changes
unbounce "$MNT"

note "a pool that is mounted ro"
mount -o remount,ro "$POOL"
bounce "$POOL" "$MNT"
refuses_changes
unbounce "$MNT"
mount -o remount,rw "$POOL"

note "nodev, noexec, nosuid"
bounce "$POOL" "$MNT" nodev,noexec,nosuid
fails "Permission denied" cat "$MNT/null"
fails "Permission denied" "$MNT/program"
is "options" "$(findmnt -no VFS-OPTIONS "$MNT" | tr , '\n' | grep -cxE 'nodev|noexec|nosuid')" 3
unbounce "$MNT"

note "dev, exec, suid"
bounce "$POOL" "$MNT" dev,exec,suid
cat "$MNT/null"
"$MNT/program"
is "options" "$(findmnt -no VFS-OPTIONS "$MNT" | tr , '\n' | grep -cxE 'nodev|noexec|nosuid')" 0
