#!/bin/bash
# An image on a device that hangs keeps no other image waiting, whatever its mode.
. "${0%/*}/lib"
require fio

store
truncate -s 512M "$STORE/disk"
next_pool xfs
FAST=$POOL
mkdir "$FAST/slow"
loop "$STORE/disk" --direct-io=on
format xfs "$LOOP"
mount_at "$FAST/slow" "$LOOP"
bounce "$FAST" "$MNT" dirty-limit=1M,threads=1
dd if=/dev/urandom of="$MNT/slow/a.img" bs=1M count=32 conv=fsync status=none
truncate -s 32M "$MNT/b.img"

defer ctl clear # or a failure would take its time
for mode in none directsync writeback dontcache writethrough unsafe; do
	note "$mode"
	setting "$MNT/slow/a.img" cache $mode
	ctl hold write file=disk
	fio --name=a --filename="$MNT/slow/a.img" --rw=randwrite --bs=64k --size=32m --io_size=8m \
		--fsync=8 --ioengine=io_uring --iodepth=8 --direct=1 --minimal >"$TMP/fio" 2>&1 &
	load=$!
	defer eval "kill $load 2>/dev/null || true"
	[ $mode = unsafe ] || within 5 holds 1
	for b in none writeback writethrough; do
		timeout 5 setfattr -n "$PREFIX.cache" -v $b "$MNT/b.img" || die "$b waited for $mode"
		timeout 5 dd if=/dev/urandom of="$MNT/b.img" bs=256k count=32 oflag=direct \
			conv=notrunc,fsync status=none || die "$b waited for $mode"
		timeout 5 dd if="$MNT/b.img" of=/dev/null bs=1M iflag=direct status=none
	done
	ctl clear
	wait $load || { cat "$TMP/fio"; die "fio failed"; }
done
