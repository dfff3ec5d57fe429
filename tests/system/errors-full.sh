#!/bin/bash
# ENOSPC of a full filesystem reaches the write that found no room; what was written before stays, and
# writing goes on when there is room again.
. "${0%/*}/../lib.sh"
require xfs_io

# fill FILE: writes it in direct requests of 1 MiB until one fails, prints how many did not; none may
# be done in part
fill()
{
	local n=0 got
	while got=$("$TOOLS/once" write "$1" $((n << 20)) $((1 << 20))); [ "$got" = $((1 << 20)) ]; do
		n=$((n + 1))
	done
	is "write $n" "$got" ENOSPC
	echo $n
}

for kind in ext4 btrfs nodatacow; do
	for mode in none writeback; do
		note "$kind cache=$mode"
		POOL_SIZE=192M pool $kind
		truncate -s 64M "$POOL/a.img"
		room=$(df --output=avail -B 1M "$POOL" | tail -n 1)
		fallocate -l $((room - 20))M "$POOL/filler"
		bounce "$POOL" "$MNT" cache=$mode
		n=$(fill "$MNT/a.img")
		note "$n writes found room"
		((n > 0 && n < 64)) || die "that cannot be"
		is "bytes that are not as written" \
			"$(head -c $((n << 20)) "$MNT/a.img" | tr -d a | wc -c)" 0
		# where data are copied on write, writing again needs room, too
		[ $kind = btrfs ] || xfs_io -d -c 'pwrite -q 0 64k' -c fsync "$MNT/a.img"
		rm "$MNT/filler"
		sync -f "$POOL"
		xfs_io -d -c "pwrite -q -b 1m ${n}m 1m" -c fsync "$MNT/a.img"
		unbounce "$MNT"
		detach "$POOL"
		unloop "$POOL_LOOP"
		rm "$TMP/pool"
	done
done
