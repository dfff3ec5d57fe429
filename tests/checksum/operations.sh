#!/bin/bash
# Checksums follow each operation on a file: names, space, copies, maps, modes; and what is bad stays
# bad until it is overwritten as a whole.
# timeout: 180
. "${0%/*}/lib.sh"
require xfs_io setfattr

pool xfs
bounce "$POOL" "$MNT" checksum=xxh3
fewer() { [ "$(sidecars)" -lt "$1" ]; }
sidecars() { find "$POOL/.bouncefs" -type f | wc -l; }
effective() { getfattr --only-values -n user.bouncefs.effective "$1" 2>/dev/null; }
said() { grep -c "csum failed" "$TMP/bouncefs.log" || true; }
x() { xfs_io "$@" >/dev/null; }
# good FILE: nothing is wrong with it, through the mount or after all has been closed
good() { cmp "$MNT/$1" "$POOL/$1" && scrubbed 0 "$MNT/$1"; }

note "sizes, holes, ends of files"
for size in 1 511 4095 4097 70001; do
	head -c $size /dev/urandom >"$MNT/$size.img"
	good $size.img
	x -c "pwrite -q -S 7 $((size + 5000)) 3" "$MNT/$size.img"
	good $size.img
	x -c "truncate $((size / 2))" -c "truncate $((size * 2))" "$MNT/$size.img"
	good $size.img
done
is "grown" "$(tail -c 1 "$MNT/70001.img" | od -An -tu1 | tr -d ' ')" 0
: >"$MNT/1.img"
good 1.img
is "sidecars" "$(sidecars)" 5

note "fallocate"
head -c 8M /dev/urandom >"$MNT/a.img"
x -c "fpunch 1000 3000000" -c "fzero 5000001 2000001" -c "falloc 8000000 1000000" "$MNT/a.img"
good a.img
x -c "fpunch 0 8M" "$MNT/a.img"
good a.img
x -c "pwrite -q 1M 3M" -c "fzero 0 16M" "$MNT/a.img"
good a.img

note "truncate(2), and times, of what is closed"
head -c 100000 /dev/urandom >"$MNT/b.img"
truncate -s 50001 "$MNT/b.img"
touch -d 2001-02-03 "$MNT/b.img"
good b.img

note "copies"
head -c 5000001 /dev/urandom >"$MNT/c.img"
cp "$MNT/c.img" "$MNT/copy.img"
good copy.img
x -c "copy_range -s 4096 -d 8192 -l 1000000 $MNT/c.img" -c "copy_range -s 1 -d 3 -l 99999 $MNT/c.img" "$MNT/copy.img"
good copy.img
cp "$MNT/c.img" "$MNT/plain"
cp "$MNT/plain" "$MNT/back.img"
good back.img
is "extents shared" "$(xfs_io -r -c 'fiemap -v' "$POOL/back.img" | grep -c 0x2001)" 1

note "names"
mv "$MNT/c.img" "$MNT/c"
ln "$MNT/c" "$MNT/link"
like "renamed" "$(effective "$MNT/c")" "*checksum=xxh3 (it has them)*"
x -c "pwrite -q -S 3 123 4567" "$MNT/link"
x -c "mmap 0 1M" -c "mwrite -S 9 5000 100000" -c "msync -s" "$MNT/c"
good c
n=$(sidecars)
rm "$MNT/c"
is "after the first name" "$(sidecars)" "$n"
exec 3<>"$MNT/link"
rm "$MNT/link"
is "while it is open" "$(sidecars)" "$n"
exec 3>&-
within 5 fewer "$n"
mv "$MNT/b.img" "$MNT/a.img"
is "a name that is taken" "$(sidecars)" "$((n - 2))"
good a.img

note "bad blocks"
unbounce "$MNT"
dd if=/dev/urandom of="$POOL/bad.img" bs=4k count=1000 conv=fsync status=none
bounce "$POOL" "$MNT" checksum=xxh3
exec 3<"$MNT/bad.img"
within 20 grep -q "bad.img: checksums are complete" "$TMP/bouncefs.log"
exec 3<&-
flip "$POOL/bad.img" 40960 81920 122880 >/dev/null
n=$(said)
fails "Input/output error" dd if="$MNT/bad.img" bs=4k skip=10 count=1 of=/dev/null
for block in 9 11 19 21; do dd if="$MNT/bad.img" bs=4k skip=$block count=1 of=/dev/null status=none; done
is "log lines" "$(said)" "$((n + 1))"
like "the line" "$(grep 'csum failed' "$TMP/bouncefs.log" | tail -n 1)" \
	"*csum failed image bad.img off 40960 want 0x???????????????? got 0x????????????????"
fails "Input/output error" x -c "pwrite -q 81921 5" "$MNT/bad.img"
fails "Input/output error" x -c "truncate 122889" "$MNT/bad.img"
fails "Input/output error" x -c "fpunch 40961 10000" "$MNT/bad.img"
setfattr -n user.bouncefs.checksum-errors -v report "$MNT/bad.img"
cat "$MNT/bad.img" >/dev/null
fails "Input/output error" x -c "pwrite -q 81921 5" "$MNT/bad.img"
x -c "pwrite -q 40960 4096" -c "pwrite -q 81920 4096" -c "fpunch 122880 4096" "$MNT/bad.img"
setfattr -n user.bouncefs.checksum-errors -v fail "$MNT/bad.img"
good bad.img

note "modes"
for mode in writeback unsafe dontcache directsync none; do
	setfattr -n user.bouncefs.cache -v $mode "$MNT/copy.img"
	x -c "pwrite -q -S 8 777 100001" "$MNT/copy.img"
	cmp "$MNT/copy.img" "$POOL/copy.img"
done
good copy.img

note "nothing but what was said, after another mount and on one that only reads"
unbounce "$MNT"
bounce "$POOL" "$MNT" ro,passthrough=ro
cat "$MNT"/*.img >/dev/null
flip "$POOL/copy.img" 12345 >/dev/null
fails "Input/output error" cat "$MNT/copy.img"
fails "No such file" ls "$MNT/.bouncefs"
is "foreign changes" "$(grep -c "behind the mount" "$TMP/bouncefs.log" || true)" 0

note "read by the kernel, and then with checksums: by the kernel until nobody has it open"
unbounce "$MNT"
head -c 1M /dev/urandom >"$POOL/kernel.img"
bounce "$POOL" "$MNT" ro,passthrough=ro
exec 3<"$MNT/kernel.img"
setfattr -n user.bouncefs.checksum -v xxh3 "$POOL/kernel.img"
hangup
checksum_on() { "$CTL" --json status | grep -q xxh3; }
within 10 checksum_on
cmp "$MNT/kernel.img" "$POOL/kernel.img"
within 10 grep -q "kernel.img: checksums are complete" "$TMP/bouncefs.log"
exec 3<&-
within 10 all_closed
flip "$POOL/kernel.img" 12345 >/dev/null
fails "Input/output error" cat "$MNT/kernel.img"
