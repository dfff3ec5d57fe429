#!/bin/bash
# An error of writeback that the daemon's fsync got, and died with before it could answer, is what the
# FSYNC that is sent again reports; once to each who has the image open, and never again.
. "${0%/*}/lib.sh"
require xfs_io perl

store
truncate -s 1G "$STORE/disk"
pool "${KIND:-ext4}" "$STORE/disk"
fallocate -l 32M "$POOL/vm.img"
dd if=/dev/zero of="$POOL/vm.img" bs=1M count=32 conv=notrunc,fsync status=none
bounce "$POOL" "$MNT" cache=writeback
keeper
image=$MNT/vm.img

# The first part of the data fails at once, the second one is held: the fsync waits for that one, while
# all threads of the daemon are stopped, and so nobody answers.
swallow()
{
	local w
	w=$(worker)
	ctl fail EIO write byte=E times=1
	ctl hold write byte=H times=1
	xfs_io -c 'pwrite -q -S 0x45 0 64k' -c 'pwrite -q -S 0x48 16m 64k' -c fsync "$image" \
		>"$TMP/first" 2>&1 &
	within 10 holds 1
	kill -STOP "$w"
	ctl release
	sleep 1
	[ ! -s "$TMP/first" ] || die "it has been answered: $(cat "$TMP/first")"
	kill_worker KILL
	wait $! || true
	ctl clear
}

# the one on descriptor 8
fsync_8() { perl -MIO::Handle -e 'open(my $f, "+<&=8"); $f->sync or die "$!\n"'; }

exec 8<>"$image"
swallow
like "the FSYNC that was sent again" "$(cat "$TMP/first")" "*Input/output error*"
fails "Input/output error" fsync_8
fsync_8
note "later FSYNCs, and those after another death, are fine"
kill_worker KILL
fsync_8
kill_worker KILL
sync -d "$image"
xfs_io -c 'pwrite -q -S 0x46 0 64k' -c fsync "$image"
exec 8<&-

note "an error that was answered is not reported once more after a death"
exec 8<>"$image"
ctl fail EIO write byte=E times=1
fails "Input/output error" xfs_io -c 'pwrite -q -S 0x45 0 64k' -c fsync "$image"
fails "Input/output error" fsync_8
kill_worker KILL
fsync_8
exec 8<&-
