#!/bin/bash
# Unmounting: busy, lazily, again and again, and what was written is below when the daemon is gone.
. "${0%/*}/../lib.sh"

pool xfs
start() { "$BOUNCEFS" -o "log=$TMP/bouncefs.log${1:+,$1}" "$POOL" "$MNT"; }
defer unbounce "$MNT"

note "a busy mount stays, and works"
start
exec 8<>"$MNT/plain" 9<>"$MNT/disk.img"
truncate -s 1M "$MNT/disk.img"
fails "busy" umount "$MNT"
echo plain >&8
echo image >&9

note "lazily unmounted, what is open works on"
umount -l "$MNT"
fails "not a mountpoint" mountpoint "$MNT"
echo plain again >&8
echo image again >&9
is "image below" "$(head -n 2 "$POOL/disk.img" | tail -n 1)" "image again"
exec 8>&- 9>&-
within 5 no_daemon
is "plain file below" "$(cat "$POOL/plain")" $'plain\nplain again'

note "unmounted and mounted again at once"
for i in {1..10}; do
	start cache=writeback
	echo "$i" >"$MNT/round"
	head -c 8M /dev/urandom >"$MNT/round.img"
	sum=$(sha256sum <"$MNT/round.img")
	# without a helper that would wait
	umount -i "$MNT"
	start
	is "round $i" "$(cat "$MNT/round")" "$i"
	is "image of round $i" "$(sha256sum <"$MNT/round.img")" "$sum"
	umount -i "$MNT"
done
within 5 no_daemon

note "after umount the daemon writes out what is left and is gone within 5 s"
start cache=writeback
head -c 200M /dev/urandom >"$TMP/random"
cp "$TMP/random" "$MNT/large.img"
umount -i "$MNT"
within 5 no_daemon
cmp "$TMP/random" "$POOL/large.img"
