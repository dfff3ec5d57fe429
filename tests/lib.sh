# shellcheck shell=bash
# lib.sh - what the system tests share, so that a test reads as a story:
#
#	. "${0%/*}/../lib.sh"
#	require fio
#	pool xfs                        # a filesystem in memory, at $POOL
#	bounce "$POOL" "$MNT"           # bouncefs over it, at $MNT
#	truncate -s 64M "$MNT/a.img"
#	loop "$MNT/a.img" --direct-io=on
#	fio --filename="$LOOP" ...
#
# A test ends at its first failing command. What it made (mounts, daemons, loop devices) is undone in
# reverse order when it ends, however it ends, and it fails if something cannot be undone. It runs
# under tests/run, which gives it namespaces of its own and $TMP, a scratch directory in memory; a
# test that is started by hand hands itself to tests/run.

if [ -z "${STATE:-}" ]; then
	exec "$(dirname "${BASH_SOURCE[0]}")/run" "$(basename "$(dirname "$0")")" \
		"/$(basename "$0" .sh)"
fi

set -eEuo pipefail
export LC_ALL=C
BOUNCEFS=${BOUNCEFS:-$BUILD/bouncefs}
TOOLS=$BUILD/tests
MNT=$TMP/mnt
mkdir "$MNT"
# (a daemon's end by signal is a crash to its keeper, which gives up the request that kills it)
export ASAN_OPTIONS="log_path=$TMP/sanitizer:handle_sigill=1:abort_on_error=1"
export LSAN_OPTIONS="log_path=$TMP/sanitizer"
export TSAN_OPTIONS="log_path=$TMP/sanitizer"

# --- verdicts -----------------------------------------------------------------------------------

note() { echo "- $*"; }
die() { echo "$*" >&2; exit 1; }

# skip WHY: this cannot be tested here; lack COMMAND: a package is missing
skip() { echo "$*"; exit 77; }
lack() { echo "needs $*"; exit 78; }

# require COMMAND...
require()
{
	local c
	for c; do command -v "$c" >/dev/null || lack "$c"; done
}

# is WHAT ACTUAL EXPECTED
is() { [ "$2" = "$3" ] || die "$1: got '$2', expected '$3'"; }

# like WHAT ACTUAL PATTERN
# shellcheck disable=SC2053
like() { [[ $2 == $3 ]] || die "$1: got '$2', expected '$3'"; }

# fails MESSAGE COMMAND...: it must fail, and say MESSAGE (a fixed string)
fails()
{
	local want=$1 said rc=0
	shift
	said=$("$@" 2>&1) || rc=$?
	[ $rc -ne 0 ] || die "succeeded, but should not: $*"
	[[ $said == *"$want"* ]] || die "$*: said '$said', expected '$want'"
}

# within SECONDS COMMAND...: try until it succeeds
within()
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || die "not within the time: $*"
		sleep 0.05
	done
}

# --- undoing ------------------------------------------------------------------------------------

undo=()

# defer COMMAND...: run it when the test ends, last deferred first
defer() { undo=("$(printf '%q ' "$@")" "${undo[@]}"); }

exited() { ! kill -0 "$1" 2>/dev/null; }

# detach DIRECTORY: unmount it if it is mounted
detach()
{
	! mountpoint -q "$1" || umount "$1" || { sleep 1; umount "$1"; }
}

# Each attaching of a device has a number of its own. The device may be somebody else's by now, and the
# path of its file tells nothing once the file's mount is gone.
attachment() { cat "/sys/block/${1#/dev/}/diskseq"; }
is_ours()
{
	local file=/sys/block/${1#/dev/}/loop/backing_file

	[ -e "$file" ] && { [[ $(cat "$file") == "$TMP"/* ]] ||
		grep -qsxF "$1 $(attachment "$1")" "$TMP/loops"; } 2>/dev/null
}
is_detached() { ! is_ours "$1"; }

# unloop DEVICE: detach it if it is attached; takes a moment where it is still open
unloop()
{
	is_detached "$1" || losetup -d "$1"
	within 5 is_detached "$1"
	# from now on it is no longer ours to sweep away
	sed -i "\\|^$1 |d" "$TMP/loops"
}

# survivors: the processes of this pid namespace that should be gone by now
survivors()
{
	local p word

	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" != $$ ] || continue
		# a zombie has no command line
		IFS= read -r -d '' word <"$p/cmdline" || continue
		echo "left behind: process ${p#/proc/} $word"
	done 2>/dev/null
}

# hangup: asks the daemon (the process that a service manager knows) to read the policy again
hangup() { pkill -HUP -o -x bouncefs; }

settle()
{
	local rc=$? u f
	trap - EXIT ERR
	set +eE
	[ $rc -eq 0 ] || [ $rc -eq 77 ] || [ $rc -eq 78 ] || evidence
	for u in "${undo[@]}"; do
		(eval "$u") || { echo "cannot undo: $u"; [ $rc -ne 0 ] || rc=1; }
	done
	for f in "$TMP"/sanitizer.*; do
		[ ! -s "$f" ] || { cat "$f"; rc=1; }
	done
	{
		findmnt -rno TARGET | sed -n "s|^$TMP/|left behind: mount &|p"
		survivors
	} >"$TMP/left"
	[ ! -s "$TMP/left" ] || { cat "$TMP/left"; rc=1; }
	exit $rc
}

# what may explain a failure
evidence()
{
	local f
	for f in "$TMP"/*.log; do
		[ -s "$f" ] || continue
		echo "--- ${f##*/}"
		tail -n 40 "$f"
	done
}

trap settle EXIT
trap 'echo "line $LINENO: \"$BASH_COMMAND\" failed ($?)" >&2' ERR

# --- loop devices and filesystems ---------------------------------------------------------------

# loop FILE [LOSETUP-OPTIONS...]: sets LOOP
loop()
{
	local file=$1
	shift
	LOOP=$(losetup --find --show "$@" "$file")
	echo "$LOOP $(attachment "$LOOP")" >>"$TMP/loops"
	defer unloop "$LOOP"
}

# mount_at DIRECTORY MOUNT-ARGUMENTS...
mount_at()
{
	local dir=$1
	shift
	mkdir -p "$dir"
	mount "$@" "$dir"
	defer detach "$dir"
}

# format KIND DEVICE: KIND is ext4, xfs, btrfs or nodatacow (Btrfs to be mounted so)
format()
{
	case $1 in
	ext4) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$2" ;;
	xfs) mkfs.xfs -q -f "$2" ;;
	btrfs | nodatacow) mkfs.btrfs -q -f -m single -d single "$2" >/dev/null ;;
	*) die "no such filesystem: $1" ;;
	esac
}

