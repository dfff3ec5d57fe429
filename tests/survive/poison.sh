#!/bin/bash
# A request that crashes the daemon each time is answered EIO at its third try; all others go on. The
# crash is a SIGSEGV that comes when a chosen write has arrived at the store. A kill from outside is
# nobody's fault: the request is tried as often as it takes.
. "${0%/*}/lib.sh"

store
truncate -s 1G "$STORE/disk"
pool xfs "$STORE/disk"
fallocate -l 16M "$POOL/vm.img"
dd if=/dev/zero of="$POOL/vm.img" bs=1M count=16 conv=notrunc,fsync status=none
bounce "$POOL" "$MNT"
keeper
image=$MNT/vm.img

# tried N: the write has come to the store N times
tried() { [ "$(counted faults)" -ge "$1" ]; }

# kill_in_write SIGNAL TIMES: the daemon, each time that the write of "a"s is under way; sets ANSWER
kill_in_write()
{
	local i
	ctl zero
	ctl hold write byte=a
	"$TOOLS/once" write "$image" 8388608 4096 >"$TMP/answer" &
	for ((i = 1; i <= $2; i++)); do
		within 10 tried "$i"
		kill_worker "$1"
		ctl release
	done
	[ "$1" = SEGV ] || { within 10 tried "$i"; ctl clear; }
	wait $!
	ctl clear
	ANSWER=$(cat "$TMP/answer")
}

note "killed from outside"
kill_in_write KILL 4
is "the write" "$ANSWER" 4096

note "crashes"
"$TOOLS/hot" "$image" 6 >"$TMP/hot.log" &
hot=$!
kill_in_write SEGV 2
is "the write" "$ANSWER" EIO
like "what is logged" "$(cat "$TMP/bouncefs.log")" "*a request was in execution at two crashes*"
wait "$hot" || die "$(cat "$TMP/hot.log")"
is "the same write later" "$("$TOOLS/once" write "$image" 8388608 4096)" 4096
