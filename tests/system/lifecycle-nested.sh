#!/bin/bash
# What lies in a pool has one daemon: a pool in another one, or around it, is refused.
. "${0%/*}/../lib.sh"

pool btrfs
btrfs -q subvolume create "$POOL/a b"
mkdir -p "$POOL/a b/inner" "$POOL/a b/fs" "$POOL/a bc" "$TMP/second" "$TMP/bind"
bounce "$POOL/a b" "$MNT"
second() { "$BOUNCEFS" -o "log=$TMP/second.log" "$1" "$TMP/second"; }
works() { second "$1" && umount "$TMP/second"; }
defer detach "$TMP/second"
refused="that is served at $MNT, or around it"

note "in it, around it"
fails "$refused" second "$POOL/a b/inner"
fails "$refused" second "$POOL"
fails "not a mountpoint" mountpoint "$TMP/second"

note "by another name"
mount_at "$TMP/bind" --bind "$POOL/a b/inner"
fails "$refused" second "$TMP/bind"
detach "$TMP/bind"
mount_at "$TMP/bind" -o "subvol=a b" "$POOL_LOOP"
fails "$refused" second "$TMP/bind/inner"
detach "$TMP/bind"

note "beside it, and on another filesystem"
works "$POOL/a bc"
mount_at "$POOL/a b/fs" -t tmpfs tmpfs
works "$POOL/a b/fs"
detach "$POOL/a b/fs"

note "over itself"
unbounce "$MNT"
MNT="$POOL/a b"
bounce "$POOL/a b" "$MNT"
fails "bouncefs mount" second "$POOL/a b/inner"
fails "that is served at $MNT, or around it" second "$POOL"
unbounce "$MNT"
works "$POOL"
