#!/bin/bash
# Many images are open at a death, more than the soft limit of descriptors that the daemon was started
# with: all of them go on.
. "${0%/*}/lib.sh"

pool xfs
(ulimit -Sn 256 && bounce "$POOL" "$MNT")
defer unbounce "$MNT"
keeper
for i in {300..899}; do
	echo "$i" >"$MNT/$i.img"
	eval "exec $i<>\$MNT/$i.img"
done
for ((death = 0; death < 3; death++)); do
	kill_worker KILL
	for i in {300..899}; do
		eval "echo $((i + death)) >&$i"
	done
done
for i in {300..899}; do
	eval "exec $i>&-"
	is "$i" "$(tr '\n' ' ' <"$POOL/$i.img")" "$i $((i + 1)) $((i + 2)) "
done
