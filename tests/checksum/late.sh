#!/bin/bash
# A write that is still under way when its daemon dies: the data land, their sums are in no sidecar, and
# the first to look at the block is a reader. And the same when all of the daemon is killed: nobody
# serves the pool again before the write has landed.
# timeout: 180
. "${0%/*}/lib.sh"
require xfs_io

store
log=$TMP/bouncefs.log
truncate -s 1G "$STORE/disk"
pool xfs "$STORE/disk"
bounce "$POOL" "$MNT" checksum=xxh3
dd if=/dev/urandom of="$MNT/a.img" bs=1M count=8 oflag=direct status=none
worker() { pgrep -f '^@bouncefs --worker'; }
byte() { dd if="$MNT/a.img" bs=4k skip="$1" count=1 iflag=direct status=none | head -c 1; }

# hold_write OFFSET: the next write of data there; never one of checksums or of the filesystem
hold_write()
{
	local at
	at=$("$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/a.img" -n "$1")
	ctl hold write file=disk "at=$at-$((at + 65536))" times=1
}
sync -f "$POOL"

for round in 1 2 3; do
	note "the worker, round $round"
	hold_write $((round * 409600))
	xfs_io -d -c "pwrite -q -b 64k -S 0x3$round $((round * 409600)) 64k" "$MNT/a.img" &
	writer=$! readers=()
	within 10 holds 1
	# they wait for it, and are sent again in any order
	for i in {0..15}; do
		byte $((round * 100 + i)) >"$TMP/byte.$i" &
		readers+=($!)
	done
	sleep 0.5
	kill -KILL "$(worker)"
	sleep 1
	ctl release
	wait $writer
	wait "${readers[@]}"
	is "what the readers saw" "$(cat "$TMP"/byte.*)" "$(printf "%.0s$round" {0..15})"
done
is "false alarms" "$(grep -c 'csum failed' "$log" || true)" 0
scrubbed 0 "$MNT"

note "all of the daemon"
hold_write $((4 << 20))
xfs_io -d -c "pwrite -q -b 64k -S 0x5a 4M 64k" "$MNT/a.img" 2>/dev/null &
within 10 holds 1
pkill -KILL -x bouncefs
sleep 1
umount -l "$MNT"
"$BOUNCEFS" -o "log=$log,checksum=xxh3" "$POOL" "$MNT" &
mounting=$!
sleep 2
! mountpoint -q "$MNT" || die "it is served again while the write is under way"
ctl release
wait $mounting
exec 3<"$MNT/a.img"
within 20 grep -q "a.img: checksums are complete" "$log"
exec 3<&-
is "what came late" "$(byte 1030)" Z
scrubbed 0 "$MNT"
is "false alarms" "$(grep -c 'csum failed' "$log" || true)" 0
