#!/bin/bash
# Leaving cache=unsafe with much data to write out to a slow device: requests do not wait for that.
# alone
. "${0%/*}/lib"
require fio

pool xfs
bounce "$POOL" "$MNT" cache=unsafe
dd if=/dev/urandom of="$MNT/a.img" bs=1M count=288 status=none
hold_open "$MNT/a.img"
throttle "$POOL_LOOP" $((64 << 20))
[ "$("$TOOLS/cachestat" "$POOL/a.img")" -gt $((200 << 20)) ] || die "too little is dirty"
fio --name=load --filename="$MNT/a.img" --rw=randwrite --bs=4k --size=64m --ioengine=io_uring \
	--iodepth=4 --rate_iops=200 --direct=1 --time_based --runtime=6 --output-format=json \
	--output="$TMP/fio.json" &
load=$!
defer eval "kill $load 2>/dev/null || true"
sleep 0.3
setting "$MNT/a.img" cache none
effective "$MNT/a.img" "cache=unsafe"
within 10 in_effect "$MNT/a.img" "cache=none (file)"
wait $load
slowest=$(sed -n 's/.*"max" : \([0-9]*\).*/\1/p' "$TMP/fio.json" | sort -n | tail -n 1)
note "the slowest request took $((slowest / 1000000)) ms"
[ "$slowest" -lt 2000000000 ] || die "a request took $slowest ns"