# pool KIND [FILE]: a filesystem at $POOL, on $POOL_LOOP, in FILE ($TMP/pool); POOL_SIZE (1G) and
# POOL_SECTOR (512) in the environment are heeded
pool()
{
	local kind=$1 file=${2:-$TMP/pool}
	[ $# -gt 1 ] || truncate -s "${POOL_SIZE:-1G}" "$file"
	loop "$file" --direct-io=on --sector-size "${POOL_SECTOR:-512}"
	POOL_LOOP=$LOOP
	POOL=$TMP/pool.$kind
	format "$kind" "$POOL_LOOP"
	if [ "$kind" = nodatacow ]; then
		mount_at "$POOL" -o nodatacow "$POOL_LOOP"
	else
		mount_at "$POOL" "$POOL_LOOP"
	fi
}

# --- bouncefs -----------------------------------------------------------------------------------

# bounce SOURCE MOUNTPOINT [OPTIONS]: logs to $TMP/bouncefs.log
bounce()
{
	mkdir -p "$2"
	"$BOUNCEFS" -o "log=$TMP/bouncefs.log${TRANSPORT:+,transport=$TRANSPORT}${3:+,$3}" "$1" "$2"
	defer unbounce "$2"
	[ -z "${TRANSPORT:-}" ] || grep -q "transport $TRANSPORT" "$TMP/bouncefs.log"
}

# rings Y|N: the kernel offers FUSE over io_uring, or does not, until the test ends. Tests that want the
# same may run at the same time.
rings()
{
	[ -e "$RINGS" ] || skip "no FUSE over io_uring"
	exec {rings_lock}<"$RINGS"
	flock "$([ "$1" = Y ] && echo -s || echo -x)" "$rings_lock"
	(set -C; cat "$RINGS" >"$STATE/rings") 2>/dev/null || true # as it was before all tests
	echo "$1" >"$RINGS"
	defer unring "$rings_lock"
}
RINGS=/sys/module/fuse/parameters/enable_uring
unring() { ! flock -nx "$1" || cat "$STATE/rings" >"$RINGS"; }

# TRANSPORT=io_uring in the environment: all mounts are made so
if [ "${TRANSPORT:-}" = io_uring ]; then
	rings Y
	printf '#!/bin/sh\nexec "%s" -o transport=io_uring "$@"\n' "$BOUNCEFS" >"$TMP/bouncefs"
	chmod +x "$TMP/bouncefs"
	BOUNCEFS=$TMP/bouncefs
fi

no_daemon() { [ -z "$(pgrep -x bouncefs)" ]; }

# unbounce MOUNTPOINT: unmount, and see the daemons (of this pid namespace) go if it was the last
unbounce()
{
	detach "$1"
	findmnt -rno TARGET -t fuse.bouncefs | grep -q "^$TMP/" || within 10 no_daemon
}

# --- the fault-injecting store (tests/store) ----------------------------------------------------

# store: mounts it at $STORE; its files lie in $STORE_BELOW
store()
{
	STORE=$TMP/store STORE_BELOW=$TMP/store.below
	mkdir "$STORE" "$STORE_BELOW"
	"$TOOLS/store" "$STORE_BELOW" "$STORE"
	defer unstore
	STORE_PID=$(pgrep -x store)
}

unstore()
{
	! mountpoint -q "$STORE" || ctl clear
	detach "$STORE"
	within 5 exited "$STORE_PID"
}

# ctl COMMAND...: see the head of tests/store/store.c
ctl() { echo "$*" >"$STORE/ctl"; }

# counted NAME: a number that the store's ctl file tells
counted() { awk -v n="$1" '$1 == n { print $2 }' "$STORE/ctl"; }

holds() { [ "$(counted held)" -ge "$1" ]; }
