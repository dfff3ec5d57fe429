#!/bin/bash
# Who opens a file is killed when a dead daemon's requests have been sent again and nobody has read them yet:
# the kernel forgets the request, and what was opened for it is not open for ever.
. "${0%/*}/lib.sh"
require perl

pool xfs
dying
bounce "$POOL" "$MNT"
keeper
has_died() { [ "$(died)" -ge "$1" ]; }

echo content >"$MNT/file"
kill -STOP "$KEEPER"
arm meta 1 1 fuse_reply_buf # open, and not answered
cat "$MNT/file" >"$TMP/read" &
within 10 has_died 1
arm main 1 3 pthread_create # sent again, and not read; time enough between them
kill -CONT "$KEEPER"
within 10 has_died 2
kill -KILL $!
wait $! || true
[ "$(died)" -lt 4 ] || die "it was killed too late"
within 10 has_died 4
within 10 replaced none
is "a file" "$(cat "$MNT/file")" content
tally deaths 4
is "open files that were taken over" "$(grep -c 'took over .* with [1-9]' "$TMP/bouncefs.log" || true)" 0
