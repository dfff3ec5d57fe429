#!/bin/bash
# The daemon with the address and the undefined behaviour sanitizer in a core of the other tests: real mounts,
# every error, switches of modes, deaths and take-overs. SANITIZE=thread: with the thread sanitizer.
# timeout: 1200
. "${0%/*}/lib.sh"

core=(system/errors-write system/errors-writeback system/lifecycle-signals system/matrix-unaligned
	system/semantics-submounts policy/settings policy/sticky-errors policy/zeroes survive/restart
	survive/unlinked survive/fsync-error hard/quota checksum/toggled)
case ${SANITIZE:-address} in
address) kind=address,undefined build=$BUILD-asan ;;
thread)
	kind=thread build=$BUILD-tsan
	export SLOWER=8
	core+=(survive/kill survive/switch policy/switch-xfs hard/stores checksum/operations checksum/together
		checksum/late checksum/sweep checksum/full)
	;;
*) die "SANITIZE=address or thread" ;;
esac

[ -f "$build/build.ninja" ] || meson setup "$build" -Db_sanitize=$kind -Db_lundef=false >/dev/null
ninja -C "$build" bouncefs >"$TMP/make" || { cat "$TMP/make"; die "build failed"; }

# What a daemon's sanitizer finds is in a file of its test's (../lib.sh), and makes it fail. (It is asked for
# leaks in lifecycle-leaks.) The thread sanitizer needs addresses that a randomised layout may take.
# It does not see the kernel, which uses a handle only between its being opened and its being released (the
# last release of a file ends its image), and a directory's only for one request at a time.
printf 'race:%s\n' '^file_open$' '^discard$' fuse/ops-dir.c >"$TMP/suppressions"
export BOUNCEFS=$TMP/bouncefs-sanitized
cat >"$BOUNCEFS" <<-EOF
	#!/bin/sh
	export ASAN_OPTIONS="\$ASAN_OPTIONS:detect_leaks=0"
	# what the tests kill it with is no finding
	export TSAN_OPTIONS="\$TSAN_OPTIONS:handle_segv=0:handle_sigbus=0:handle_abort=0:suppressions=$TMP/suppressions"
	exec setarch -R "$build/bouncefs" "\$@"
EOF
chmod +x "$BOUNCEFS"
CI=false "$TESTS/run" "${core[@]}"
