#!/bin/bash
# Images that somebody changed behind the mount, and pools that were moved.
# timeout: 120
. "${0%/*}/lib.sh"
require xfs_io

pool xfs
log=$TMP/bouncefs.log
bounce "$POOL" "$MNT" checksum=xxh3
for f in a b; do head -c 8M /dev/urandom >"$MNT/$f.img"; done
unbounce "$MNT"
behind() { grep -c "was changed behind the mount" "$log" || true; }
# mounted OPTIONS [BEHIND]: so many more are found to be changed behind the mount
mounted()
{
	local n
	n=$(behind)
	bounce "$POOL" "$MNT" "$1"
	cat "$MNT/b.img" >/dev/null
	cat "$MNT/a.img" >/dev/null 2>&1 || true
	is "changed behind the mount" "$(($(behind) - n))" "${2:-0}"
}

note "what changes no data: mode, owner, link, xattr, a copy of the pool's own time"
chmod 600 "$POOL/a.img"
chown 1:1 "$POOL/a.img"
setfattr -n user.test -v 1 "$POOL/a.img"
ln "$POOL/a.img" "$POOL/link.img"
rm "$POOL/link.img"
mounted checksum=xxh3
scrubbed 0 "$MNT"
note "and through the mount: times"
touch "$MNT/a.img"
touch -d 2002-02-02 "$MNT/b.img"
unbounce "$MNT"
mounted checksum=xxh3
unbounce "$MNT"

note "verify"
printf changed | dd of="$POOL/a.img" bs=1 seek=5000 conv=notrunc,fsync status=none
mounted foreign-change=verify 1
scrubbed 1 "$MNT/a.img"
is "found" "$(cat "$TMP/ranges")" "$MNT/a.img: 4096 4096 checksum mismatch"
fails "Input/output error" cat "$MNT/a.img"
unbounce "$MNT"

note "refuse"
printf more >>"$POOL/a.img"
bounce "$POOL" "$MNT" foreign-change=refuse
fails "Input/output error" cat "$MNT/a.img"
grep -q "a.img: was changed behind the mount (foreign-change): refused" "$log"
cat "$MNT/b.img" >/dev/null
note "rebuild"
setfattr -n user.bouncefs.foreign-change -v rebuild "$MNT/a.img"
exec 3<"$MNT/a.img"
within 10 grep -q "a.img: checksums are complete" "$log"
exec 3<&-
scrubbed 0 "$MNT/a.img"
cmp "$MNT/a.img" "$POOL/a.img"
unbounce "$MNT"
mounted checksum=xxh3
unbounce "$MNT"

note "moved: other inodes"
mkdir "$POOL/new"
cp -a "$POOL"/*.img "$POOL/new/"
rm "$POOL"/*.img
mv "$POOL"/new/*.img "$POOL/"
flip "$POOL/a.img" 9999 >/dev/null
bounce "$POOL" "$MNT"
scrubbed 0 "$MNT"
"$CTL" checksum adopt "$MNT/a.img" "$MNT/b.img"
scrubbed 1 "$MNT"
is "found" "$(cat "$TMP/ranges")" "$MNT/a.img: 8192 4096 checksum mismatch"
is "adopted again" "$("$CTL" checksum adopt "$MNT/a.img")" ''
unbounce "$MNT"

note "another file has got the name: the checksums of who is in use stay his"
bounce "$POOL" "$MNT" checksum=xxh3
head -c 4M /dev/urandom >"$MNT/vm.img"
within 10 all_closed
mv "$MNT/vm.img" "$MNT/old.img"
cat "$MNT/old.img" >"$MNT/vm.img"
within 10 all_closed
exec 3<"$MNT/old.img"
is "adopted" "$("$CTL" checksum adopt "$MNT/vm.img")" ''
for f in old vm; do xfs_io -d -c "pwrite -q -S 5 0 1M" "$MNT/$f.img"; done
exec 3<&-
within 10 all_closed
scrubbed 0 "$MNT/old.img" "$MNT/vm.img"
unbounce "$MNT"
