#!/bin/bash
# The cache mode of an image is changed again and again while the image is in use and the daemon dies: no
# setting is lost, no block goes back, no request fails.
# timeout: 900
. "${0%/*}/lib.sh"

pool xfs
fallocate -l 16M "$POOL/vm.img"
bounce "$POOL" "$MNT"
keeper
loop "$MNT/vm.img" --direct-io=on
modes=(none directsync writeback dontcache writethrough)

switch()
{
	local n=0 mode
	while [ -e "$TMP/switching" ]; do
		mode=${modes[n % ${#modes[@]}]}
		setfattr -n user.bouncefs.cache -v "$mode" "$MNT/vm.img"
		like "effective" "$(getfattr --only-values -n user.bouncefs.effective "$MNT/vm.img")" \
			"cache=$mode *"
		is "kept" "$(getfattr --only-values -n user.bouncefs.cache "$POOL/vm.img")" "$mode"
		n=$((n + 1))
	done
	echo "$n switches"
}

touch "$TMP/switching"
switch >"$TMP/switch.log" 2>&1 &
switch=$!
"$TOOLS/hot" "$LOOP" $((8 * TIMES)) >"$TMP/hot.log" &
hot=$!
slay $((30 * TIMES)) 300 KILL
wait "$hot" || die "$(cat "$TMP/hot.log")"
rm "$TMP/switching"
wait "$switch" || die "$(cat "$TMP/switch.log")"
note "$DEATHS deaths, $(cat "$TMP/switch.log"), $(cat "$TMP/hot.log")"
tally pause "$(awk '{ print $6 }' "$TMP/hot.log")"
