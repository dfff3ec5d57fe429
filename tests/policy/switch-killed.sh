#!/bin/bash
# The daemon is killed while modes change: what was in effect stays so, no request fails, and each
# setting that was answered is there.
# alone
. "${0%/*}/lib"
require fio

pool xfs
printf '[policy.img]\ncache = dontcache\n' >"$TMP/policy"
bounce "$POOL" "$MNT" "policy=$TMP/policy"
truncate -s 64M "$MNT/a.img" "$MNT/policy.img"
hold_open "$MNT/policy.img"
loop "$MNT/a.img" --direct-io=on
fio --name=verify --filename="$LOOP" --rw=randrw --bsrange=512-128k --size=64m --io_size=4g \
	--ioengine=io_uring --iodepth=16 --direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 \
	--verify_backlog=256 --verify_state_save=0 --time_based --runtime=8 >"$TMP/fio" 2>&1 &
fio=$!
defer eval "kill $fio 2>/dev/null || true"

# the keeper is its parent
kill_worker() { pkill -KILL --parent "$(pgrep -o -x bouncefs)"; }

deaths=0
while kill -0 $fio 2>/dev/null; do
	for mode in none writeback unsafe dontcache directsync writethrough; do
		setting "$MNT/a.img" cache $mode &
		sleep "0.0$((RANDOM % 5))"
		[ $((RANDOM % 8)) != 0 ] || { kill_worker && deaths=$((deaths + 1)); }
		wait $!
		effective "$MNT/a.img" "cache=$mode (file)"
	done
done
wait $fio || { cat "$TMP/fio"; die "fio failed"; }
note "$deaths deaths"
[ $deaths -gt 3 ] || die "it was killed only $deaths times"
rm "$TMP/policy"
kill_worker
effective "$MNT/policy.img" "cache=dontcache (policy)"
like "status" "$(xattr "$MNT" status)" "* path=policy.img cache=dontcache *"
