#!/bin/bash
# scrub of images without checksums: every byte is read, what cannot be is listed, and the rest of the
# file is read all the same.
. "${0%/*}/lib.sh"
require fincore python3

store
truncate -s 512M "$STORE/disk"
pool xfs "$STORE/disk"
dd if=/dev/urandom of="$POOL/vm.img" bs=1M count=64 conv=fsync status=none
dd if=/dev/urandom of="$POOL/short.img" bs=1000 count=1001 conv=fsync status=none
dd if=/dev/urandom of="$POOL/sparse.img" bs=1M count=2 seek=$((8 << 20)) conv=fsync status=none
truncate -s 9T "$POOL/sparse.img"
echo plain >"$POOL/plain"
ln "$POOL/short.img" "$POOL/another.img"
sync -f "$POOL"
echo 3 >/proc/sys/vm/drop_caches
bounce "$POOL" "$MNT"

# unreadable FILE OFFSET LENGTH
unreadable()
{
	local at
	at=$("$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/$1" -n "$2")
	ctl fail EIO read file=disk "at=$at-$((at + $3))"
}

note "good ones"
scrubbed 0 "$MNT"
[ ! -s "$TMP/ranges" ] || die "$(cat "$TMP/ranges")"
is "names of one file" "$(grep -c 'short.img\|another.img' "$TMP/scrub")" 1
like "sparse" "$(grep sparse.img "$TMP/scrub")" "*: 2.0 MiB read in *"
like "all of it" "$(grep vm.img "$TMP/scrub")" "*: 64.0 MiB read in *"
is "page cache" "$(resident "$POOL/vm.img")" 0

# one with checksums, of which a block cannot be read and the ones beside it have rotten
dd if=/dev/urandom of="$MNT/summed.img" bs=1M count=4 oflag=direct status=none
"$CTL" checksum build "$MNT/summed.img"
"$TOOLS/flip" "$STORE_BELOW/disk" "$POOL/summed.img" 4096 12288 16384 >/dev/null

note "bad ones"
unreadable summed.img 8192 4096
unreadable vm.img 8192 512
unreadable vm.img 12288 4096
unreadable vm.img $((40 << 20)) 100000
unreadable short.img 1000000 4
scrubbed 1 "$MNT/vm.img" "$MNT/short.img" "$MNT/sparse.img" "$MNT/summed.img"
sed "s|^$MNT/||" "$TMP/ranges" >"$TMP/got"
cat >"$TMP/expected" <<-EOF
	short.img: 999424 4096 device error
	summed.img: 4096 4096 checksum mismatch
	summed.img: 8192 4096 device error
	summed.img: 12288 8192 checksum mismatch
	vm.img: 8192 8192 device error
	vm.img: 41943040 102400 device error
EOF
diff "$TMP/expected" "$TMP/got" || die "other ranges"
"$CTL" --json scrub "$MNT/vm.img" >"$TMP/json" || true
python3 - "$TMP/json" <<-EOF
	import json, sys
	f, = [json.loads(line) for line in open(sys.argv[1])]
	assert f["file"].endswith("vm.img") and f["size"] == f["read"] == 64 << 20, f
	assert f["complete"] and not f["checksums"], f
	assert f["bad"][1] == {"offset": 41943040, "length": 102400, "reason": "device error"}, f
	assert len(f["bad"]) == 2, f
EOF

note "exit status"
scrubbed 3 "$TMP/loops"
scrubbed 3 "$MNT/none"
scrubbed 2 --rate fast "$MNT/vm.img"
scrubbed 1 "$MNT/vm.img" "$MNT/none"
