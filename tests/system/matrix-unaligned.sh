#!/bin/bash
# Requests of 512 bytes where the pool's direct I/O needs 4096: read-modify-write, which loses nothing
# when several writers share a block.
. "${0%/*}/../lib.sh"
require fio xfs_io

POOL_SECTOR=4096 pool xfs
truncate -s 8M "$POOL/a.img"
fails "Invalid argument" xfs_io -d -c 'pwrite -q 512 512' "$POOL/a.img"
bounce "$POOL" "$MNT" cache=none
xfs_io -d -c 'pwrite -q -S 0x61 0 8m' -c fsync "$MNT/a.img"

# every other sector, twice: each block has eight writers
writers()
{
	fio --minimal --thread --filename="$1" --ioengine=io_uring --direct=1 --iodepth=32 \
		--rw=write:512 --bs=512 --size=2m --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --name=even --name=odd --offset=512 >/dev/null
}

note "file"
writers "$MNT/a.img"
is "what lies behind" "$(dd if="$MNT/a.img" bs=1M skip=4 status=none | tr -d a | wc -c)" 0

note "loop device"
loop "$MNT/a.img" --direct-io=on
is "sector size" "$(blockdev --getss "$LOOP")" 512
writers "$LOOP"
unloop "$LOOP"

note "the end of a file in the middle of a block"
for size in 1 511 512 4095 5000; do
	head -c $size /dev/urandom >"$TMP/data"
	cp "$TMP/data" "$MNT/b.img"
	cmp "$MNT/b.img" "$TMP/data"
	cmp "$POOL/b.img" "$TMP/data"
	cat "$TMP/data" >>"$MNT/b.img"
	is "size" "$(stat -c %s "$POOL/b.img")" $((2 * size))
	tail -c $size "$MNT/b.img" | cmp - "$TMP/data"
done
