#!/bin/bash
# Fifty deliberate restarts under load: a filesystem inside a loop device stays clean, and nobody waits
# long.
# timeout: 300
. "${0%/*}/lib.sh"
require fio

pool xfs
fallocate -l 256M "$POOL/vm.img"
fallocate -l 16M "$POOL/hot.img"
bounce "$POOL" "$MNT"
keeper
loop "$MNT/hot.img" --direct-io=on
hot=$LOOP
loop "$MNT/vm.img" --direct-io=on
mkfs.ext4 -q "$LOOP"
mount_at "$TMP/inside" "$LOOP"
"$TOOLS/hot" "$hot" 8 >"$TMP/hot.log" &
load=($!)
fio --name=inside --directory="$TMP/inside" --rw=randwrite --bs=16k --size=64M --fsync=16 \
	--time_based --runtime=8 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
	--output="$TMP/fio.log" &
load+=($!)
for ((i = 0; i < 50 * TIMES; i++)); do
	w=$(worker)
	"$BUILD/bouncectl" restart "$MNT"
	within 10 replaced "$w"
done
for l in "${load[@]}"; do wait "$l" || die "$(cat "$TMP/hot.log" "$TMP/fio.log")"; done
note "$(cat "$TMP/hot.log")"
tally pause "$(awk '{ print $6 }' "$TMP/hot.log")"
umount "$TMP/inside"
fsck.ext4 -fn "$LOOP" >"$TMP/fsck.log" 2>&1 || die "$(cat "$TMP/fsck.log")"
