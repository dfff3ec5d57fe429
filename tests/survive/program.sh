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
asked() { [ "$(pgrep -c --parent "$KEEPER")" = 2 ]; }
# (the program that is asked is a child of the keeper, too)
succeeded() { pgrep --parent "$KEEPER" -f '^@bouncefs --worker' | grep -qvx "$1"; }
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
[ "$(worker)" != "$w" ] || die "there is no other worker after a restart"
is "program after a restart" "$(program)" "$new"

note "a program of another version"
w=$(worker)
replace() { cp "$1" "$TMP/new" && mv "$TMP/new" "$TMP/bouncefs"; }
replace /bin/false
fails "does not take over this version's state; the old program goes on" restart
rm "$TMP/bouncefs"
fails "No such file or directory; the old program goes on" restart

note "a program that never answers"
replace "$TOOLS/mute"
started=$SECONDS
(fails "timed out; the old program goes on" restart) &
within 5 asked
kill -KILL "$w" # which the keeper hears meanwhile
within 5 succeeded "$w"
wait $!
[ $((SECONDS - started)) -le 30 ] || die "it was waited for $((SECONDS - started)) s"
is "a file" "$(cat "$MNT/file")" content

note "a program that says yes, and cannot serve"
w=$(worker)
replace /bin/true
restart
[ "$(worker)" != "$w" ] || die "there is no other worker after a restart"
is "program after that" "$(program)" "$new"
is "a file" "$(cat "$MNT/file")" content
w=$(worker)
kill_worker KILL
within 10 replaced "$w"
is "a file" "$(cat "$MNT/file")" content
