#!/bin/bash
# One corrupted block of a file on Btrfs is an error for the reads of that block, and for nothing else,
# however the file is read.
. "${0%/*}/../lib.sh"

BAD=1000 # the page
MARK=bouncefs-errors-read-this-block-will-be-corrupted

pool btrfs
dd if=/dev/urandom of="$TMP/good" bs=1M count=8 status=none
printf %s "$MARK" | dd of="$TMP/good" bs=4096 seek=$BAD conv=notrunc status=none
cp --reflink=never "$TMP/good" "$POOL/file.img"
cp --reflink=never "$TMP/good" "$POOL/file"
detach "$POOL"
grep -abo "$MARK" "$TMP/pool" | while IFS=: read -r at _; do
	printf X | dd of="$TMP/pool" bs=1 seek="$at" conv=notrunc status=none
done
mount_at "$POOL" "$POOL_LOOP"

forget() { echo 3 >/proc/sys/vm/drop_caches; }

# bad METHOD FILE: the page is bad and it alone
bad()
{
	local got
	forget
	got=$("$TOOLS/pages" "$1" "$2" "$TMP/good")
	note "$1 $2: ${got//$'\n'/, }"
	case $1 in
	read | direct) is "$1" "$got" "$BAD EIO" ;;
	mmap) is "$1" "$got" "$BAD SIGBUS" ;;
	populate) is "$1" "$got" "populate EFAULT"$'\n'"$BAD SIGBUS" ;;
	esac
}

# bad_readahead DEVICE: readahead of the device's page cache makes large requests, so one of these is
# bad as a whole: pages in a row, at most 1 MiB, the bad one among them
bad_readahead()
{
	forget
	"$TOOLS/pages" read "$1" "$TMP/good" >"$TMP/got"
	note "$1, page cache: $(wc -l <"$TMP/got") pages"
	awk -v bad=$BAD '
		$2 != "EIO" || NR > 1 && $1 != last + 1 { exit 1 }
		{ last = $1; hit += $1 == bad }
		END { if (NR > 256 || !hit) exit 1 }' "$TMP/got" || die "$(cat "$TMP/got")"
}

bad direct "$POOL/file.img"

for mode in none writeback; do
	note "cache=$mode"
	bounce "$POOL" "$MNT" cache=$mode
	for file in "$MNT/file.img" "$MNT/file"; do
		for method in read direct mmap populate; do
			bad $method "$file"
		done
		# half of it, up to the bad page and right behind it
		cmp -n $((BAD * 4096)) "$file" "$TMP/good"
		cmp -i $(((BAD + 1) * 4096)) "$file" "$TMP/good"
	done
	for direct in on off; do
		loop "$MNT/file.img" --direct-io=$direct
		bad direct "$LOOP"
		bad_readahead "$LOOP"
		unloop "$LOOP"
	done
	unbounce "$MNT"
done
