#!/bin/bash
# Much at once: 64 loop devices under verified load, 100,000 files made, listed, read and removed, thousands
# of opens and closes; then again, for SOAK minutes if that is given. Memory, descriptors and latency do not
# grow from one round to the next; each round's are printed.
# timeout: 86400
. "${0%/*}/lib.sh"
require fio

DEVICES=64 FILES=100000 OPENS=4000
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

POOL_SIZE=3G pool xfs
bounce "$POOL" "$MNT"
keeper=$(pgrep -x bouncefs --parent 1)
w=$(worker)
for ((i = 0; i < DEVICES; i++)); do
	truncate -s 8M "$MNT/$i.img"
	loop "$MNT/$i.img" --direct-io=on
	devices+=("$LOOP")
done

jobs_of_fio()
{
	local d
	for d in "${devices[@]}"; do
		printf -- '--name=%s\0--filename=%s\0' "${d##*/}" "$d"
	done
}

# all devices at once; sets P99 and WORST, in microseconds
all_devices()
{
	jobs_of_fio | xargs -0 fio --minimal --thread --group_reporting --direct=1 --rw=randwrite --bs=16k \
		--size=8m --io_size=2m --ioengine=io_uring --iodepth=4 --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --output="$TMP/fio"
	WORST=$(awk -F';' '/^3;/ { print ($56 + 0 > $15 + 0) ? int($56) : int($15) }' "$TMP/fio")
	tally requests $((DEVICES * 2 * 128))
	tally stall $((WORST / 1000))
}

all_files()
{
	local n=$FILES
	mkdir "$MNT/many"
	(cd "$MNT/many" && seq 1 "$n" | xargs -n 1000 touch)
	# shellcheck disable=SC2012
	is "files" "$(ls -U "$MNT/many" | wc -l)" "$n"
	find "$MNT/many" -type f -size 0 | wc -l >"$TMP/found"
	is "files found" "$(cat "$TMP/found")" "$n"
	rm -r "$MNT/many"
	tally requests $((4 * n))
}

opens()
{
	local i
	for ((i = 0; i < OPENS; i++)); do
		: <"$MNT/$((i % DEVICES)).img"
		: >"$MNT/plain.$((i % 50))"
	done
	tally requests $((4 * OPENS))
}

# How much the worker and the keeper hold
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
resident() { awk '/^Pss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

# The kernel forgets nodes when it likes, and burst buffers are given back after a pause.
settled()
{
	echo 2 >/proc/sys/vm/drop_caches
	sleep 3
	FDS=$(($(descriptors "$w") + $(descriptors "$keeper"))) KIB=$(($(resident "$w") + $(resident "$keeper")))
}

round()
{
	local t0 t1
	t0=$(milliseconds)
	all_devices
	all_files
	opens
	t1=$(milliseconds)
	settled
	note "$((t1 - t0)) ms, slowest request $((WORST / 1000)) ms, $FDS descriptors, $KIB KiB"
}

round
fds=$FDS kib=$KIB worst=$WORST
end=$((SECONDS + ${SOAK:-0} * 60))
round
while [ $SECONDS -lt $end ]; do
	round
done
[ "$FDS" -le $((fds + 4)) ] || die "descriptors: $fds after the first round, $FDS after the last"
[ "$KIB" -le $((kib + 1024)) ] || die "memory: $kib KiB after the first round, $KIB KiB after the last"
# (what else the machine does takes its time)
[ "$WORST" -le $((10 * worst + 1000000)) ] || die "slowest request: $worst us in the first round, $WORST us in the last"
is "the worker" "$(worker)" "$w"
