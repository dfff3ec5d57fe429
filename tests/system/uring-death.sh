#!/bin/bash
# Over rings a worker's death is not survived. What is open gets I/O errors at once, also while a disk hangs;
# nothing hangs; the mount point is free, the pool only when nothing of the dead one can land any more.
TRANSPORT=io_uring
. "${0%/*}/../lib.sh"
require fio xfs_io

store
kind=xfs
truncate -s 1G "$STORE/disk.$kind"
pool "$kind" "$STORE/disk.$kind"
truncate -s 64M "$POOL/vm.img"
dd if=/dev/zero of="$POOL/vm.img" bs=1M count=64 conv=fsync,notrunc status=none

worker() { pgrep --parent "$(pgrep -x bouncefs --parent 1)"; }
# write DIGIT: a block full of it, directly
write() { timeout 20 xfs_io -d -c "pwrite -q -S 0x3$1 0 4k" -c fsync "$MNT/vm.img"; }
stored() { dd if="$POOL/vm.img" bs=4k count=1 iflag=direct status=none | head -c 1; }
unmounted() { ! mountpoint -q "$MNT"; }

note "under load"
bounce "$POOL" "$MNT"
write 1
fio --name=load --filename="$MNT/vm.img" --offset=1m --size=32m --rw=randrw --bs=4k --ioengine=io_uring --iodepth=32 \
	--direct=1 --time_based --runtime=30 >"$TMP/fio.out" 2>&1 &
load=$!
sleep 1
kill -KILL "$(worker)"
rc=0
timeout 10 tail --pid=$load -f /dev/null || die "the load hangs"
wait $load || rc=$?
[ $rc -ne 0 ] || die "the load has not noticed"
within 5 unmounted
within 5 no_daemon
grep -q "given up" "$TMP/bouncefs.log"
is "what was synced" "$(stored)" 1

note "while the disk hangs"
bounce "$POOL" "$MNT"
defer ctl release
ctl hold write file="disk.$kind" byte=2 times=1
write 2 2>"$TMP/write.out" &
writer=$!
within 10 holds 1
kill -KILL "$(worker)"
timeout 5 tail --pid=$writer -f /dev/null || die "the writer hangs"
! wait $writer || die "a write that is not on the disk was answered"
within 5 unmounted
fails "served by another bouncefs" timeout 30 "$BOUNCEFS" "$POOL" "$MNT"
ctl release
bounce "$POOL" "$MNT"
write 3
sleep 0.5
is "the newer write" "$(stored)" 3

note "aborted by the administrator"
mount_at "$TMP/fusectl" -t fusectl none
echo 1 >"$TMP/fusectl/$(mountpoint -d "$MNT" | cut -d: -f2)/abort"
fails "" write 4
umount -l "$MNT"
within 5 no_daemon

note "no handing over, and a caller that is killed"
bounce "$POOL" "$MNT"
fails "not supported" "$BUILD/bouncectl" restart "$MNT"
exec 9<>"$MNT/vm.img"
kill -QUIT "$(pgrep -x bouncefs --parent 1)"
sleep 0.2
ctl hold write file="disk.$kind" byte=5 times=1
xfs_io -d -c 'pwrite -q -S 0x35 0 4k' "$MNT/vm.img" &
writer=$!
within 10 holds 1
kill -KILL $writer
ctl release
wait $writer || true
write 6
is "lives" "$("$BUILD/bouncectl" status "$MNT" --json | grep -o '"lives": *[^,]*' | tr -dc 0-9)" 1
exec 9>&-
