#!/bin/bash
# At the border to the kernel's rings: results that are cut short, that ask for another try, that are errors
# (tests/tools/cut.c). Data stay right; an error is the one that its request gets, and the next is well.
# timeout: 180
. "${0%/*}/lib.sh"
require fio perl

export CUT=$TMP/cut
truncate -s 4096 "$CUT"
BOUNCEFS=$TMP/bouncefs-cut
printf '#!/bin/sh\nLD_PRELOAD=%s exec "%s" "$@"\n' "$TOOLS/libcut.so" "$BUILD/bouncefs" >"$BOUNCEFS"
chmod +x "$BOUNCEFS"

# cut SHORT-PERCENT [PERCENT KINDS RESULT]: KINDS is a sum, see there
READ=1 WRITE=2 FSYNC=4
cut() { perl -e 'print pack("l4", @ARGV)' "$1" "${2:-0}" "${3:-0}" "${4:-0}" 1<>"$CUT"; }
number() { perl -e 'use Errno; print -Errno->can($ARGV[0])->()' "$1"; }
faults() { od -A n -t d4 -j 16 -N 4 "$CUT" | tr -d ' '; }
# fsync_of FD: its errno
fsync_of() { perl -MIO::Handle -e 'open(my $f, "+<&=", $ARGV[0]); print $f->sync ? 0 : $! + 0' "$1"; }
once() { "$TOOLS/once" "$@"; }

verified()
{
	fio --minimal --name=cut --filename="$1" --direct=1 --rw=randwrite --size=32m --fsync=32 \
		--bssplit=512/20:4k/40:20k/20:1m/20 --ioengine=io_uring --iodepth=16 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 >"$TMP/fio" || { cat "$TMP/fio"; die "data or requests are lost"; }
	tally requests "$(awk -F';' '{ print int($8 * $9 / 1000 + $49 * $50 / 1000) }' "$TMP/fio")"
}

pool xfs
for mode in none writeback none,checksum=xxh3; do
	bounce "$POOL" "$MNT" cache=$mode
	truncate -s 32M "$MNT/a.img"
	loop "$MNT/a.img" --direct-io=on
	# with checksums nearly each short result of a block is no progress at all, and 16 of these in
	# a row are an error: no more than what chance will not bring
	for how in "30" "15 15 3 $(number EINTR)" "15 15 3 $(number EAGAIN)" "15 15 3 0"; do
		before=$(faults)
		# shellcheck disable=SC2086
		cut $how
		verified "$LOOP"
		cut 0
		note "$mode: cut $how: $(($(faults) - before)) faults"
		[ $(($(faults) - before)) -gt 100 ] || die "nothing was cut"
	done
	unloop "$LOOP"

	for error in EIO ENOSPC EDQUOT EINTR EAGAIN ENOMEM; do
		cut 0 100 $((READ + WRITE)) "$(number $error)"
		is "$mode: write" "$(once write "$MNT/a.img" 4096 8192)" $error
		is "$mode: read" "$(once read "$MNT/a.img" 4096 8192)" $error
		cut 0
		is "$mode: write after $error" "$(once write "$MNT/a.img" 4096 8192)" 8192
		is "$mode: read after $error" "$(once read "$MNT/a.img" 4096 8192)" 8192
	done
	# no end of nothing at all is an error, too
	cut 0 100 $((READ + WRITE)) 0
	is "$mode: write without progress" "$(once write "$MNT/a.img" 4096 8192)" EIO
	is "$mode: read without progress" "$(once read "$MNT/a.img" 4096 8192)" EIO

	# an fsync's error is told to each who has it open, once, although the file below says it once
	exec 8<>"$MNT/a.img" 9<>"$MNT/a.img"
	cut 0 100 $FSYNC "$(number EIO)"
	is "$mode: first fsync" "$(fsync_of 8)" 5
	cut 0
	is "$mode: fsync of the other" "$(fsync_of 9)" 5
	is "$mode: and again" "$(fsync_of 8) $(fsync_of 9)" "0 0"
	exec 8>&- 9>&-
	unbounce "$MNT"
	rm "$POOL/a.img"
done
note "$(faults) faults"
tally faults "$(faults)"
