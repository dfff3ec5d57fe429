#!/bin/bash
# Btrfs subvolumes and mounts below SOURCE repeat inode numbers; through the mount they are kept
# apart, and it is still impossible to link or rename across them.
. "${0%/*}/../lib.sh"

pool btrfs
btrfs -q subvolume create "$POOL/sub"
btrfs -q subvolume create "$POOL/sub/nested"
mkdir "$POOL/mounted"
truncate -s 64M "$TMP/inner"
loop "$TMP/inner"
format ext4 "$LOOP"
mount_at "$POOL/mounted" "$LOOP"

directories=(. sub sub/nested mounted)
for dir in "${directories[@]}"; do
	mkdir "$POOL/$dir/d"
	echo "in $dir" >"$POOL/$dir/d/file"
	echo "image in $dir" >"$POOL/$dir/disk.img"
done
btrfs -q subvolume snapshot "$POOL/sub" "$POOL/snapshot"
echo "in snapshot" >"$POOL/snapshot/d/file"
directories+=(snapshot)
bounce "$POOL" "$MNT"

numbers() { (cd "$MNT" && find . -printf '%i %p\n' | sort -n); }

note "inode numbers do repeat below"
is "inode number of the snapshot's file" "$(stat -c %i "$POOL/snapshot/d/file")" \
	"$(stat -c %i "$POOL/sub/d/file")"

note "each file is itself"
for round in first second; do
	for dir in "${directories[@]}"; do
		is "$round read" "$(cat "$MNT/$dir/d/file")" "in $dir"
	done
done
is "image" "$(cat "$MNT/mounted/disk.img")" "image in mounted"
echo changed >"$MNT/snapshot/disk.img"
is "image of the other subvolume" "$(cat "$MNT/sub/disk.img")" "image in sub"

note "no inode number repeats on one device"
is "repeated numbers" "$(cd "$MNT" && find . -printf '%D %i\n' | sort | uniq -d)" ""
is "number of the root" "$(stat -c %i "$MNT")" "$(stat -c %i "$POOL")"
is "number in the pool itself" "$(stat -c %i "$MNT/d/file")" "$(stat -c %i "$POOL/d/file")"
numbers >"$TMP/before"
echo 3 >/proc/sys/vm/drop_caches
is "numbers when looked up again" "$(numbers)" "$(cat "$TMP/before")"

note "their borders hold"
fails "cross-device" ln "$MNT/d/file" "$MNT/sub/d/link"
fails "cross-device" ln "$MNT/sub/d/file" "$MNT/snapshot/d/link"
fails "cross-device" ln "$MNT/d/file" "$MNT/mounted/link"
mv "$MNT/sub/d/file" "$MNT/mounted/moved"
is "moved file" "$(cat "$MNT/mounted/moved")" "in sub"
fails "busy" rmdir "$MNT/mounted"
fails "" rmdir "$MNT/sub"

note "everything can be changed everywhere"
for dir in "${directories[@]}"; do
	echo new >"$MNT/$dir/new"
	mkdir "$MNT/$dir/new.d"
	ln "$MNT/$dir/new" "$MNT/$dir/new.d/link"
	is "new file below" "$(stat -c '%h %s' "$POOL/$dir/new.d/link")" "2 4"
done
