#!/bin/bash
# The policy file: at start, after SIGHUP, and when it is broken.
. "${0%/*}/lib"

policy=$TMP/policy.conf
pool ext4

note "at start"
printf '[*.img]\ncache = fast\n' >"$policy"
fails "$policy:2: bad value \"fast\" for cache, good ones: none" "$BOUNCEFS" -o "policy=$policy" "$POOL" "$MNT"
fails "$TMP/missing: No such file" "$BOUNCEFS" -o "policy=$TMP/missing" "$POOL" "$MNT"
fails "not an absolute path" "$BOUNCEFS" -o policy=here "$POOL" "$MNT"
standard=/etc/bouncefs/$(systemd-escape --path "$POOL" 2>/dev/null ||
	sed 's|^/||; s|-|\\x2d|g; s|/|-|g' <<<"$POOL").conf
mkdir "$TMP/upper" "$TMP/work"
mount_at /etc -t overlay -o "lowerdir=/etc,upperdir=$TMP/upper,workdir=$TMP/work" etc
mkdir -p /etc/bouncefs
printf '[*.img]\ncache = writethrough\n' >"$standard"
bounce "$POOL" "$MNT" cache=directsync
truncate -s 1M "$MNT/a.img" "$MNT/b.img"
effective "$MNT/a.img" "cache=writethrough (policy)"

said_more() { [ "$(grep -c "policy" "$TMP/bouncefs.log")" -gt "$seen" ]; }
reload() { seen=$(grep -c "policy" "$TMP/bouncefs.log" || true); hangup; within 5 said_more; }

note "SIGHUP"
hold_open "$MNT/a.img"
printf '[b.img]\ncache = unsafe\n[*.img]\ncache = dontcache\ndirty-limit = 2M\n' >"$standard"
effective "$MNT/a.img" "cache=writethrough (policy)"
reload
within 5 in_effect "$MNT/a.img" "cache=dontcache (policy) checksum=off (default) dirty-limit=2M (policy)"
effective "$MNT/b.img" "cache=unsafe (policy)"

note "a broken file keeps the old policy"
printf '[*.img]\ncache = none\n\nblock-size = 3\n' >"$standard"
reload
says "$standard:4: bad value \"3\" for block-size, good ones: 512 1024 2048 4096"
effective "$MNT/a.img" "cache=dontcache (policy)"
effective "$MNT/b.img" "cache=unsafe (policy)"

note "SIGHUP sees xattrs of the backing files, too"
setting "$POOL/a.img" cache writeback
effective "$MNT/a.img" "cache=dontcache (policy)"
reload
within 5 in_effect "$MNT/a.img" "cache=writeback (file)"
unsetting "$MNT/a.img" cache
effective "$MNT/a.img" "cache=dontcache (policy)"

note "no file any more"
rm "$standard"
reload
within 5 in_effect "$MNT/a.img" "cache=directsync (mount)"

note "checksums by policy, and kept when it says nothing any more"
printf '[*.img]\nchecksum = xxh3\ncache = none\n' >"$standard"
reload
within 5 in_effect "$MNT/a.img" "cache=none (policy) checksum=xxh3 (policy)"
rm "$standard"
reload
within 5 in_effect "$MNT/a.img" "cache=directsync (mount) checksum=xxh3 (it has them)"
let_go

note "who may not write keeps nobody from another mode"
printf '[*.img]\ncache = writeback\n' >"$standard"
reload
truncate -s 1M "$MNT/d.img"
within 5 is_closed "$MNT/d.img"
exec 3<"$MNT/d.img"
chattr +i "$POOL/d.img"
fails "Operation not permitted" dd if=/dev/zero of="$MNT/d.img" bs=4k count=1 conv=notrunc
printf '[*.img]\ncache = none\n' >"$standard"
reload
within 5 in_effect "$MNT/d.img" "cache=none (policy)"
exec 3<&-
chattr -i "$POOL/d.img"

note "a mode that cannot be had leaves checksums alone"
store
unbounce "$MNT"
printf '[*.img]\nchecksum = xxh3\ncache = writeback\n' >"$standard"
bounce "$STORE" "$MNT" "policy=$standard"
truncate -s 1M "$MNT/c.img"
hold_open "$MNT/c.img"
has_sums() { ls "$STORE_BELOW/.bouncefs/"* >/dev/null 2>&1; }
has_sums
ctl fail EIO open file=c.img
printf '[*.img]\nchecksum = off\ncache = none\n' >"$standard"
reload
within 5 says "c.img"
effective "$MNT/c.img" "cache=writeback (policy) checksum=xxh3 (policy)"
has_sums || die "they are gone"
ctl clear
reload
within 5 in_effect "$MNT/c.img" "cache=none (policy) checksum=off (policy)"
! has_sums || die "they are still there"
