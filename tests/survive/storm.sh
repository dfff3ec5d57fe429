#!/bin/bash
# Several processes make, link, move and remove names while the daemon is killed; each knows what must
# come of it (tests/tools/storm.c).
# timeout: 900
. "${0%/*}/lib.sh"

pool xfs
mkdir "$POOL/bare"
result=$("$TOOLS/storm" "$POOL/bare" 4 1) || die "on the bare filesystem: $result"
bounce "$POOL" "$MNT"
keeper
mkdir "$MNT/storm"
"$TOOLS/storm" "$MNT/storm" 6 $((10 * TIMES)) >"$TMP/storm.log" &
slay $((40 * TIMES)) 250 KILL
wait $! || die "$(cat "$TMP/storm.log")"
note "$DEATHS deaths: $(cat "$TMP/storm.log")"
