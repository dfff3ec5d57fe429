#!/bin/bash
# checksum-errors=report gives out what the device has: what cannot be read when a block is looked at
# again is an error, and nothing else is in its place.
. "${0%/*}/lib.sh"

store
truncate -s 512M "$STORE/disk"
pool xfs "$STORE/disk"
bounce "$POOL" "$MNT" checksum=xxh3,checksum-errors=report
dd if=/dev/urandom of="$MNT/a.img" bs=1M count=1 oflag=direct status=none
at=$("$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/a.img" -n 40960)
"$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/a.img" 40960 >/dev/null
block() { dd if="$1" bs=4k skip=10 count=1 iflag=direct status=none; }

block "$MNT/a.img" >"$TMP/reported"
block "$POOL/a.img" | cmp - "$TMP/reported"
ctl fail EIO read file=disk "at=$at-$((at + 1))" after=1
fails "Input/output error" block "$MNT/a.img"
