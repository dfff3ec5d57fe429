#!/bin/bash
# Settings that change while others are being put into effect and checksums are being computed: whoever is
# at it comes to an end, and the last word counts.
# timeout: 120
. "${0%/*}/lib.sh"

store
truncate -s 512M "$STORE/disk"
pool xfs "$STORE/disk"
dd if=/dev/urandom of="$POOL/a.img" bs=1M count=64 oflag=direct status=none
bounce "$POOL" "$MNT"
defer ctl clear
effective() { getfattr --absolute-names --only-values -n user.bouncefs.effective "$MNT/a.img"; }

exec 3<>"$MNT/a.img"
for round in 1 2 3; do
	note "checksums go while the mode changes, round $round"
	setfattr -n user.bouncefs.checksum -v xxh3 "$MNT"
	# they are being computed all the time
	ctl delay 50 read file=disk
	ctl hold fsync file=disk times=1
	ctl delay 1000 fsync file=disk
	setfattr -n user.bouncefs.cache -v writeback "$MNT/a.img" &
	within 10 holds 1
	# nobody is told of this one, but who is at it already sees it (the image itself is locked: a read
	# of it waits for the disk)
	setfattr -n user.bouncefs.checksum -v off "$POOL"
	ctl release
	within 20 exited $!
	like "settings" "$(effective)" "cache=writeback *checksum=off*"
	ctl clear
	setfattr -n user.bouncefs.cache -v none "$MNT/a.img"
done
like "settings" "$(effective)" "cache=none *checksum=off*"
exec 3<&-
