#!/bin/bash
# What a guest's requests suffer while a scrub of its image runs, and that of another one.
# alone
. "${0%/*}/lib.sh"
require fio python3

pool xfs
bounce "$POOL" "$MNT" checksum=xxh3
for f in vm other; do
	dd if=/dev/urandom of="$MNT/$f.img" bs=1M count=256 oflag=direct status=none
done
loop "$MNT/vm.img" --direct-io=on

# latency: microseconds, mean and 99th percentile, of reads and writes one at a time
latency()
{
	fio --name=guest --filename="$LOOP" --rw=randrw --bs=4k --direct=1 --ioengine=io_uring --iodepth=1 \
		--rate_iops=1500,1500 --time_based --runtime=2 --output-format=json |
		python3 -c 'import json, sys
jobs = json.load(sys.stdin)["jobs"][0]
ns = [jobs[way]["clat_ns"] for way in ("read", "write")]
print(*(max(n[what] if what == "mean" else n["percentile"]["99.000000"] for n in ns) // 1000
        for what in ("mean", "99")))'
}
scrubs() { until [ -e "$TMP/enough" ]; do "$CTL" scrub "$MNT/$1.img" 2>>"$TMP/scrubs"; done; }

read -r mean p99 < <(latency)
note "alone: mean $mean us, 99 % below $p99 us"
for f in vm other; do
	scrubs $f &
	read -r with with99 < <(latency)
	touch "$TMP/enough"
	wait %scrubs
	rm "$TMP/enough"
	note "scrub of $f.img: mean $with us, 99 % below $with99 us; $(grep -c ' 0 bad ranges' "$TMP/scrubs") scrubs"
	awk "BEGIN { exit !($with < 3 * $mean + 1000 && $with99 < 5 * $p99 + 5000) }" || die "that is too much"
done
