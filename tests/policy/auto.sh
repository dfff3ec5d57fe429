#!/bin/bash
# cache=auto: what it picks, why, and that the reasons are true on this kernel.
. "${0%/*}/lib"

group=/sys/fs/cgroup/memory/bouncefs-test-$$
charged() { awk '$1 == "pgpgin" { print $2 }' "$group/memory.stat"; }

# buffers FILE: the kernel turns direct writes to it into buffered ones: they cost pages of the cache,
# which Btrfs drops again
buffers()
{
	local before
	before=$(charged)
	sh -c "echo \$\$ >$group/cgroup.procs &&
		exec dd if=/dev/zero of='$1' bs=1M count=32 oflag=direct conv=notrunc status=none"
	[ $(($(charged) - before)) -gt 4096 ]
}

# picks FILE EXPECTED
picks() { effective "$MNT/$1" "cache=$2"; }

for kind in ext4 xfs; do
	note $kind
	next_pool $kind
	bounce "$POOL" "$MNT"
	truncate -s 1M "$MNT/a.img"
	picks a.img "none (auto: $kind)"
	unbounce "$MNT"
done

note "tmpfs"
mkdir "$TMP/tmpfs"
mount_at "$TMP/tmpfs" -t tmpfs none
bounce "$TMP/tmpfs" "$MNT"
truncate -s 1M "$MNT/a.img"
picks a.img "writeback (auto: tmpfs)"
unbounce "$MNT"

note "btrfs"
next_pool btrfs
bounce "$POOL" "$MNT"
touch "$MNT/nodatacow.img" "$MNT/compressed.img"
chattr +C "$MNT/nodatacow.img"
chattr +c "$MNT/compressed.img"
for f in plain nodatacow compressed; do truncate -s 32M "$MNT/$f.img"; done
picks nodatacow.img "none (auto: btrfs nodatasum)"
picks compressed.img "dontcache (auto: btrfs compression)"
note "compression goes on"

hold_open "$MNT/compressed.img"
(yes "a compressible line of an image" || true) | head -c 24M >"$TMP/text"
dd if="$TMP/text" of="$MNT/compressed.img" bs=1M conv=notrunc,fsync status=none
cmp -n 24M "$TMP/text" "$MNT/compressed.img"
used() { btrfs filesystem sync "$POOL" >/dev/null; stat -f -c %f "$POOL"; }
before=$(used)
dd if="$TMP/text" of="$MNT/plain.img" bs=1M conv=notrunc,fsync status=none
plain=$((before - $(used)))
before=$(used)
truncate -s 0 "$MNT/compressed.img"
freed=$(($(used) - before))
note "in blocks: $plain as it is, $freed compressed"
[ $plain -gt 5000 ] || die "24 MiB took only $plain blocks"
[ $freed -lt $((plain / 4)) ] || die "24 MiB took $freed blocks in spite of compression"

note "what this kernel does with direct writes"
if ! mkdir "$group" 2>/dev/null || [ ! -r "$group/memory.stat" ] || [ -z "$(charged)" ]; then
	skip "needs cgroup v1's memory controller to see what the kernel does"
fi
defer rmdir "$group"
! buffers "$POOL/nodatacow.img" || die "this kernel buffers direct writes to nodatacow files"
if buffers "$POOL/plain.img"; then
	picks plain.img "dontcache (auto: btrfs, kernel buffers direct writes)"
else
	picks plain.img "none (auto: btrfs, kernel writes directly)"
fi
