#!/bin/bash
# A stop of the service while files are open ends the mount in errors, and leaves what an administrator would have to
# unmount: the next start clears it away, mounted over itself or elsewhere.
. "${0%/*}/lib.sh"

pool xfs

for place in "$POOL" "$MNT"; do
	note "mounted at $place"
	manage "$POOL" "$place"
	echo content >"$place/file"
	exec 9<"$place/file"
	defer eval "exec 9<&-"
	kill -TERM "$MANAGER"
	wait "$MANAGER"
	! ls "$place" 2>"$TMP/why" || die "the mount is still served"
	manage "$POOL" "$place"
	is "a file" "$(cat "$place/file")" content
	is "mounts of ours" "$(findmnt -nro TARGET -t fuse.bouncefs | grep "^$TMP/")" "$place"
	! head -c 1 <&9 2>"$TMP/why" || die "an open file is still served"
	like "why not" "$(cat "$TMP/why")" "*not connected*"
	exec 9<&-
	unmanage "$place"
done
like "what is logged" "$(cat "$TMP/bouncefs.log")" "*a mount without a daemon is taken away*"
