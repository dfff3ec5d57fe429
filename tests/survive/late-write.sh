#!/bin/bash
# A write that was in flight when the daemon died never lands on top of a newer one: the store holds
# it back while the same write is done again, then a newer one, and its fsync.
. "${0%/*}/lib.sh"
require xfs_io

kinds=(xfs ext4 nodatacow)
store
for kind in "${kinds[@]}"; do
	truncate -s 1G "$STORE/disk.$kind"
	pool "$kind" "$STORE/disk.$kind"
	dd if=/dev/zero of="$POOL/vm.img" bs=64k count=16 conv=fsync status=none
	bounce "$POOL" "$MNT.$kind"
	sync -f "$POOL"
done

# newest KIND: what is stored in the block
newest() { dd if="$TMP/pool.$1/vm.img" bs=4k count=1 iflag=direct status=none | head -c 1; }

# two_writes KIND
two_writes()
{
	xfs_io -d -c 'pwrite -q -S 0x31 0 4k' -c 'pwrite -q -S 0x32 0 4k' -c fsync \
		"$MNT.$1/vm.img" && touch "$TMP/done.$1"
}

writers=()
for kind in "${kinds[@]}"; do
	ctl hold write file="disk.$kind" byte=1 times=1
	two_writes "$kind" &
	writers+=($!)
done
within 10 holds ${#kinds[@]}
for w in $(pgrep -f '^@bouncefs --worker'); do
	kill -KILL "$w"
	tally deaths 1
done
# without a fence the newer writes are acknowledged meanwhile
sleep 3
ctl release
wait "${writers[@]}"
for kind in "${kinds[@]}"; do is "$kind" "$(newest "$kind")" 2; done
sleep 10
for kind in "${kinds[@]}"; do is "$kind, later" "$(newest "$kind")" 2; done
