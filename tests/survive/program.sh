#!/bin/bash
# A restart takes the program that is on disk by then; one that does not take over the state is refused
# before the old one goes. After a death it is the program that ran.
. "${0%/*}/lib.sh"

pool xfs
echo content >"$POOL/file"
cp "$BUILD/bouncefs" "$TMP/bouncefs"
BOUNCEFS=$TMP/bouncefs
bounce "$POOL" "$MNT"
keeper
restart() { "$BUILD/bouncectl" restart "$MNT"; }
logged() { grep -q "$1" "$TMP/bouncefs.log"; }
program() { stat -L -c %i "/proc/$(worker)/exe"; }

old=$(program)
note "a new program"
cp "$BUILD/bouncefs" "$TMP/new"
new=$(stat -c %i "$TMP/new")
mv "$TMP/new" "$TMP/bouncefs"
w=$(worker)
kill_worker KILL
within 10 replaced "$w"
is "program after a death" "$(program)" "$old"
w=$(worker)
restart
within 10 replaced "$w"
is "program after a restart" "$(program)" "$new"

note "a program of another version"
w=$(worker)
printf '#!/bin/sh\nexit 1\n' >"$TMP/other"
chmod +x "$TMP/other"
mv "$TMP/other" "$TMP/bouncefs"
restart
within 5 logged "does not take over this version's state; the old program goes on"
rm "$TMP/bouncefs"
restart
within 5 logged "No such file or directory; the old program goes on"
is "worker" "$(worker)" "$w"
is "a file" "$(cat "$MNT/file")" content
kill_worker KILL
within 10 replaced "$w"
is "a file" "$(cat "$MNT/file")" content
