#!/bin/bash
# What checksums cost: 0.2 % of what was written, and nothing for what was not, neither space nor time
# nor memory, be the image as large as it may.
. "${0%/*}/lib.sh"

pool xfs
bounce "$POOL" "$MNT" checksum=xxh3
# taken: KiB, by checksums
taken() { du -sk "$POOL/.bouncefs" | cut -f 1; }
# memory: KiB, of the worker
memory() { awk '/^Pss:/ { print $2 }' "/proc/$(pgrep -o -f -- --worker)/smaps_rollup"; }
# under SECONDS COMMAND...
under()
{
	local t=$EPOCHREALTIME most=$1
	shift
	"$@"
	awk -v a="$t" -v b="$EPOCHREALTIME" -v most="$most" -v what="$*" \
		'BEGIN { printf "- %.2f s: %s\n", b - a, what; exit b - a > most }'
}

truncate -s 8T "$MNT/sparse.img"
before=$(taken)
dd if=/dev/urandom of="$MNT/vm.img" bs=1M count=256 oflag=direct conv=fsync status=none
# closed: all of them are in their files
within 10 eval '[ "$(stat -c %s "$POOL"/.bouncefs/* | wc -l)" -ge 2 ]'
note "$(($(taken) - before)) KiB for 256 MiB"
[ $(($(taken) - before)) -le $((256 * 1024 * 25 / 10000)) ] || die "more than 0.25 %"

note "8 TiB, with 64 MiB of data"
for ((i = 0; i < 64; i++)); do
	dd if=/dev/urandom of="$MNT/sparse.img" bs=1M count=1 seek=$((i << 17)) oflag=direct \
		conv=notrunc status=none
done
memory=$(memory)
under 5 scrubbed 0 "$MNT/sparse.img"
like "what it read" "$(cat "$TMP/scrub")" "*: [67]?.? MiB read in *, checksums compared, 0 bad ranges"
under 5 "$CTL" checksum drop "$MNT/sparse.img"
under 10 "$CTL" checksum build "$MNT/sparse.img"
under 5 scrubbed 0 "$MNT/sparse.img"
note "memory: $memory KiB before, $(memory) KiB after"
[ "$(memory)" -lt $((memory + 8192)) ] || die "that is too much"
