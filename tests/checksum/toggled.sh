#!/bin/bash
# Checksums come and go while everything else that looks at them is under way.
. "${0%/*}/lib.sh"

pool xfs
bounce "$POOL" "$MNT"
head -c 8M /dev/urandom >"$TMP/content"
cp "$TMP/content" "$MNT/a.img"
cp "$TMP/content" "$TMP/good"

exec 3<>"$MNT/a.img"
end=$((SECONDS + ${SECONDS_:-6}))
going() { [ $SECONDS -lt $end ]; }
# each command may find the image with or without
times() { while going; do touch -d "@$RANDOM" "$MNT/a.img"; done; }
opens() { while going; do dd if="$TMP/content" of="$MNT/a.img" bs=64k skip=8 seek=8 count=1 conv=notrunc oflag=direct status=none; done; }
repairs() { while going; do "$CTL" checksum repair "$MNT/a.img" --from "$TMP/good" >/dev/null 2>&1 || [ $? -lt 4 ]; done; }
looks() { while going; do "$CTL" --json status >/dev/null; "$CTL" scrub "$MNT/a.img" >/dev/null 2>&1; done; }
times & opens & opens & repairs & looks &
while going; do
	# behind the kernel's back, which would let nobody change the times meanwhile
	for c in xxh3 off; do setfattr -n user.bouncefs.checksum -v $c "$POOL/a.img"; hangup; sleep 0.01; done
done
exec 3<&-
for job in %1 %2 %3 %4 %5; do wait $job; done

setfattr -n user.bouncefs.checksum -v xxh3 "$MNT/a.img"
"$CTL" checksum build "$MNT/a.img"
scrubbed 0 "$MNT/a.img"
cmp "$TMP/content" "$MNT/a.img"
is "alarms" "$(grep -c 'csum failed' "$TMP/bouncefs.log")" 0
like "status" "$(getfattr --only-values -n user.bouncefs.status "$MNT" 2>/dev/null)" "* lives=1 *"
unbounce "$MNT"
