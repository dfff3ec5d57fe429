#!/bin/bash
# All of the daemon is killed under load: what was dirty is hashed again, and only that, and what was
# bad stays bad.
# timeout: 180
. "${0%/*}/lib.sh"
require fio

pool xfs
log=$TMP/bouncefs.log
complete() { [ "$(grep -c "checksums are complete" "$log")" = "$1" ]; }
bounce "$POOL" "$MNT" checksum=xxh3
dd if=/dev/urandom of="$MNT/a.img" bs=1M count=300 oflag=direct status=none
flip "$POOL/a.img" 100 200000000 >/dev/null
fails "Input/output error" dd if="$MNT/a.img" bs=4k count=1 of=/dev/null

for round in 1 2; do
	note "round $round"
	loop "$MNT/a.img" --direct-io=on
	fio --name=load --filename="$LOOP" --offset=20M --size=30M --rw=randwrite --bsrange=512-64k \
		--direct=1 --ioengine=io_uring --iodepth=16 --time_based --runtime=60 --fsync=32 \
		>/dev/null 2>&1 &
	fio=$!
	sleep $((3 + round * 4))
	pkill -KILL -x bouncefs
	within 10 no_daemon
	kill $fio 2>/dev/null || true
	wait $fio || true
	umount -l "$MNT"
	unloop "$LOOP"
	bounce "$POOL" "$MNT" checksum=xxh3
	exec 3<"$MNT/a.img"
	within 30 complete "$round"
	exec 3<&-
	mib=$(sed -n 's/.*a.img: checksums of \([0-9]*\) MiB are to be computed/\1/p' "$log" | tail -n 1)
	note "$mib MiB were hashed again"
	if [ "$mib" -eq 0 ] || [ "$mib" -gt 40 ]; then die "$mib MiB were hashed again"; fi
	scrubbed 1 "$MNT/a.img"
	is "found" "$(cut -d: -f2 "$TMP/ranges" | tr '\n' ';')" \
		" 0 4096 checksum mismatch; 199999488 4096 checksum mismatch;"
done
is "false alarms" "$(grep 'csum failed' "$log" | sed 's/.* off \([0-9]*\) .*/\1/' | sort -un | tr '\n' ' ')" "0 199999488 "
