#!/bin/bash
# Once warm, workers allocate nothing, whatever they serve: reads, writes and syncs of all sizes in every
# cache mode, zeroes that become holes, requests that wait for a held image, metadata on their way.
. "${0%/*}/lib.sh"
require fio setfattr

export COUNT=$TMP/count
truncate -s 4096 "$COUNT"
BOUNCEFS=$TMP/bouncefs-counted
printf '#!/bin/sh\nLD_PRELOAD=%s exec "%s" "$@"\n' "$TOOLS/libcount.so" "$BUILD/bouncefs" >"$BOUNCEFS"
chmod +x "$BOUNCEFS"
allocations() { od -A n -t u8 -j $((8 * ($1))) -N 8 "$COUNT" | tr -d ' '; }

load()
{
	fio --minimal --name=all --filename="$1" --size=48m --io_size="$2" --rw=randrw --direct=1 \
		--bssplit=512/10:4k/50:64k/30:1m/10 --ioengine=io_uring --iodepth=32 --fsync=16 \
		--zero_buffers=0 --buffer_compress_percentage=50 --allow_file_create=0 >"$TMP/fio"
	tally requests "$(awk -F';' '{ print int($8 * $9 / 1000 + $49 * $50 / 1000) }' "$TMP/fio")"
}

pool xfs
for mode in none directsync writeback dontcache writethrough unsafe none,checksum=xxh3; do
	truncate -s 0 "$COUNT" && truncate -s 4096 "$COUNT"
	bounce "$POOL" "$MNT" cache=$mode,detect-zeroes=unmap,memory=24
	truncate -s 48M "$MNT/a.img"
	load "$MNT/a.img" 32m
	before=$(allocations 0)
	load "$MNT/a.img" 48m
	for n in {1..20}; do stat "$MNT/nothing.$n" 2>/dev/null || true; done
	is "allocations by workers ($mode)" $(($(allocations 0) - before)) 0
	unbounce "$MNT"
	rm "$POOL/a.img"
done

note "requests that wait for an image that is held for a switch of modes"
store
mkdir "$STORE/pool"
truncate -s 48M "$STORE/pool/a.img"
bounce "$STORE/pool" "$MNT" memory=8
defer ctl clear # or a failure would take its time
setfattr -n user.bouncefs.cache -v writeback "$MNT/a.img"
load "$MNT/a.img" 16m
before=$(allocations 0)
sleep 1000 <>"$MNT/a.img" &
holder=$!
defer kill $holder
opened() { [ "$(readlink "/proc/$holder/fd/0")" = "$MNT/a.img" ]; }
within 5 opened
ctl hold fsync file=a.img after=1
setfattr -n user.bouncefs.cache -v unsafe "$STORE/pool/a.img"
pkill -HUP -o -x bouncefs
within 5 holds 1
others=$(allocations 1)
load "$MNT/a.img" 16m &
loading=$!
sleep 1
made_room() { [ "$(allocations 1)" -ge $((others + 8)) ]; }
# (over rings they wait where they are, and the queue gets other slots)
[ -n "${TRANSPORT:-}" ] || within 10 made_room
ctl clear
wait $loading
is "allocations by workers" $(($(allocations 0) - before)) 0
