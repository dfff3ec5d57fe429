#!/bin/bash
# While an image is held for a switch of modes, its requests wait; those to other images go on, as the
# waiting ones do not keep all bounce buffers.
. "${0%/*}/lib"
require fio

store
bounce "$STORE" "$MNT" memory=8
truncate -s 16M "$MNT/held.img" "$MNT/other.img"
setting "$MNT/held.img" cache writeback
hold_open "$MNT/held.img"

defer ctl clear # or a failure would take its time

# the first fsync of the switch is done before anybody has to wait
ctl hold fsync file=held.img after=1
setting "$STORE/held.img" cache unsafe
hangup
within 5 holds 1
fio --name=wait --filename="$MNT/held.img" --rw=write --bs=64k --size=16m --ioengine=io_uring \
	--iodepth=64 --direct=1 --verify=crc32c --verify_state_save=0 --minimal >"$TMP/fio" 2>&1 &
waiting=$!
defer eval "kill $waiting 2>/dev/null || true"
sleep 0.5

note "another image"
for _ in {1..8}; do
	timeout 5 dd if=/dev/urandom of="$MNT/other.img" bs=1M count=16 oflag=direct conv=notrunc status=none
	timeout 5 dd if="$MNT/other.img" of=/dev/null bs=1M iflag=direct status=none
done
timeout 5 xfs_io -c fsync "$MNT/other.img"
holds 1 || die "the switch is over already: nothing was tested"
kill -0 $waiting || die "nothing waited"

note "the held one"
ctl clear
wait $waiting || { cat "$TMP/fio"; die "a request failed"; }
within 5 in_effect "$MNT/held.img" "cache=unsafe (file)"
