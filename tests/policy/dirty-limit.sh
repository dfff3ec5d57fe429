#!/bin/bash
# dirty-limit: on a slow device no more than that, and what is in flight, is dirty or being written
# while much is written, and so neither fsync nor umount takes long.
# alone
. "${0%/*}/lib"
require fio

SPEED=$((96 << 20)) # bytes a second
pool xfs
throttle "$POOL_LOOP" $SPEED
bounce "$POOL" "$MNT" dirty-limit=16M,memory=8
SLOTS=10 # MiB: all bounce buffers, and a request in each worker's hands

# dirty FILE: bytes that are not on the device
dirty() { "$TOOLS/cachestat" "$1"; }

for mode in writeback dontcache; do
	note "$mode"
	truncate -s 1G "$MNT/$mode.img"
	hold_open "$MNT/$mode.img" # or the last close would sync first
	setting "$MNT/$mode.img" cache $mode
	fio --name=write --filename="$MNT/$mode.img" --rw=write --bs=1m --size=384m --ioengine=io_uring \
		--iodepth=32 --direct=1 --minimal >/dev/null &
	writer=$! peak=0
	defer eval "kill $writer 2>/dev/null || true"
	while kill -0 $writer 2>/dev/null; do
		now=$(dirty "$POOL/$mode.img")
		peak=$((now > peak ? now : peak))
		sleep 0.02
	done
	wait $writer
	note "at most $((peak >> 20)) MiB dirty"
	[ $peak -gt $((1 << 20)) ] || die "nothing was ever dirty: nothing is tested"
	[ $peak -le $((16 + SLOTS << 20)) ] || die "$peak bytes were dirty"
	t0=${EPOCHREALTIME/./}
	xfs_io -c fsync "$MNT/$mode.img"
	t=$((${EPOCHREALTIME/./} - t0))
	note "fsync after it took $((t / 1000)) ms"
	[ $t -lt 2000000 ] || die "fsync took $t us"
	is "bytes dirty after it" "$(dirty "$POOL/$mode.img")" 0
	let_go
done
