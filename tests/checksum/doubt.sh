#!/bin/bash
# What is lost since an fsync failed is found when the image is opened again: all of it, although a guest writes
# to it meanwhile, and its mode changes.
. "${0%/*}/lib.sh"
require xfs_io

store
log=$TMP/bouncefs.log
policy=$TMP/policy.conf
place() { "$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/a.img" -n "$1"; }
found() { grep -q "csum failed image a.img off $1 " "$log"; }
truncate -s 512M "$STORE/disk"
pool xfs "$STORE/disk"
printf '[a.img]\ncache = writeback\n' >"$policy"
bounce "$POOL" "$MNT" "checksum=xxh3,policy=$policy"
dd if=/dev/urandom of="$MNT/a.img" bs=1M count=6 conv=fsync status=none
within 10 all_closed

ctl fail EIO write file=disk byte=E
fails "Input/output error" xfs_io -c "pwrite -q -S 0x45 0 6M" -c fsync "$MNT/a.img"
within 10 all_closed
ctl clear
grep -q "a.img: an fsync failed" "$log"

note "one region is looked at, and the next one waits for a write, when the mode changes"
printf '[a.img]\ncache = none\n' >"$policy"
hangup
within 5 grep -q "policy read again" "$log"
at=$(place 0)
ctl delay 2000 read file=disk "at=$at-$((at + 4096))" times=1
at=$(place $((2 << 20)))
ctl hold write file=disk "at=$at-$((at + 4096))" times=1
exec 3<>"$MNT/a.img"
xfs_io -d -c "pwrite -q -S 7 2M 64k" "$MNT/a.img" &
within 5 holds 1
within 10 found 0
sleep 4 # it pauses as long as that took
printf '[a.img]\ncache = writeback\n' >"$policy"
hangup
sleep 1
ctl release
wait $!
within 10 grep -q "a.img: cache=writeback (policy)" "$log"
for at in 1 3 5; do within 10 found $((at << 20)); done
exec 3>&-
