#!/bin/bash
# A daemon that dies before it serves, at whatever step: the first one leaves no mount behind, and of
# a successor nobody hears. Five successors in a row that do not come to serve are the end of the
# mount, but of nothing else.
# timeout: 300
. "${0%/*}/lib.sh"
require perl

pool xfs
dying

note "the first one"
mkdir "$MNT.first"
for ((n = 1 + RANDOM % STRIDE; ; n += STRIDE)); do
	arm main $n
	"$BOUNCEFS" -o "log=$TMP/first.log" "$POOL" "$MNT.first" 2>>"$TMP/first.log" && break
	findmnt "$MNT.first" && die "a mount is left behind by a death at step $n"
	ls "$MNT.first" || die "the mount point is unusable after a death at step $n"
done
arm main 0
unbounce "$MNT.first"
note "$n steps"

note "a successor"
fallocate -l 16M "$POOL/vm.img"
bounce "$POOL" "$MNT"
keeper
loop "$MNT/vm.img" --direct-io=on
printf 'abc%.0s' {1..1000} >"$MNT/unlinked.img"
exec 9<"$MNT/unlinked.img"
rm "$MNT/unlinked.img"
for ((n = 1 + RANDOM % STRIDE; ; n += STRIDE)); do
	before=$(died)
	w=$(worker)
	arm main $n
	kill_worker KILL
	within 10 replaced "$w"
	is "an unlinked file" "$(head -c 3 <&9)" abc
	echo "$n" >"$MNT/file"
	"$TOOLS/once" write "$LOOP" 0 4096 >/dev/null
	is "a file" "$(cat "$POOL/file")" "$n"
	[ "$(died)" != "$before" ] || break
	tally deaths 1
done
arm main 0
exec 9<&-
note "$n steps"

note "five successors in a row"
unloop "$LOOP" # whose file will have no path
exec 9<"$MNT/vm.img"
arm main 10 5
kill_worker KILL
within 5 exited "$KEEPER"
like "what is logged" "$(cat "$TMP/bouncefs.log")" "*too many workers died before they were ready*"
! head -c 1 <&9 2>"$TMP/why" || die "a request is still answered"
like "an open file" "$(cat "$TMP/why")" "*not connected*"
exec 9<&-
bounce "$POOL" "$MNT"
is "a file" "$(cat "$MNT/file")" "$n"
