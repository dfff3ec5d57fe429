#!/bin/bash
# More regions in use than there is room for in memory, in several images at a time: their sums go to
# the sidecars and come back, and none is lost.
# timeout: 120
. "${0%/*}/lib.sh"
require fio

POOL_SIZE=1G pool xfs
bounce "$POOL" "$MNT" checksum=xxh3
for f in a b; do truncate -s 8G "$MNT/$f.img"; done
for f in a b; do
	fio --name=$f --filename="$MNT/$f.img" --size=8G --bs=4k --rw=randwrite --norandommap=0 \
		--number_ios=3500 --direct=1 --ioengine=io_uring --iodepth=32 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --output="$TMP/$f.log" &
done
wait -n
wait -n
for f in a b; do grep -q "err= 0" "$TMP/$f.log" || die "$(cat "$TMP/$f.log")"; done
scrubbed 0 "$MNT"
unbounce "$MNT"
bounce "$POOL" "$MNT"
scrubbed 0 "$MNT"
flip "$POOL/a.img" -r 20 1 >"$TMP/flipped"
flip "$POOL/b.img" -r 20 2 >>"$TMP/flipped"
scrubbed 1 "$MNT"
is "bad blocks" "$(awk '{ n += $(NF - 2) / 4096 } END { print n }' "$TMP/ranges")" 40
