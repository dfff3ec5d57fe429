#!/bin/bash
# A sidecar that is damaged, cut, gone, or of another version: what it lacks is hashed again, with a
# line in the log, and what is not ours to touch is left alone. The data are served in any case but the
# last.
# timeout: 120
. "${0%/*}/lib.sh"
require xfs_io

pool ext4
head -c 20M /dev/urandom >"$POOL/a.img"
sum=$(md5sum <"$POOL/a.img")
bounce "$POOL" "$MNT" checksum=xxh3
log=$TMP/bouncefs.log
complete() { [ "$(grep -c "a.img: checksums are complete" "$log")" -ge "$1" ]; }
n=1
md5sum <"$MNT/a.img" >"$TMP/sum" 3<"$MNT/a.img"
exec 3<"$MNT/a.img"
within 20 complete 1
exec 3<&-
sidecar=$(echo "$POOL"/.bouncefs/*)

# again WHAT MESSAGE: mounts again, reads all of it, and sees MESSAGE in the log and all hashed at the end
again()
{
	local lines
	lines=$(wc -l <"$log")
	note "$1"
	bounce "$POOL" "$MNT" checksum=xxh3
	exec 3<"$MNT/a.img"
	is "data" "$(md5sum <"$MNT/a.img")" "$sum"
	tail -n +"$((lines + 1))" "$log" | grep -qF "$2" || die "it does not say: $2"
	n=$((n + 1))
	within 20 complete $n
	exec 3<&-
	scrubbed 0 "$MNT/a.img"
	unbounce "$MNT"
	# and it is as good as new
	flip_and_find
}

# A flipped bit is found by what was hashed again.
flip_and_find()
{
	flip "$POOL/a.img" 123456 >/dev/null
	bounce "$POOL" "$MNT" checksum=xxh3
	scrubbed 1 "$MNT/a.img"
	is "found" "$(cat "$TMP/ranges")" "$MNT/a.img: 122880 4096 checksum mismatch"
	unbounce "$MNT"
	flip "$POOL/a.img" 123456 >/dev/null
	bounce "$POOL" "$MNT" checksum=xxh3
	scrubbed 0 "$MNT/a.img"
	unbounce "$MNT"
}

unbounce "$MNT"
flip_and_find
printf x | dd of="$sidecar" bs=1 seek=$(((2 + 2 + 3) * 4096 + 2000)) conv=notrunc status=none
again "a sum page" "a.img: checksums at $((3 * 496 * 4096)): damaged"
printf x | dd of="$sidecar" bs=1 seek=$((2 * 4096 + 99)) conv=notrunc status=none
printf x | dd of="$sidecar" bs=1 seek=$((3 * 4096 + 99)) conv=notrunc status=none
again "both maps" "a.img: a map of its checksums is damaged"
printf x | dd of="$sidecar" bs=1 seek=99 conv=notrunc status=none
printf x | dd of="$sidecar" bs=1 seek=$((4096 + 99)) conv=notrunc status=none
again "both headers" "a.img: its checksums are damaged"
truncate -s 40000 "$sidecar"
again "cut" "a.img: its checksums are damaged"
: >"$sidecar"
again "empty" "a.img: its checksums are damaged"
rm "$sidecar"
again "gone" "MiB are to be computed"

note "one header or map is enough"
printf x | dd of="$sidecar" bs=1 seek=99 conv=notrunc status=none
printf x | dd of="$sidecar" bs=1 seek=$((2 * 4096 + 99)) conv=notrunc status=none
bounce "$POOL" "$MNT"
scrubbed 0 "$MNT/a.img"
unbounce "$MNT"

note "a version that nobody knows"
"$TOOLS/sidecar-version" "$sidecar" 2
cp "$sidecar" "$TMP/unknown"
bounce "$POOL" "$MNT" checksum=xxh3
fails "Protocol not supported" cat "$MNT/a.img"
grep -qF "a.img: its checksums are of a version that this program does not know" "$log"
cmp "$sidecar" "$TMP/unknown"
unbounce "$MNT"
bounce "$POOL" "$MNT" checksum=off
is "data" "$(md5sum <"$MNT/a.img")" "$sum"
[ ! -e "$sidecar" ] || die "it was not dropped"
unbounce "$MNT"

note "a directory that is not root's alone"
chmod 755 "$POOL/.bouncefs"
bounce "$POOL" "$MNT" checksum=xxh3
is "data" "$(md5sum <"$MNT/a.img")" "$sum"
grep -qF "a.img: it cannot be given checksums" "$log"
like "effective" "$(getfattr --only-values -n user.bouncefs.effective "$MNT/a.img" 2>/dev/null)" "*checksum=*"
unbounce "$MNT"

note "checksum=off where nothing can be written"
chmod 700 "$POOL/.bouncefs"
rm -f "$POOL"/.bouncefs/*
bounce "$POOL" "$MNT"
"$CTL" checksum build "$MNT/a.img"
setfattr -x user.bouncefs.checksum "$MNT/a.img"
unbounce "$MNT"
mount -o remount,ro "$POOL"
bounce "$POOL" "$MNT" ro,checksum=off
is "data" "$(md5sum <"$MNT/a.img")" "$sum"
like "effective" "$(getfattr --only-values -n user.bouncefs.effective "$MNT/a.img" 2>/dev/null)" "*checksum=off*"
unbounce "$MNT"
bounce "$POOL" "$MNT" ro
like "effective" "$(getfattr --only-values -n user.bouncefs.effective "$MNT/a.img" 2>/dev/null)" "*checksum=xxh3*"
is "data" "$(md5sum <"$MNT/a.img")" "$sum"
unbounce "$MNT"
