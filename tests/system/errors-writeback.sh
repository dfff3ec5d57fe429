#!/bin/bash
# Data that cannot be written out later are an error of the next fsync, of every opener; a direct write
# says it at once.
. "${0%/*}/../lib.sh"
require xfs_io

store
truncate -s 1G "$STORE/disk"
pool xfs "$STORE/disk"
bounce "$POOL" "$MNT" cache=writeback
dd if=/dev/zero of="$MNT/a.img" bs=1M count=4 conv=fsync status=none
cp "$MNT/a.img" "$MNT/b.img"
sync -f "$POOL"

# each fsync of two openers, one of which wrote
fsyncs()
{
	xfs_io -c "open $1" -c 'file 0' -c 'pwrite -q -S 0x45 64k 64k' -c fsync -c 'file 1' -c fsync \
		"$1" 2>&1 | grep -c 'fsync: Input/output error' || true
}

for file in "$POOL/a.img" "$MNT/a.img"; do
	note "$file"
	ctl fail EIO write byte=E
	is "failed fsyncs" "$(fsyncs "$file")" 2
	xfs_io -c 'pwrite -q -S 0x46 0 64k' -c fsync "$MNT/b.img"
	# of a later opener, too, if nobody heard of it before
	xfs_io -c 'pwrite -q -S 0x45 64k 64k' "$file"
	fails "Input/output error" xfs_io -c fsync "$file"
	ctl clear
	is "failed fsyncs when the store is well again" "$(fsyncs "$file")" 0
done
unbounce "$MNT"

# what was answered for and is lost is known
like "the log" "$(cat "$TMP/bouncefs.log")" "*pool.xfs/a.img: writeback failed: *between bytes 65536 and 131072 may be lost*"

note "cache=none"
bounce "$POOL" "$MNT" cache=none
ctl fail EIO write byte=E
fails "Input/output error" xfs_io -d -c 'pwrite -q -b 64k -S 0x45 64k 64k' "$MNT/a.img"
xfs_io -d -c 'pwrite -q -b 64k -S 0x46 64k 64k' -c fsync "$MNT/a.img"
ctl clear
