#!/bin/bash
# bouncectl doctor finds what is made wrong here, says what to do, and what it says works.
. "${0%/*}/lib"
require python3

# doctor STATUS: what it finds about this test's mounts and files, "LEVEL SUBJECT: WHAT" a line, to $TMP/found; it
# ends with STATUS
doctor()
{
	local rc=0
	"$CTL" --json doctor "$MNT" >"$TMP/doctor" || rc=$?
	like "exit status" $rc "$1"
	python3 -c '
import json, sys
for f in json.load(open(sys.argv[1])):
    assert f["level"] != "problem" or f["do"], f
    print(f["level"], f["about"] + ":", f["what"])' "$TMP/doctor" >"$TMP/found"
}

finds() { grep -qF -- "$*" "$TMP/found" || { cat "$TMP/found"; die "does not find: $*"; }; }
not_found() { ! grep -F -- "$*" "$TMP/found" || die "finds: $*"; }

pool btrfs
mkdir "$POOL/a" "$POOL/zip" "$TMP/etc"
chattr +C "$POOL/a"
btrfs property set "$POOL/zip" compression zstd
for image in a/a.img a/b.img zip/z.img; do truncate -s 16M "$POOL/$image"; done
echo "[v*]" >"$TMP/policy"
bounce "$POOL" "$MNT" "policy=$TMP/policy"

note "all is well"
loop "$MNT/a/a.img" --direct-io=on
doctor 0
finds "fine $MNT: $POOL, on btrfs; 1 images open"
finds "fine $MNT: policy file $TMP/policy"
finds "note $MNT: no service manager"
not_found /dev/loop
like "text" "$("$CTL" doctor "$MNT")" "*note *service manager*"

note "loop devices: without direct I/O, past the mount, with other blocks"
losetup --direct-io=off "$LOOP"
doctor 1
finds "problem $LOOP: over $MNT/a/a.img without direct I/O"
losetup --direct-io=on "$LOOP"
mine=$LOOP
loop "$POOL/a/b.img"
doctor 1
finds "problem $LOOP: goes to $POOL/a/b.img past the mount"
not_found "problem $mine:"
unloop "$LOOP"
"$CTL" set "$MNT/a/a.img" block-size=4096
doctor 0
finds "note $mine: has blocks of 512 bytes, and block-size=4096"
"$CTL" unset "$MNT/a/a.img" block-size

note "modes"
hold_open "$MNT/zip/z.img"
doctor 0
not_found z.img
"$CTL" set "$MNT/zip/z.img" cache=none
doctor 1
finds "problem $MNT/zip/z.img: cache=none (file): what is written directly is not compressed"
"$CTL" unset "$MNT/zip/z.img" cache
"$CTL" set "$MNT/a/a.img" cache=unsafe
doctor 0
finds "note $MNT/a/a.img: cache=unsafe (file): flushes are ignored"
"$CTL" unset "$MNT/a/a.img" cache
"$CTL" set "$MNT/a" cache=unsafe
doctor 1
finds "problem $MNT/a/a.img: cache=unsafe (directory)"
"$CTL" set "$MNT/a" cache=writeback
doctor 0
finds "note $MNT/a/a.img: cache=writeback (directory), where direct I/O is"
"$CTL" unset "$MNT/a" cache
let_go

note "a broken policy file"
echo "cache = none" >"$TMP/policy"
doctor 1
finds "problem $MNT: $TMP/policy:1:"
rm "$TMP/policy"
doctor 1
finds "problem $MNT: $TMP/policy: No such file"
echo "[v*]" >"$TMP/policy"

note "blocks that do not match their checksums"
"$CTL" set "$MNT/a/b.img" checksum=xxh3
dd if=/dev/urandom of="$MNT/a/b.img" bs=64k count=16 conv=notrunc,fsync status=none
hold_open "$MNT/a/b.img"
doctor 0
dd if=/dev/zero of="$POOL/a/b.img" bs=4k count=1 seek=3 conv=notrunc,fsync status=none
! dd if="$MNT/a/b.img" of=/dev/null bs=64k iflag=direct status=none 2>/dev/null || die "damage was not seen"
doctor 1
finds "problem $MNT/a/b.img: 1 blocks do not match their checksums"
let_go
"$CTL" set "$MNT/a/b.img" checksum=off

note "it survived a death"
pkill -KILL -n -x bouncefs
within 10 stat "$MNT/a/a.img" >/dev/null
doctor 0
finds "note $MNT: process 2 serves it"
unloop "$mine"
unbounce "$MNT"

note "over itself: a device from before the mount"
loop "$POOL/a/a.img" --direct-io=on
MNT=$POOL
bounce "$POOL" "$POOL" sandbox=none
doctor 1
finds "problem $LOOP: goes to $POOL/a/a.img past the mount"
finds "problem $MNT: the worker has kept"
finds "$POOL, on btrfs"

MNT=$TMP/mnt
store
note "a transport that was asked for and not had"
unloop "$LOOP"
unbounce "$POOL"
bounce "$STORE" "$MNT" transport=io_uring
doctor '*'
case $(cat /sys/module/fuse/parameters/enable_uring 2>/dev/null) in
Y) not_found "transport" ;;
*) finds "problem $MNT: transport=io_uring was asked for, dev is in use" ;;
esac
unbounce "$MNT"

note "errors, and a mount that does not answer"
bounce "$STORE" "$MNT" cache=none
truncate -s 1M "$MNT/bad.img"
hold_open "$MNT/bad.img"
ctl fail EIO write
! dd if=/dev/zero of="$MNT/bad.img" bs=4k count=1 conv=notrunc 2>/dev/null || die "the write did not fail"
ctl clear
doctor 1
finds "problem $MNT/bad.img: 1 requests failed"
let_go
kill -KILL "$(pgrep -o -x bouncefs)"
dead() { ! stat "$MNT" >/dev/null 2>&1; }
within 10 dead
! "$CTL" doctor "$MNT" >"$TMP/found" || die "all is well?"
finds "$MNT: does not answer: "
umount -l "$MNT"
