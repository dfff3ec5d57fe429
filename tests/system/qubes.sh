#!/bin/bash
# What Qubes' file-reflink driver does to a pool works on a mount over Btrfs, and over XFS; clones are instant and share.
# timeout: 200
. "${0%/*}/../lib.sh"
require python3 btrfs

EXERCISE=$TESTS/../contrib/qubes/exercise
pool btrfs
bounce "$POOL" "$MNT"
note "on Btrfs"
/usr/bin/python3 "$EXERCISE" "$MNT" "$POOL"
is "what is left" "$(ls -A "$MNT")" ""

note "where nothing can be shared it says so"
mkdir "$TMP/plain" "$TMP/view"
bounce "$TMP/plain" "$TMP/view"
fails "shares extents" /usr/bin/python3 "$EXERCISE" "$TMP/view" "$TMP/plain"
