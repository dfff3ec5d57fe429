#!/bin/bash
# The model finds a bouncefs that forgets the sum of every 1000th write.
# timeout: 300
BOUNCEFS=$BUILD/tests/bouncefs-broken
. "${0%/*}/lib.sh"

pool xfs
bounce "$POOL" "$MNT" checksum=xxh3
mkdir "$MNT/m" "$MNT/m.model"
truncate -s 16M "$MNT/m"/{a,b,c}.img
loop "$MNT/m/a.img" --direct-io=on
if "$TOOLS/model" 8 1 "$MNT/m" "$LOOP" >"$TMP/operations" 2>"$TMP/wrong"; then
	scrubbed 1 "$MNT/m"
	cat "$TMP/ranges"
else
	cat "$TMP/wrong"
fi
grep -q 'csum failed' "$TMP/bouncefs.log" || die "it was another error"
