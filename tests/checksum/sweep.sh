#!/bin/bash
# Checksums of files that were removed behind the mount go; those of a pool that was moved, or restored, stay.
. "${0%/*}/lib.sh"

pool xfs
sidecars() { find "$POOL/.bouncefs" -type f | wc -l; }
said() { grep -q "checksums of $1 files that are gone were removed" "$TMP/bouncefs.log"; }

bounce "$POOL" "$MNT" checksum=xxh3
for f in a b c d; do head -c 3M /dev/urandom >"$MNT/$f.img"; done
within 5 eval '! "$CTL" --json status | grep -q "\"path\""'
unbounce "$MNT"
is "sidecars" "$(sidecars)" 4

note "another file has the path"
cp "$POOL/b.img" "$POOL/new.img"
mv "$POOL/new.img" "$POOL/b.img"
rm "$POOL/c.img" "$POOL/d.img"
bounce "$POOL" "$MNT" checksum=xxh3
within 5 said 2
is "sidecars" "$(sidecars)" 2
"$CTL" checksum adopt "$MNT/b.img"
scrubbed 0 "$MNT"
unbounce "$MNT"

note "no file is there"
mkdir "$TMP/elsewhere"
cp "$POOL"/*.img "$TMP/elsewhere"
rm "$POOL"/*.img
bounce "$POOL" "$MNT" checksum=xxh3
sleep 1
is "sidecars" "$(sidecars)" 2
unbounce "$MNT"
cp "$TMP/elsewhere"/*.img "$POOL"
bounce "$POOL" "$MNT" checksum=xxh3
"$CTL" checksum adopt "$MNT"
scrubbed 0 "$MNT"
