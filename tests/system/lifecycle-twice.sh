#!/bin/bash
# A pool has one daemon: a second mount waits up to 10 s for the first to leave.
. "${0%/*}/../lib.sh"

pool ext4
mkdir "$TMP/other" "$TMP/second"
ln -s "$POOL" "$TMP/link"
bounce "$POOL" "$MNT"
second() { "$BOUNCEFS" -o "log=$TMP/second.log" "${1:-$POOL}" "$TMP/second"; }
defer detach "$TMP/second"

note "gives up after 10 s, with one line"
for source in "$POOL" "$TMP/link"; do
	begin=$SECONDS rc=0
	second "$source" 2>"$TMP/err" || rc=$?
	took=$((SECONDS - begin))
	[ $rc -ne 0 ] || die "mounted twice: $source"
	is "lines" "$(wc -l <"$TMP/err")" 1
	grep -qF "$POOL" "$TMP/err" || die "does not name the pool: $(cat "$TMP/err")"
	if [ $took -lt 9 ] || [ $took -gt 20 ]; then
		die "took $took s"
	fi
	fails "not a mountpoint" mountpoint "$TMP/second"
done
echo works >"$MNT/file"
is "the first mount" "$(cat "$MNT/file")" works

note "another pool is another matter"
second "$TMP/other"
umount "$TMP/second"

note "mounts as soon as the first has left"
second &
waiting=$!
sleep 1
fails "not a mountpoint" mountpoint "$TMP/second"
kill -0 $waiting
umount "$MNT"
wait $waiting
is "the second mount" "$(cat "$TMP/second/file")" works
