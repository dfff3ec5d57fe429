#!/bin/bash
# No room for checksums, and errors when they are read or written: no request of a guest fails for it,
# and nothing is believed that was not hashed.
# timeout: 180
. "${0%/*}/lib.sh"
require xfs_io

log=$TMP/bouncefs.log
all_hashed() { ! "$CTL" --json status | grep -q 'checksum-to-do": [1-9]'; }
x() { xfs_io -d "$@" >/dev/null; }

note "a full disk"
POOL_SIZE=150M pool ext4
truncate -s 24M "$POOL/a.img"
fallocate -l 24M "$POOL/b.img"
bounce "$POOL" "$MNT" checksum=xxh3
x -c "pwrite -q -b 1M 0 10M" "$MNT/a.img"
head -c 1000M /dev/zero >"$POOL/filler" 2>/dev/null || true
x -c "pwrite -q -b 1M -S 3 0 24M" "$MNT/b.img"
cmp "$MNT/b.img" "$POOL/b.img"
x -c "pwrite -q -b 1M -S 4 0 10M" "$MNT/a.img"
cmp "$MNT/a.img" "$POOL/a.img"
rm "$POOL/filler"
x -c "pwrite -q 0 1M" "$MNT/b.img"
unbounce "$MNT"
bounce "$POOL" "$MNT" checksum=xxh3
for f in a b; do
	exec 3<"$MNT/$f.img"
	cmp "$MNT/$f.img" "$POOL/$f.img"
	within 20 all_hashed
	exec 3<&-
	scrubbed 0 "$MNT/$f.img"
done
flip "$POOL/b.img" 20000000 >/dev/null
scrubbed 1 "$MNT/b.img"
is "alarms" "$(grep -c 'csum failed' "$log")" 1
unbounce "$MNT"

note "errors of the store"
store
mkdir "$STORE/pool"
bounce "$STORE/pool" "$MNT" checksum=xxh3
x -f -c "pwrite -q -b 1M 0 16M" "$MNT/c.img"
exec 3<>"$MNT/c.img"
sidecar=$(basename "$STORE_BELOW"/pool/.bouncefs/*)
ctl fail EIO write "file=$sidecar"
ctl fail EIO write "file=$sidecar.new" # what it was opened as
x -c "pwrite -q -b 1M -S 5 8M 12M" "$MNT/c.img"
cmp "$MNT/c.img" "$STORE_BELOW/pool/c.img"
ctl clear
grep -qF "c.img: its checksums cannot be kept up to date" "$log"
exec 3>&-
within 10 all_closed
exec 3<>"$MNT/c.img"
cmp "$MNT/c.img" "$STORE_BELOW/pool/c.img"
within 20 grep -q "c.img: checksums are complete" "$log"
printf x | dd of="$STORE_BELOW/pool/c.img" bs=1 seek=12000000 conv=notrunc status=none
scrubbed 1 "$MNT/c.img"
exec 3>&-

note "no way to say that they are not to be believed"
x -f -c "pwrite -q -b 1M 0 4M" "$MNT/e.img"
exec 3<>"$MNT/e.img"
cp "$STORE_BELOW/pool/e.img" "$TMP/e.img"
write() { dd if=/dev/urandom of="$MNT/e.img" bs=64k seek=100 count=1 conv=notrunc oflag=direct status=none 2>/dev/null; }
for f in "$STORE_BELOW"/pool/.bouncefs/*; do
	for op in write fsync meta; do
		ctl fail EIO $op "file=${f##*/}"
		ctl fail EIO $op "file=${f##*/}.new"
	done
done
# the second one finds what the first one has left in memory
! write || die "a write that would be forgotten"
! write || die "a write that would be forgotten, the second time"
! truncate -s 1M "$MNT/e.img" 2>/dev/null || die "a truncation that would be forgotten"
! write || die "a write that would be forgotten, after a truncation"
cmp "$STORE_BELOW/pool/e.img" "$TMP/e.img"
ctl clear
write
exec 3>&-
within 10 all_closed
exec 3<>"$MNT/e.img"
within 20 all_hashed
exec 3>&-
scrubbed 0 "$MNT/e.img"

