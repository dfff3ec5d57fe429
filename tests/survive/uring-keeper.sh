#!/bin/bash
# Below a service manager, transport=io_uring, and the keeper dies: what the manager kept is of no use to the
# next one, which ends the old mount and leaves nothing of it; the service started again serves a new one.
TRANSPORT=io_uring
. "${0%/*}/lib.sh"

pool xfs
fallocate -l 16M "$POOL/vm.img"
service() { awk '$1 == "started" { pid = $2 } END { print pid }' "$TMP/manager.log"; }

manage "$POOL" "$MNT"
exec 9<"$MNT/vm.img"
kill -KILL "$(service)"
within 20 came ready 2
! timeout 5 head -c 1 <&9 >/dev/null 2>&1 || die "the old mount is alive"
exec 9<&-
grep -q "transport=io_uring is not taken over" "$TMP/bouncefs.log"
"$TOOLS/once" read "$MNT/vm.img" 0 4096 >/dev/null
is "mounts" "$(findmnt -rno TARGET -t fuse.bouncefs | grep -c "^$MNT$")" 1

note "a stop"
kill -TERM "$MANAGER"
wait "$MANAGER"
is "store" "$(tail -n 1 "$TMP/manager.log")" "left 0 descriptors"
