#!/bin/bash
# The benchmark itself works: it measures, finds bouncefs's copy stable and the bare loop device's not, judges,
# and draws. How fast anything is, is no question of this test.
# timeout: 300
# alone
. "${0%/*}/../lib.sh"
require fio gnuplot mkfs.btrfs mkfs.xfs python3

result=$TMP/result.json
bench() { env TMP="$TMP" "$TESTS/bench/run" --no-build "$@" >"$TMP/table" 2>"$TMP/bench.log"; }

bench --rounds 1 --seconds 0.3 --size 64 --systems loop,bouncefs,bouncefs-uring --columns read-4k-1,write-4k-32 \
	--extras memory --json "$result" --svg "$TMP/result.svg"
cat "$TMP/table"

# of KEY...: what the JSON says there
of() { python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]: value = value[key]
print(value)' "$result" "$@"; }

is "bare loop device, held write" "$(of tables main systems loop stored)" new
is "bouncefs, held write" "$(of tables main systems bouncefs stored)" old
[ ! -e /sys/module/fuse/parameters/enable_uring ] ||
	is "over rings, held write" "$(of tables main systems bouncefs-uring stored)" old
is "ratio of the bare loop device to itself" "$(of tables main ratio loop read-4k-1 value)" 1.0
for system in loop bouncefs loop-nodatacow bouncefs-nodatacow; do
	of tables btrfs median "$system" write-4k-32 value >/dev/null
done
[ "$(of memory idle)" != 0 ]
grep -q '^memory (MiB), idle .* met$' "$TMP/table"
grep -q '<polygon' "$TMP/result.svg"

# a question without an answer is not one that was met
bench --from "$result"
grep -q '^four images, read: sum.* not measured$' "$TMP/table"
