#!/bin/bash
# The service manager's file descriptor store is the second line: the keeper itself is killed under
# load, and the mount survives. Stopping and restarting the service do what an administrator expects.
# tests/tools/manager.c stands in for systemd.
# timeout: 300
. "${0%/*}/lib.sh"

pool xfs
fallocate -l 16M "$POOL/vm.img"

service() { awk '$1 == "started" { pid = $2 } END { print pid }' "$TMP/manager.log"; }

note "the keeper is killed"
manage "$POOL" "$MNT"
loop "$MNT/vm.img" --direct-io=on
"$TOOLS/hot" "$LOOP" 8 >"$TMP/hot.log" &
hot=$!
for n in {2..16}; do
	sleep 0.$((RANDOM % 500 + 100))
	kill -KILL "$(service)"
	tally deaths 1
	within 10 came ready "$n"
done
wait "$hot" || die "$(cat "$TMP/hot.log")"
note "$(cat "$TMP/hot.log")"
tally pause "$(awk '{ print $6 }' "$TMP/hot.log")"
unloop "$LOOP"

note "SIGTERM with open files hands over: a restart"
exec 9<"$MNT/vm.img"
kill -HUP "$MANAGER"
within 10 came ready 17
"$TOOLS/once" read "$MNT/vm.img" 0 4096 >/dev/null
head -c 1 <&9 >/dev/null
exec 9<&-

note "SIGTERM without open files unmounts: a restart mounts again"
kill -HUP "$MANAGER"
within 10 came ready 18
findmnt "$MNT" >/dev/null || die "the pool is not mounted"
"$TOOLS/once" read "$MNT/vm.img" 0 4096 >/dev/null

note "a stop"
# the last close comes after close(2) has returned
closed() { getfattr --only-values -n user.bouncefs.status "$MNT" 2>/dev/null | grep -q 'open-images=0'; }
within 5 closed
kill -TERM "$MANAGER"
wait "$MANAGER"
! findmnt "$MNT" || die "still mounted"
is "store" "$(tail -n 1 "$TMP/manager.log")" "left 0 descriptors"
