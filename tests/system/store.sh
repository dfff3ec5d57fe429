#!/bin/bash
# The store does what its head promises: the other tests rest on it.
. "${0%/*}/../lib.sh"
require xfs_io

store
truncate -s 1M "$STORE/disk"
loop "$STORE/disk" --direct-io=on
disk() { xfs_io -d "$@" "$STORE/disk"; }
device() { xfs_io -d "$@" "$LOOP"; }

note "held writes wait for release, newer ones pass"
ctl hold write file=disk byte=A times=1
device -c 'pwrite -q -S 0x41 0 4k' &
within 5 holds 1
device -c 'pwrite -q -S 0x42 0 4k' -c 'pwrite -q -S 0x41 4k 4k'
is "block 0 meanwhile" "$(head -c 1 "$STORE_BELOW/disk")" B
ctl release
wait $!
is "block 0 after release" "$(head -c 1 "$STORE_BELOW/disk")" A
is "held" "$(counted held)" 0
unloop "$LOOP"

note "failures hit their range, as often as they should"
ctl fail ENOSPC write at=64k-128k times=2
ctl fail EIO fsync after=1
fails "No space left" disk -c 'pwrite -q -b 8k 60k 8k'
fails "No space left" disk -c 'pwrite -q -b 8k 124k 8k'
disk -c 'pwrite -q -S 0x43 64k 4k'
disk -c 'fsync'
fails "Input/output error" disk -c fsync
ctl clear
disk -c fsync
is "nothing of a failed write is stored" "$(tr -d '\0' <"$STORE_BELOW/disk" | wc -c)" 12288

note "short results are short"
ctl short 512 write times=1
ctl short 1000 read
is "write" "$(disk -c 'pwrite 0 4k' | grep -o '^wrote [0-9]*')" "wrote 512"
is "read" "$(disk -c 'pread 0 4k' | grep -o '^read [0-9]*')" "read 1000"
ctl clear

note "requests are counted"
ctl zero
disk -c 'pwrite -q 0 4k' -c 'pread -q 0 4k' -c 'pread -q 0 4k' -c 'fpunch 0 4k'
is "writes" "$(counted write)" 1
is "reads" "$(counted read)" 2
is "fallocates" "$(counted fallocate)" 1
is "faults" "$(counted faults)" 0

note "bad commands are refused"
for bad in "hold" "hold tea" "fail write" "fail ENONE write" "short 0 write" "delay write 5" \
	"hold write at=5" "hold write at=2k-1k" "hold write color=red" "halt"; do
	fails "Invalid argument" ctl "$bad"
done
