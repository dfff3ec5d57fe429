#!/bin/bash
# Files that have no name any more, in use through a loop device or an open descriptor: they live over
# each death, and their space is free when they are closed.
. "${0%/*}/lib.sh"
require perl

pool xfs
bounce "$POOL" "$MNT"
keeper

head -c 32M /dev/urandom >"$TMP/data"
cp "$TMP/data" "$MNT/vm.img"
cp "$TMP/data" "$MNT/plain"
cp "$TMP/data" "$MNT/over.img"
cp "$TMP/data" "$MNT/over"
loop "$MNT/vm.img" --direct-io=on
exec 7<>"$MNT/plain" 8<>"$MNT/over.img" 9<>"$MNT/over"
rm "$MNT/vm.img" "$MNT/plain"
echo new >"$MNT/new.img"
mv "$MNT/new.img" "$MNT/over.img"
echo new >"$MNT/new"
mv "$MNT/new" "$MNT/over"

check()
{
	cmp "$TMP/data" "$LOOP"
	for fd in 7 8 9; do
		perl -e 'open(F, "<&='$fd'"); sysseek(F, 0, 0); while (sysread(F, $b, 1 << 20)) { print $b }' |
			cmp - "$TMP/data"
	done
}

for ((i = 0; i < 5; i++)); do
	head -c 1M /dev/urandom >"$TMP/part"
	dd if="$TMP/part" of="$TMP/data" bs=1M seek="$i" conv=notrunc status=none
	dd if="$TMP/part" of="$LOOP" bs=1M seek="$i" oflag=direct conv=fsync status=none &
	for fd in 7 8 9; do
		perl -e 'open(F, "+<&='$fd'"); sysseek(F, '$i' << 20, 0);
			sysread(STDIN, $b, 1 << 20) == 1 << 20 or die;
			syswrite(F, $b) == 1 << 20 or die $!' <"$TMP/part"
	done &
	kill_worker KILL
	wait
	check
done
slay 20 100 KILL
check
is "the name" "$(cat "$MNT/over.img")" new

is_empty() { [ "$(df --output=used -k "$POOL" | tail -n 1)" -lt $((before - 120000)) ]; }
before=$(df --output=used -k "$POOL" | tail -n 1)
unloop "$LOOP"
exec 7>&- 8>&- 9>&-
within 5 is_empty
