#!/bin/bash
# A directory of ten thousand names is listed while the daemon dies: none twice, none missing.
. "${0%/*}/lib.sh"

for kind in xfs ext4 btrfs; do
	truncate -s 512M "$TMP/disk.$kind"
	pool "$kind" "$TMP/disk.$kind"
	MNT=$TMP/mnt.$kind
	mkdir "$POOL/names"
	(cd "$POOL/names" && seq 0 9999 | xargs touch)
	bounce "$POOL" "$MNT"
	keeper
	"$TOOLS/list" "$MNT/names" 10000 3 >"$TMP/list.log" &
	slay 12 200 KILL
	wait $!
	note "$kind: $DEATHS deaths, read $(cat "$TMP/list.log") times"
	unbounce "$MNT"
done
