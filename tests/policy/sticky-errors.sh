#!/bin/bash
# An error that early writeback or a switch of modes meets is not lost: the next fsync of every opener
# fails, once.
. "${0%/*}/lib"
require python3

store
truncate -s 1G "$STORE/disk"
pool xfs "$STORE/disk"
bounce "$POOL" "$MNT" dirty-limit=1M

# fsyncs FILE BYTES COMMAND: writes BYTES of 'E' with one of two openers, runs COMMAND, then prints
# how many of the openers' fsyncs fail, and how many of their next ones
fsyncs()
{
	python3 - "$@" <<-'EOF'
		import errno, os, subprocess, sys
		name, length, command = sys.argv[1:]
		openers = [os.open(name, os.O_RDWR) for i in range(2)]
		for offset in range(0, int(length), 65536):
		    os.pwrite(openers[0], b"E" * 65536, offset)
		subprocess.run(command, shell=True, check=True)
		def fails(fd):
		    try:
		        return os.fsync(fd) is not None
		    except OSError as e:
		        return e.errno == errno.EIO
		print(*(sum(map(fails, openers)) for i in range(2)))
	EOF
}

for mode in writeback dontcache; do
	note "early writeback, $mode"
	dd if=/dev/zero of="$MNT/$mode.img" bs=1M count=4 conv=fsync status=none
	setting "$MNT/$mode.img" cache $mode
	ctl zero
	ctl fail EIO write byte=E times=1
	# it has failed before anybody asks
	is "failed fsyncs" "$(fsyncs "$MNT/$mode.img" $((2 << 20)) "grep -qx 'faults 1' '$STORE/ctl'")" "2 0"
	ctl clear
done

note "a switch"
dd if=/dev/zero of="$MNT/switch.img" bs=1M count=4 conv=fsync status=none
setting "$MNT/switch.img" cache unsafe
ctl zero
ctl fail EIO write byte=E times=1
is "failed fsyncs" "$(fsyncs "$MNT/switch.img" 65536 \
	"setfattr -n $PREFIX.cache -v none '$MNT/switch.img' && grep -qx 'faults 1' '$STORE/ctl'")" "2 0"
effective "$MNT/switch.img" "cache=none (file)"

# rotten FILE: with checksums, in the page cache's modes, and with a block at 2 MiB whose bits have rotted
rotten()
{
	dd if=/dev/zero of="$MNT/$1" bs=1M count=4 conv=fsync status=none
	printf G | dd of="$MNT/$1" bs=4k seek=512 conv=notrunc,fsync status=none
	cp "$POOL/$1" "$TMP/$1"
	setting "$MNT/$1" cache writeback
	"$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/$1" 2097152 >/dev/null
	dd if="$POOL/$1" iflag=nocache count=0 status=none
}
setting "$MNT" checksum xxh3

note "a block that is looked at again"
rotten again.img
cat >"$TMP/again" <<-EOF
	# it has failed by then, and only somebody else has heard of it
	! sync "$POOL/again.img" 2>/dev/null || exit 1
	! dd if="$MNT/again.img" bs=4k skip=512 count=1 iflag=direct of=/dev/null 2>/dev/null
EOF
ctl zero
ctl fail EIO write byte=E times=1
is "failed fsyncs" "$(fsyncs "$MNT/again.img" 65536 "sh '$TMP/again'")" "2 0"
is "faults" "$(counted faults)" 1
ctl clear

note "a block that is mended"
rotten mended.img
fails "Input/output error" cat "$MNT/mended.img"
mend="'$CTL' checksum repair '$MNT/mended.img' --from '$TMP/mended.img' 2>/dev/null"
ctl fail EIO write byte=G times=1
is "failed fsyncs" "$(fsyncs "$MNT/mended.img" 0 "! $mend")" "2 0"
ctl clear
eval "$mend"
cmp "$MNT/mended.img" "$TMP/mended.img"
