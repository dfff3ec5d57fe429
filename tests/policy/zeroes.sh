#!/bin/bash
# detect-zeroes: zeroes that are written become holes (unmap) or space without data (on), and read
# back as zeroes; what is not all zero is stored as it is.
. "${0%/*}/lib"

# allocated FILE: KiB
allocated() { sync -f "$POOL"; echo $(($(stat -c %b "$1") / 2)); }

# stored: sectors written to the pool's device so far
stored() { sync -f "$POOL"; awk '{ print $7 }' "/sys/block/${POOL_LOOP#/dev/}/stat"; }

# zeroes FILE OFFSET LENGTH: written through the mount
zeroes() { xfs_io -d -c "pwrite -q -S 0 -b 64k $2 $3" "$1"; }

cd "$TMP" || exit
for kind in xfs ext4 btrfs; do
	next_pool $kind
	bounce "$POOL" "$MNT"
	for how in off on unmap; do
		for mode in none writethrough writeback; do
			note "$kind $how $mode"
			f=$how.$mode.img
			dd if=/dev/urandom of="$MNT/$f" bs=1M count=4 conv=fsync status=none
			cp "$MNT/$f" expect
			dd if=/dev/zero of=expect bs=1M seek=1 count=2 conv=notrunc status=none
			setting "$MNT/$f" detect-zeroes $how
			setting "$MNT/$f" cache $mode
			before=$(stored)
			zeroes "$MNT/$f" 1m 2m
			written=$(($(stored) - before))
			case $how in
			off) [ $written -ge 4096 ] ;;
			*) [ $written -lt 3600 ] ;;
			esac || die "$written sectors were written"
			# zeroes with one other byte at an end, or in the middle
			for at in 3145728 3211263 3178496; do
				rm -f block
				printf x | dd of=block bs=1 seek=$((at - 3145728)) status=none
				truncate -s 64k block
				dd if=block of=expect bs=64k seek=48 conv=notrunc status=none
				dd if=block of="$MNT/$f" bs=64k seek=48 oflag=direct conv=notrunc,fsync status=none
				cmp expect "$MNT/$f"
				cmp expect "$POOL/$f"
			done
			# beyond the end: the file gets longer
			zeroes "$MNT/$f" 4m 128k
			is size "$(stat -c %s "$POOL/$f")" $((4224 << 10))
			kib=$(allocated "$POOL/$f")
			case $how in
			unmap) [ "$kib" -lt 2300 ] ;;
			*) [ "$kib" -ge 4096 ] ;;
			esac || die "$kib KiB"
		done
	done
	unbounce "$MNT"
done

note "tmpfs, which can make holes but no space without data"
mount_at "$TMP/tmpfs" -t tmpfs none
bounce "$TMP/tmpfs" "$MNT"
for how in on unmap; do
	dd if=/dev/urandom of="$MNT/$how.img" bs=1M count=4 status=none
	cp "$MNT/$how.img" expect
	dd if=/dev/zero of=expect bs=1M seek=1 count=2 conv=notrunc status=none
	setting "$MNT/$how.img" detect-zeroes $how
	zeroes "$MNT/$how.img" 1m 2m
	cmp expect "$TMP/tmpfs/$how.img"
done
