#!/bin/bash
# transport=io_uring where the kernel does not offer it: one line says why, and the mount is an ordinary one,
# which survives.
. "${0%/*}/../lib.sh"

rings N
pool xfs
bounce "$POOL" "$MNT" transport=io_uring
like "what the log says" "$(grep io_uring "$TMP/bouncefs.log")" \
	"*transport=io_uring cannot be had: the parameter enable_uring of the module fuse is N; requests come over /dev/fuse"
like "status" "$(getfattr --only-values -n user.bouncefs.status "$MNT" 2>/dev/null)" "* transport=dev transport-wanted=io_uring *"
echo before >"$MNT/file"
kill -KILL "$(pgrep --parent "$(pgrep -x bouncefs --parent 1)")"
is "after a death" "$(cat "$MNT/file")" before
