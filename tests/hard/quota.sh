#!/bin/bash
# EDQUOT of a Btrfs qgroup reaches the write that went beyond it, or the fsync of writes that were buffered;
# nothing written before is harmed, and with a larger quota writing goes on.
. "${0%/*}/lib.sh"
require btrfs

once() { "$TOOLS/once" "$@"; }

pool btrfs
btrfs quota enable "$POOL" || skip "no qgroups in this kernel"
for mode in none writeback; do
	note "cache=$mode"
	btrfs subvolume create "$POOL/$mode" >/dev/null
	truncate -s 64M "$POOL/$mode/a.img"
	btrfs qgroup limit 24M "$POOL/$mode"
	bounce "$POOL/$mode" "$MNT" cache=$mode
	n=0 got=$((1 << 20))
	while [ "$got" = $((1 << 20)) ] && ((n < 64)); do
		got=$(once write "$MNT/a.img" $((n << 20)) $((1 << 20)))
		n=$((n + 1))
	done
	# an error of the page cache's may come late
	[ "$got" = EDQUOT ] || got=$(once fsync "$MNT/a.img")
	is "write $n" "$got" EDQUOT
	tally faults 1
	n=$((n - 2))
	((n > 4 && n < 24)) || die "quota of 24 MiB, and $n MiB were written"
	is "bytes that are not as written" "$(head -c $((n << 20)) "$MNT/a.img" | tr -d a | wc -c)" 0
	btrfs qgroup limit none "$POOL/$mode"
	is "write with room" "$(once write "$MNT/a.img" $((n << 20)) $((1 << 20)))" $((1 << 20))
	once fsync "$MNT/a.img" >/dev/null
	is "fsync with room" "$(once fsync "$MNT/a.img")" 0
	unbounce "$MNT"
done
