#!/bin/bash
# Memory pressure in a guest: swap, and a filesystem in use, both on loop devices over bouncefs, while programs want
# more memory than there is. Only if VM_PRESS says for how many seconds. The steps are in guest/usr/local/sbin/press.
# timeout: 1800
# alone
MORE_PACKAGES=,stress-ng
. "${0%/*}/lib.sh"
[ -n "${VM_PRESS:-}" ] || skip "takes minutes: VM_PRESS=SECONDS asks for it"

guest_base
guest_disk "$TMP/root.ext4"
truncate -s 2G "$TMP/pool.btrfs"
LIMIT=$((VM_PRESS + 900)) APPEND="init=/usr/local/sbin/press seconds=$VM_PRESS" \
	boot "$RELEASE" "$TMP/root.ext4" "$TMP/pool.btrfs" | tee "$TMP/said.log"
verdict "$TMP/said.log"
