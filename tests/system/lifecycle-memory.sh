#!/bin/bash
# An idle mount needs little memory: the sum of Pss of all its processes is under 30 MiB.
. "${0%/*}/../lib.sh"
require fio

pool ext4
bounce "$POOL" "$MNT"

# in KiB
memory()
{
	local pid
	for pid in $(pgrep -x bouncefs); do
		cat "/proc/$pid/smaps_rollup"
	done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}
small() { [ "$(memory)" -gt 0 ] && [ "$(memory)" -lt $((30 * 1024)) ]; }

note "after start: $(memory) KiB"
small

fio --name=burst --filename="$MNT/disk.img" --size=128M --rw=randrw --bs=1M --iodepth=32 \
	--ioengine=libaio --direct=1 --time_based --runtime=3 --minimal >/dev/null
note "just after a burst: $(memory) KiB"
within 10 small
note "idle again: $(memory) KiB"
