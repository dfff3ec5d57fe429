#!/bin/bash
# The daemon dies inside read(/dev/fuse), and while it populates buffers: bursts of 1 MiB requests meet
# a fresh daemon, which has few, each time. The callers are killed, too, when their requests are about
# to be sent again. Nobody gets an error that the store did not cause.
# timeout: 900
. "${0%/*}/lib.sh"
require fio

pool xfs
fallocate -l 128M "$POOL/vm.img"
bounce "$POOL" "$MNT"
keeper
loop "$MNT/vm.img" --direct-io=on

# what kills callers: processes that write, and make and remove files, for a moment each
callers()
{
	local n=0 pids
	while [ -e "$TMP/slaying" ]; do
		n=$((n + 1)) pids=()
		dd if=/dev/zero of="$MNT/vm.img" bs=1M seek=64 count=60 oflag=direct conv=notrunc \
			status=none 2>>"$TMP/callers.log" &
		pids+=($!)
		(while echo $n >"$MNT/f$n" && mv "$MNT/f$n" "$MNT/g$n"; do :; done) \
			2>>"$TMP/callers.log" &
		pids+=($!)
		sleep 0.$((RANDOM % 200 + 100))
		kill -KILL "${pids[@]}" 2>/dev/null || true
		wait "${pids[@]}" || true
	done
}

touch "$TMP/slaying"
: >"$TMP/callers.log"
callers 2>/dev/null & # bash tells there who was killed
callers=$!
while [ -e "$TMP/slaying" ]; do
	fio --name=burst --filename="$LOOP" --direct=1 --ioengine=io_uring --iodepth=32 \
		--rw=randrw --bs=1m --size=64M --loops=4 --output="$TMP/fio.log" || exit 1
done &
load=$!
slay $((50 * TIMES)) 150 KILL
rm "$TMP/slaying"
wait "$load"
wait "$callers"
is "what callers complained of" "$(cat "$TMP/callers.log")" ""
note "$DEATHS deaths"
