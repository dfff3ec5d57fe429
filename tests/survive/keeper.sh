#!/bin/bash
# The keeper dies at each step of keeping and forgetting descriptors, and of starting a worker: its
# successor has from the manager's store what it needs (tests/tools/manager.c stands in for systemd).
# timeout: 300
. "${0%/*}/lib.sh"

pool xfs
dying
manage "$POOL" "$MNT"
printf 'abc%.0s' {1..1000} >"$MNT/unlinked.img"
exec 9<"$MNT/unlinked.img"
rm "$MNT/unlinked.img"

serves() { keeper && replaced none; }

# killed_at STEP WHAT COMMAND...: false if the keeper was not killed any more
killed_at()
{
	local before what=$2
	before=$(died)
	within 10 serves
	arm keeper "$1"
	shift 2
	"$@" || die "$what fails at step $n: $*"
	is "an unlinked file" "$(head -c 3 <&9)" abc
	arm keeper 0
	[ "$(died)" != "$before" ] || return 1
	tally deaths 1
}

use_image() { echo x >"$MNT/$n.img" && rm "$MNT/$n.img"; }
replace_worker() { kill_worker KILL && stat -f "$MNT" >/dev/null; }

for what in use_image replace_worker; do
	for ((n = 1; n < 200; n++)); do
		killed_at $n $what $what || break
	done
	note "$what: $n steps"
done
exec 9<&-
