#!/bin/bash
# The daemon dies at each step of each operation that must not be done twice, and once more while the
# operation is done again: the caller sees its one true result (tests/tools/steps.c).
# timeout: 900
. "${0%/*}/lib.sh"

pool xfs
dying
bounce "$POOL" "$MNT" # dies when it is told to
result=$("$TOOLS/steps" "$MNT" "$DIE" "$STRIDE") || die "$result"
note "$result"
tally deaths "$(awk '{ print $2 }' <<<"$result")"
