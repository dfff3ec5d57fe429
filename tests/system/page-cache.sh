#!/bin/bash
# Ordinary files are cached by the kernel above the mount: what was read stays there for the next opener, and is
# not asked for again. Images are not: the guests have caches of their own.
. "${0%/*}/../lib.sh"
require fincore

pool xfs
bounce "$POOL" "$MNT" log-level=trace
resident() { fincore -b -n -o RES "$1" | tr -d ' '; }
drop() { dd if="$1" iflag=nocache count=0 status=none; }
requests() { grep -c ': READ:' "$TMP/bouncefs.log"; }
size=$((4 << 20))

for file in plain disk.img; do
	head -c $size /dev/urandom >"$POOL/$file"
	drop "$MNT/$file"
	is "$file before it was read" "$(resident "$MNT/$file")" 0
	cmp "$POOL/$file" "$MNT/$file"
	before=$(requests)
	cmp "$POOL/$file" "$MNT/$file"
	if [ $file = plain ]; then
		is "a file that was read" "$(resident "$MNT/$file")" $size
		is "requests for one that is cached" "$(requests)" "$before"
	else
		is "an image that was read" "$(resident "$MNT/$file")" 0
		[ "$(requests)" -gt "$before" ] || die "an image was not read"
	fi
done
