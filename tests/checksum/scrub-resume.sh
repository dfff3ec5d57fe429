#!/bin/bash
# scrub: a rate that is kept, an interruption, and going on where it was; a death meanwhile.
. "${0%/*}/lib.sh"

pool xfs
mkdir "$POOL/dir"
for f in a b dir/c; do
	dd if=/dev/urandom of="$POOL/$f.img" bs=1M count=64 conv=fsync status=none
done
bounce "$POOL" "$MNT"

# read_of FILE: MiB, of the last scrub
read_of() { sed -n "s|^.*/$1: \(interrupted: \)\?\([0-9]*\)\.[0-9] MiB read.*|\2|p" "$TMP/scrub"; }

# took SINCE LEAST MOST: seconds
took()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" -v least="$2" -v most="$3" \
		'BEGIN { t = b - a; printf "- %.1f s, expected %.1f to %.1f\n", t, least, most; exit t < least || t > most }'
}

note "rate"
t=$EPOCHREALTIME
scrubbed 0 --rate 32M "$MNT/a.img"
took "$t" 1.7 4

note "interrupted in the second file, after a death of the daemon"
"$CTL" scrub --rate 64M "$MNT" 2>"$TMP/scrub" &
scrub=$!
sleep 0.5
pkill -KILL --parent "$(pgrep -o -x bouncefs)"
sleep 0.9
kill -INT $scrub
rc=0
wait $scrub || rc=$?
is "exit status" $rc 3
is "first" "$(read_of a.img)" 64
second=$(read_of b.img)
[ "$second" -gt 4 ] && [ "$second" -lt 60 ] || die "second: $second MiB"
is "third" "$(read_of c.img)" ""

note "$second MiB of the second, and resumed"
t=$EPOCHREALTIME
scrubbed 0 --resume --rate 32M "$MNT"
is "second" "$(read_of b.img)" 64
is "third" "$(read_of c.img)" 64
rest=$((128 - second))
took "$t" "$(awk "BEGIN { print $rest / 32 - 0.5 }")" "$(awk "BEGIN { print $rest / 32 + 1.5 }")"
! getfattr -m - "$MNT"/*.img "$MNT/dir/c.img" 2>/dev/null | grep scrub || die "something is left to resume"
