#!/bin/bash
# Over a mount's life nothing leaks and no memory is misused: all operations, images and plain
# files, through a daemon with address, leak and undefined-behaviour sanitizers.
# timeout: 300
. "${0%/*}/../lib.sh"

sanitized=$BUILD-asan
[ -f "$sanitized/build.ninja" ] ||
	meson setup "$sanitized" -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
ninja -C "$sanitized" bouncefs >"$TMP/build.log" || { cat "$TMP/build.log"; exit 1; }
BOUNCEFS=$sanitized/bouncefs
export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=1"

pool xfs
# life CACHE USER
life()
{
	# the leak checker stops the process from outside, which the sandbox forbids
	bounce "$POOL" "$MNT" "cache=$1,sandbox=none"
	"$TOOLS/semantics/semantics" "$POOL" "$MNT" "$2"
	unbounce "$MNT"
	# looking for leaks takes a moment more
	within 20 no_daemon
}
life none 0
life writeback 4711
is "reports" "$(cat "$TMP"/sanitizer.* 2>/dev/null || true)" ""
