#!/bin/bash
# Nothing leads out of the pool: neither symbolic links and names with dots, nor directories that become
# links to elsewhere between two steps of an operation. What only root may touch is the bait: the daemon
# could, and the user who asks it must not come to it.
. "${0%/*}/lib.sh"
USER_ID=4711

pool xfs
chmod 755 "$TMP" "$POOL"
mkdir -m 700 "$TMP/bait"
echo outside >"$TMP/bait/secret"
mkdir -m 777 "$POOL/d"
echo inside. >"$POOL/d/secret"
ln -s "$TMP/bait" "$POOL/s"
bounce "$POOL" "$MNT"
as_user() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "$@"; }

note "links and dots"
ln -s ../bait "$MNT/up"
ln -s "$TMP/bait/secret" "$MNT/d/direct"
ln -s /proc/1/root "$MNT/magic"
for path in s/secret up/secret d/direct d/../s/secret d/../../bait/secret magic/etc/shadow; do
	fails "Permission denied" as_user cat "$MNT/$path"
done
is "through the mount's own dots" "$(stat -c %i "$MNT/d/..")" "$(stat -c %i "$MNT")"

note "races"
before=$(find "$TMP/bait" -printf '%P %m %U %s %C@\n' | sort)
read -r exchanges tries outside < <("$TOOLS/escape" "$MNT" "$POOL" $USER_ID 8)
note "$exchanges exchanges, $tries times everything"
[ "$exchanges" -gt 1000 ] && [ "$tries" -gt 100 ] || die "there was no race"
is "files of outside that were read" "$outside" 0
is "outside" "$(find "$TMP/bait" -printf '%P %m %U %s %C@\n' | sort)" "$before"
tally requests $((15 * tries))
