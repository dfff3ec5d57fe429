#!/bin/bash
# A failed request is a line in the journal with its image, offset and errno as fields; a storm of them is a line a
# second. The journal's socket is listened to here.
. "${0%/*}/../lib.sh"
require python3
[[ $(ldd "$BOUNCEFS") == *libsystemd* ]] || skip "built without libsystemd"

mkdir -p /run/systemd/journal
mount_at /run/systemd/journal -t tmpfs journal
cat >"$TMP/listen" <<-'EOF'
	import os, socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind("/run/systemd/journal/socket")
	with open(sys.argv[1], "wb", buffering=0) as out:
	    os.close(1)
	    while True:
	        entry = dict(line.split(b"=", 1) for line in s.recv(65536).splitlines() if b"=" in line)
	        out.write(b" ".join(entry.get(k, b"-") for k in (b"PRIORITY", b"IMAGE", b"OFFSET", b"ERRNO", b"MESSAGE")) + b"\n")
EOF
: >"$TMP/journal.log"
python3 "$TMP/listen" "$TMP/journal.log" &
defer kill $!
within 5 test -S /run/systemd/journal/socket

note "started as systemd does it"
store
exec 7>"$TMP/stderr"
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/7) "$BOUNCEFS" -f "$STORE" "$MNT" 2>&7 &
defer unbounce "$MNT"
live() { grep -q ' is live at ' "$TMP/journal.log"; }
within 10 live
is "stderr" "$(cat "$TMP/stderr")" ""

note "an error from below"
mkdir "$MNT/a dir"
truncate -s 1M "$MNT/a dir/b.img"
image="$MNT/a dir/b.img"
ctl fail EIO write at=8k-12k
! dd if=/dev/zero of="$image" bs=4k count=1 seek=2 conv=notrunc 2>/dev/null || die "the write did not fail"
reported() { grep -q "^3 a dir/b.img 8192 5 a dir/b.img: write of 4096 bytes at 8192: Input/output error\$" "$TMP/journal.log"; }
within 5 reported
ctl clear
sleep 1.2 # a second later it may speak again
ctl fail ENOSPC fsync times=1
! sync "$image" 2>/dev/null || die "the fsync did not fail"
reported() { grep -q "^3 a dir/b.img - 28 a dir/b.img: flush: No space left on device" "$TMP/journal.log"; }
within 5 reported
ctl clear

note "a storm"
sleep 1.5
lines() { grep -c 'read of' "$TMP/journal.log" || true; }
ctl fail EIO read
for _ in {1..50}; do dd if="$image" bs=4k count=1 iflag=direct of=/dev/null 2>/dev/null || true; done
ctl clear
sleep 1.5
before=$(lines)
[ "$before" -ge 1 ] && [ "$before" -le 10 ] || die "$before lines of 50 errors"
ctl fail EIO read times=1
! dd if="$image" bs=4k count=1 iflag=direct of=/dev/null 2>/dev/null || die "the read did not fail"
more() { grep -qE 'read of .*and [0-9]+ more failures before' "$TMP/journal.log"; }
within 5 more
ctl clear
