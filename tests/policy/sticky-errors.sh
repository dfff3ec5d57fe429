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
