#!/bin/bash
# The last close of a writer syncs the image: its data do not wait for the kernel's writeback.
. "${0%/*}/../lib.sh"

mark=last-close-of-a-writer
on_disk() { grep -qa "$mark-$1" "$TMP/pool"; }

POOL_SIZE=512M pool xfs
bounce "$POOL" "$MNT" cache=writeback
truncate -s 1M "$MNT/disk.img"
sync -f "$POOL"

exec 8<>"$MNT/disk.img" 9<>"$MNT/disk.img"
echo "$mark-1" >&8
exec 8>&-
sleep 1
! on_disk 1 || die "on disk while a writer was open: nothing would be seen of the sync"
exec 9>&-
within 10 on_disk 1

note "also when the writer is killed"
(
	exec 9<>"$MNT/disk.img"
	echo "$mark-2" >&9
	exec sleep 100 >/dev/null
) &
writer=$!
within 5 grep -q "$mark-2" "$POOL/disk.img"
kill -KILL $writer
within 10 on_disk 2