note "one of two pages cannot be read: it may be the one that counts"
find_sidecar() { sidecar=$(grep -la e.img "$STORE_BELOW"/pool/.bouncefs/*); }
for page in 0 4096 8192 12288; do
	x -f -c "pwrite -q -b 1M -S 7 0 4M" "$MNT/e.img"
	within 10 all_closed
	within 10 find_sidecar
	ctl fail EIO read "file=${sidecar##*/}" "at=$page-$((page + 4096))"
	exec 3<>"$MNT/e.img"
	ctl clear
	within 20 all_hashed
	exec 3>&-
	is "hashed again" "$(grep -c 'e.img: .*damaged: hashed again' "$log")" $((page / 4096 + 1))
	scrubbed 0 "$MNT/e.img"
done

note "a list of bad blocks that cannot be read lists nothing of another region"
x -f -c "pwrite -q -b 1M -S 7 0 4M" "$MNT/f.img"
within 10 all_closed
for at in 40960 2113536; do printf x | dd of="$STORE_BELOW/pool/f.img" bs=1 seek=$at conv=notrunc status=none; done
scrubbed 1 "$MNT/f.img"
within 10 all_closed
sidecar=$(basename "$(grep -la f.img "$STORE_BELOW"/pool/.bouncefs/*)")
exec 3<>"$MNT/f.img"
ctl fail EIO write "file=$sidecar"
x -c "pwrite -q -S 8 4M 4k" "$MNT/f.img"
ctl fail EIO read "file=$sidecar" at=20480-24576
is "listed" "$("$CTL" checksum list-errors "$MNT/f.img")" "$MNT/f.img: 40960 4096 checksum mismatch"
ctl clear
exec 3>&-

note "checksums that cannot be dropped, or replaced, are kept up to date"
x -f -c "pwrite -q -b 1M -S 7 0 4M" "$MNT/g.img"
within 10 all_closed
sidecar=$(basename "$(grep -la g.img "$STORE_BELOW"/pool/.bouncefs/*)")
exec 3<>"$MNT/g.img"
ctl fail EIO meta "file=$sidecar"
fails "Input/output error" setfattr -n user.bouncefs.checksum -v off "$MNT/g.img"
like "in effect" "$(getfattr --only-values -n user.bouncefs.effective "$MNT/g.img" 2>/dev/null)" "*checksum=xxh3 (it has them)*"
x -c "pwrite -q -S 8 0 1M" "$MNT/g.img"
setfattr -x user.bouncefs.checksum "$MNT/g.img"
exec 3>&-
within 10 all_closed
ctl clear
# another g.img, with checksums of its own
mv "$MNT/g.img" "$MNT/old.img"
cat "$MNT/old.img" >"$MNT/g.img"
within 10 all_closed
own=$(basename "$(grep -la g.img "$STORE_BELOW"/pool/.bouncefs/* | grep -v "$sidecar")")
exec 3<>"$MNT/g.img"
ctl fail EIO meta "file=$own"
fails "Input/output error" "$CTL" checksum adopt "$MNT/g.img"
x -c "pwrite -q -S 9 1M 1M" "$MNT/g.img"
exec 3>&-
within 10 all_closed
ctl clear
exec 3<>"$MNT/g.img"
within 20 all_hashed
exec 3>&-
scrubbed 0 "$MNT/g.img"
is "foreign" "$(grep -c 'g.img: was changed behind' "$log" || true)" 0

note "a block is found bad, and the image closed before anything else could be written down"
x -f -c "pwrite -q -b 1M -S 7 0 4M" "$MNT/h.img"
x -f -c "pwrite -q -b 1M -S 7 0 4M" "$MNT/i.img"
within 10 all_closed
touch -r "$STORE_BELOW/pool/h.img" "$TMP/times"
for at in 8192 20480; do printf x | dd of="$STORE_BELOW/pool/h.img" bs=1 seek=$at conv=notrunc status=none; done
touch -r "$TMP/times" "$STORE_BELOW/pool/h.img"
block() { dd bs=4k skip="$1" count=1 status=none >/dev/null; }
exec 3<"$MNT/h.img"
block 0 <&3
# who would write it down is busy
sidecar=$(grep -la i.img "$STORE_BELOW"/pool/.bouncefs/*)
ctl hold fsync "file=${sidecar##*/}" times=1
dd if=/dev/zero of="$MNT/i.img" bs=4k count=1 conv=notrunc oflag=direct status=none 3<&- &
within 10 holds 1
! block 1 <&3 2>/dev/null || die "it is bad"
exec 3<&-
sleep 0.5
ctl release
wait $!
within 10 all_closed
is "listed" "$("$CTL" checksum list-errors "$MNT/h.img")" "$MNT/h.img: 8192 4096 checksum mismatch"
for bad in 2 5; do fails "Input/output error" block $bad <"$MNT/h.img"; done
