#!/bin/bash
# ext4 on a loop device on bouncefs, with many times more buffered writing than its writers may keep in
# memory; then a daemon that gets no memory for its bursts: nothing hangs, nothing is lost, nobody is killed.
# (The writers' control group is not the daemon's: README, Limits. Whatever happens, a watchdog lifts the
# limits after a minute.)
# timeout: 150
. "${0%/*}/lib.sh"
require fio

GROUPS_AT=/sys/fs/cgroup/memory
[ -w $GROUPS_AT/memory.limit_in_bytes ] || skip "needs cgroup v1's memory controller"
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# group NAME BYTES: sets GROUP
group()
{
	GROUP=$GROUPS_AT/bouncefs-$1.$$
	mkdir "$GROUP"
	defer dissolve "$GROUP"
	echo "$2" >"$GROUP/memory.limit_in_bytes"
	# who finds no memory waits, or is told so, and is not killed
	echo 1 >"$GROUP/memory.oom_control"
}

# its processes go back, and it goes
dissolve()
{
	local p
	echo -1 >"$1/memory.limit_in_bytes"
	while read -r p; do
		echo "$p" >$GROUPS_AT/cgroup.procs || true
	done <"$1/cgroup.procs"
	within 10 rmdir "$1"
}

watchdog()
{
	touch "$TMP/watched"
	(
		for ((i = 0; i < 600; i++)); do
			[ -e "$TMP/watched" ] || exit 0
			sleep 0.1
		done
		for g in "$GROUPS_AT"/bouncefs-*."$$"; do echo -1 >"$g/memory.limit_in_bytes"; done
	) >/dev/null 2>&1 &
	defer within 5 exited $!
	defer rm "$TMP/watched"
}

# busily COMMAND...: with requests to another image beside it, of which the longest is noted
busily()
{
	local other worst
	fio --minimal --name=other --filename="$MNT/b.img" --rw=write --bs=4k --direct=1 --rate_iops=20 \
		--time_based --runtime=100 --allow_file_create=0 --output="$TMP/other" &
	other=$!
	sleep 1
	"$@"
	kill -INT $other
	wait $other || true
	is "errors of the other image" "$(awk -F';' '/^3;/ { print $5 }' "$TMP/other")" 0
	worst=$(awk -F';' '/^3;/ { print int($56 / 1000) }' "$TMP/other")
	note "longest request to another image: $worst ms"
	tally stall "$worst"
	[ "$worst" -lt 10000 ] || die "that is no progress"
}

write_much()
{
	local w writers=()
	for w in 1 2 3 4; do
		(
			echo 0 >"$GROUP/cgroup.procs"
			for _ in {1..8}; do
				timeout -s KILL 60 dd if="$TMP/data" of="$TMP/ext4/$w" bs=1M status=none conv=notrunc
			done
			timeout -s KILL 60 sync "$TMP/ext4/$w"
		) &
		writers+=($!)
	done
	for w in "${writers[@]}"; do
		wait "$w" || die "a writer was killed: it hung"
	done
}

POOL_SIZE=768M pool xfs
fallocate -l 320M "$POOL/a.img"
fallocate -l 1M "$POOL/b.img"
bounce "$POOL" "$MNT"
w=$(worker)
dd if=/dev/urandom of="$TMP/data" bs=1M count=64 status=none
loop "$MNT/a.img" --direct-io=on
format ext4 "$LOOP"
mount_at "$TMP/ext4" "$LOOP"
watchdog

note "writers with 24 MiB of memory"
group writers $((24 << 20))
busily write_much
[ "$(cat "$GROUP/memory.failcnt")" -gt 0 ] || die "their memory was never short"
detach "$TMP/ext4"
mount_at "$TMP/ext4" "$LOOP"
for n in 1 2 3 4; do
	cmp "$TMP/data" "$TMP/ext4/$n"
done
detach "$TMP/ext4"
tally requests $((4 * 8 * 64))

note "a daemon without memory for its bursts"
burst()
{
	sleep 3 # what the last burst had has been given back
	echo "$w" >"$GROUP/cgroup.procs"
	timeout -s KILL 60 fio --minimal --name=burst --filename="$LOOP" --direct=1 --rw=randwrite --bs=1m \
		--size=256m --ioengine=io_uring --iodepth=32 --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --output="$TMP/fio"
}
group daemon $((4 << 20))
busily burst
[ "$(cat "$GROUP/memory.failcnt")" -gt 0 ] || die "it was never short of memory"
tally requests 512

is "the worker" "$(worker)" "$w"
is "killed for want of memory" "$(awk '$1 == "oom_kill" { n += $2 } END { print n + 0 }' $GROUPS_AT/bouncefs-*.$$/memory.oom_control)" 0
