#!/bin/bash
# An error of the store reaches the write or fsync that caused it, and no other; a short result is
# continued. The store itself is the pool here.
. "${0%/*}/../lib.sh"
require xfs_io fio

store
mkdir "$STORE/pool"
dd if=/dev/zero of="$STORE/pool/a.img" bs=1M count=4 status=none
cp "$STORE/pool/a.img" "$STORE/pool/b.img"

# at OFFSET COMMAND... of xfs_io, on a.img
a() { xfs_io -d "$@" "$MNT/a.img"; }
below() { dd if="$STORE_BELOW/pool/a.img" bs=4k skip=$(($1 / 4)) count=1 status=none | head -c 1; }

for mode in none writeback; do
	bounce "$STORE/pool" "$MNT" cache=$mode

	for error in "EIO:Input/output error" "ENOSPC:No space left" "EDQUOT:Disk quota exceeded"; do
		note "$mode: ${error%:*} on write"
		a -c 'pwrite -q -S 0x30 1M 16k'
		ctl fail "${error%:*}" write file=a.img at=1028k-1032k
		a -c 'pwrite -q -S 0x31 1024k 4k'
		fails "${error#*:}" a -c 'pwrite -q -S 0x31 1028k 4k'
		a -c 'pwrite -q -S 0x31 1032k 4k'
		xfs_io -d -c 'pwrite -q 1M 16k' "$MNT/b.img"
		ctl clear
		is "before" "$(below 1024)" 1
		is "failed" "$(below 1028)" 0
		is "behind" "$(below 1032)" 1
	done

	note "$mode: one of 64 writes at once"
	ctl fail EIO write file=a.img at=2m-2052k
	fio --minimal --thread --name=many --filename="$MNT/a.img" --ioengine=io_uring --direct=1 \
		--rw=randwrite --bs=4k --offset=1920k --size=256k --iodepth=64 \
		--continue_on_error=write --output-format=json --output="$TMP/fio.json" || true
	ctl clear
	is "errors" "$(sed -n 's/.*"total_err" : \([0-9]*\).*/\1/p' "$TMP/fio.json")" 1

	note "$mode: EIO on read"
	ctl fail EIO read file=a.img at=1028k-1032k
	a -c 'pread -q 1024k 4k'
	fails "Input/output error" a -c 'pread -q 1028k 4k'
	a -c 'pread -q 1032k 4k'
	ctl clear

	note "$mode: errors on fsync"
	ctl zero
	ctl fail EIO fsync file=a.img times=1
	xfs_io -c 'pwrite -q 0 4k' -c fsync "$MNT/b.img"
	fails "Input/output error" a -c 'pwrite -q 0 4k' -c fsync
	is "fsyncs that failed" "$(counted faults)" 1
	ctl clear
	a -c 'pwrite -q 0 4k' -c fsync

	# (not of writes: the kernel makes EIO of a FUSE file's short asynchronous write; errors-full.sh)
	note "$mode: short reads"
	dd if=/dev/urandom of="$MNT/a.img" bs=256k count=1 conv=notrunc status=none
	for short in "4096 read" "1000 read times=1"; do
		ctl short "$short"
		is "read" "$("$TOOLS/once" read "$MNT/a.img" 0 262144)" 262144
		ctl clear
		ctl short "$short"
		cmp -n 262144 "$MNT/a.img" "$STORE_BELOW/pool/a.img"
		ctl clear
	done

	note "$mode: loop device"
	loop "$MNT/a.img" --direct-io=on
	device() { xfs_io -d "$@" "$LOOP"; }
	ctl fail EIO write file=a.img at=1028k-1032k
	device -c 'pwrite -q 1024k 4k' -c 'pwrite -q 1032k 4k'
	fails "Input/output error" device -c 'pwrite -q 1028k 4k'
	ctl clear
	ctl fail EIO fsync file=a.img times=1
	fails "Input/output error" device -c fsync
	ctl clear
	device -c 'pwrite -q 1028k 4k' -c fsync
	unloop "$LOOP"
	unbounce "$MNT"
done
