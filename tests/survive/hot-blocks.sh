#!/bin/bash
# Blocks that are written again and again never go back to an older state while the daemon is killed
# at random moments and some writes take long on their way to the disk (tests/tools/hot.c).
# timeout: 900
. "${0%/*}/lib.sh"

store
truncate -s 512M "$STORE/disk"
pool xfs "$STORE/disk"
fallocate -l 16M "$POOL/vm.img"
dd if=/dev/zero of="$POOL/vm.img" bs=1M count=1 conv=notrunc,fsync status=none
bounce "$POOL" "$MNT"
keeper
loop "$MNT/vm.img" --direct-io=on
ctl delay 300 write chance=2
"$TOOLS/hot" "$LOOP" $((10 * TIMES)) >"$TMP/hot.log" &
hot=$!
slay $((20 * TIMES)) 500 KILL
wait "$hot" || die "$(cat "$TMP/hot.log")"
note "$DEATHS deaths: $(cat "$TMP/hot.log")"
tally pause "$(awk '{ print $6 }' "$TMP/hot.log")"
