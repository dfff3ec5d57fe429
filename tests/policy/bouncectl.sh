#!/bin/bash
# bouncectl against the daemon: what is going on, settings, loop devices, the log level.
. "${0%/*}/lib"
require python3 fio

pool xfs
bounce "$POOL" "$MNT"
mkdir "$MNT/a dir"
truncate -s 16M "$MNT/a.img" "$MNT/a dir/b.img" "$MNT/plain"
hold_open "$MNT/plain"

note "get, set, unset"
"$CTL" set "$MNT/a.img" cache=writeback block-size=4096
is "get" "$("$CTL" get "$MNT/a.img" cache)" writeback
is "get all" "$("$CTL" get "$MNT/a.img" | tr '\n' ,)" "cache=writeback (file),checksum=off (default),dirty-limit=64M (default),block-size=4096 (file),detect-zeroes=off (default),checksum-errors=fail (default),foreign-change=verify (default),"
is "get stats" "$("$CTL" get "$MNT/a.img" stats)" "dirty=0 reads=0 writes=0 flushes=0 read-bytes=0 write-bytes=0 errors=0"
"$CTL" set "$MNT" cache=dontcache
is "get" "$("$CTL" get "$MNT/a dir/b.img" cache)" dontcache
"$CTL" unset "$MNT" cache
is "get" "$("$CTL" get "$MNT/a dir/b.img" cache)" none
fails "bad value" "$CTL" set "$MNT/a.img" cache=fast

note "attach"
dev=$("$CTL" attach "$MNT/a.img")
defer unloop "$dev"
is "block size" "$(blockdev --getss "$dev")" 4096
is "direct I/O" "$(cat "/sys/block/${dev#/dev/}/loop/dio")" 1
other=$("$CTL" attach "$MNT/a dir/b.img")
defer unloop "$other"
is "block size" "$(blockdev --getss "$other")" 512

note "status"
"$CTL" status "$MNT/a dir" >"$TMP/status"
like "table" "$(grep '^a.img ' "$TMP/status" | tr -s ' ')" "a.img writeback 4096 * file"
like "table" "$(grep '^a dir/b.img ' "$TMP/status" | tr -s ' ')" "a dir/b.img none 512 0 0.0 0 0.0 auto: xfs"
! grep -q plain "$TMP/status" || die "plain is no image"
fio --name=load --filename="$dev" --rw=randwrite --bs=4k --size=16m --time_based --runtime=3 \
	--rate_iops=500 --ioengine=io_uring --iodepth=4 --direct=1 --minimal >/dev/null &
load=$!
defer eval "kill $load 2>/dev/null || true"
sleep 0.5
"$CTL" --json status "$MNT" | python3 -c '
import json, sys
mount, = json.load(sys.stdin)
image, = [i for i in mount["images"] if i["path"] == "a.img"]
assert mount["mountpoint"] == "'"$MNT"'" and mount["source"] == "'"$POOL"'", mount
assert mount["log-level"] == "info" and mount["open-images"] == 2, mount
assert image["cache"] == "writeback" and image["block-size"] == 4096, image
assert 20 < image["iops"] < 800, image # of 500, on a busy machine fewer
assert abs(image["mb-per-second"] - image["iops"] * 4096 / 1e6) < 0.01, image
assert image["writes"] > 0 and image["errors"] == 0, image
assert all(i["path"] in ("a.img", "a dir/b.img") for i in mount["images"]), mount'
wait $load
"$CTL" top -n 2 -d 0.2 "$MNT" >"$TMP/top"
is "tables of top" "$(grep -c '^a.img ' "$TMP/top")" 2

note "detach"
"$CTL" detach "$dev"
"$CTL" detach "$MNT/a dir/b.img"
within 5 is_detached "$dev"
within 5 is_closed "$MNT/a.img"

note "log-level"
is "level" "$("$CTL" log-level "$MNT/a dir")" info
"$CTL" log-level "$MNT" debug
is "level" "$("$CTL" log-level "$MNT")" debug
"$CTL" log-level --json "$MNT" | python3 -c 'import json, sys; assert json.load(sys.stdin) == {"log-level": "debug"}'

note "more images than an xattr has room for: the status comes in pages"
name=$(printf 'x%.0s' {1..200})
python3 - "$MNT/$name" "$CTL" "$MNT" <<-EOF
	import subprocess, sys
	held = [open(f"{sys.argv[1]}{i}.img", "w") for i in range(400)]
	lines = subprocess.run(sys.argv[2:3] + ["status", sys.argv[3]], capture_output=True, text=True,
		check=True).stdout.splitlines()
	images = sum(l.startswith("xxx") for l in lines)
	assert images == len({l.split()[0] for l in lines if l.startswith("xxx")}) == 400, (images, lines[-1])
EOF
