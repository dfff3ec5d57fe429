#!/bin/bash
# Scrubs of an image while it is written, its checksums built while it is in use, and deaths of the
# daemon meanwhile: no false alarm, no failed request; and what is below stays out of the page cache.
# timeout: 300
. "${0%/*}/lib.sh"
require fio fincore
LOAD=$((${LOAD:-6} * TIMES))

pool xfs
bounce "$POOL" "$MNT"
dd if=/dev/urandom of="$MNT/vm.img" bs=1M count=128 oflag=direct status=none
loop "$MNT/vm.img" --direct-io=on
keeper=$(pgrep -o -x bouncefs)

# load SECONDS: in the background, with data that it can check
load()
{
	fio --name=load --filename="$LOOP" --rw=randrw --bsrange=512-128k --size=128m --ioengine=io_uring \
		--iodepth=16 --direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
		--verify_state_save=0 --time_based --runtime="$1" --io_size=100g --output-format=terse \
		>"$TMP/fio" 2>"$TMP/fio.log" &
	FIO=$!
}

note "build, in use"
load "$LOAD"
"$CTL" checksum build "$MNT/vm.img"
n=0
while kill -0 $FIO 2>/dev/null; do
	scrubbed 0 "$MNT/vm.img"
	n=$((n + 1))
done
wait $FIO || die "$(cat "$TMP/fio" "$TMP/fio.log")"
note "$n scrubs: $(cat "$TMP/scrub")"
[ $n -gt 1 ] || die "there was no time to scrub"
is "page cache" "$(resident "$POOL/vm.img")" 0

note "more scrubs than are done at a time"
scrubs=()
for i in {1..6}; do
	"$CTL" scrub "$MNT/vm.img" 2>"$TMP/scrub.$i" &
	scrubs+=($!)
done
for i in "${scrubs[@]}"; do wait "$i"; done
is "whole ones" "$(cat "$TMP"/scrub.? | grep -c ': 128.0 MiB read in .*, checksums compared, 0 bad ranges')" 6

note "deaths"
load "$LOAD"
deaths=0
while kill -0 $FIO 2>/dev/null; do
	pkill -KILL --parent "$keeper"
	deaths=$((deaths + 1))
	scrubbed 0 "$MNT/vm.img"
	sleep "0.$((RANDOM % 10))"
done
wait $FIO || die "$(cat "$TMP/fio" "$TMP/fio.log")"
scrubbed 0 "$MNT/vm.img"
note "$deaths deaths"
is "false alarms" "$(grep -c 'csum failed' "$TMP/bouncefs.log")" 0
unloop "$LOOP"
unbounce "$MNT"
bounce "$POOL" "$MNT"
scrubbed 0 "$MNT/vm.img"
like "after all that" "$(cat "$TMP/scrub")" "*checksums compared*"
