#!/bin/bash
# The daemon is killed at random moments, from outside and by the signals that a fault of its own
# would bring, under verified load on two images, one of them through the page cache of its loop
# device: no request fails, no block is lost or torn, and the keeper holds no more than before.
# timeout: 900
. "${0%/*}/lib.sh"
require fio

pool xfs
fallocate -l 128M "$POOL/direct.img"
fallocate -l 128M "$POOL/buffered.img"
bounce "$POOL" "$MNT"
keeper
loop "$MNT/direct.img" --direct-io=on
direct=$LOOP
loop "$MNT/buffered.img"

# verified NAME DEVICE FIO-OPTIONS...: writes everything and reads it again, until the file goes
verified()
{
	local name=$1 device=$2
	shift 2
	while [ -e "$TMP/slaying" ]; do
		fio --name="$name" --filename="$device" --size=64M --rw=randwrite \
			--bssplit=4k/95:1m/5 --verify=crc32c --verify_fatal=1 --fsync=64 \
			--verify_state_save=0 --output="$TMP/$name.log" "$@"
	done
}

fds=$(descriptors "$KEEPER") pss=$(memory "$KEEPER")
touch "$TMP/slaying"
verified direct "$direct" --direct=1 --ioengine=io_uring --iodepth=32 &
a=$!
verified buffered "$LOOP" --direct=0 --ioengine=psync &
b=$!
slay $((60 * TIMES)) 400 KILL KILL SEGV KILL KILL ABRT KILL KILL BUS
rm "$TMP/slaying"
wait "$a"
wait "$b"
note "$DEATHS deaths"
# the names of what is kept now may differ by a fence, a pidfd
[ "$(descriptors "$KEEPER")" -le "$((fds + 2))" ] ||
	die "the keeper's descriptors: $fds before, $(descriptors "$KEEPER") after"
# (a sanitizer's own grows)
[ "${SLOWER:-1}" -gt 1 ] || [ "$(memory "$KEEPER")" -le "$((pss + 200))" ] ||
	die "the keeper's memory: $pss KiB before, $(memory "$KEEPER") KiB after"
