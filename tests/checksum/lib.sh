# shellcheck shell=bash disable=SC2034
# lib.sh - what the tests of checksums share, on top of ../lib.sh:
#
#	scrubbed 1 "$MNT/a.img"         # exit status; ranges in $TMP/ranges
#	flip "$POOL/a.img" 12345        # rots a bit (tests/tools/flip.c)
#
# CHECKSUM_TIMES=N multiplies what is random: operations, cuts, flips (1).
. "${BASH_SOURCE[0]%/*}/../lib.sh"
TIMES=${CHECKSUM_TIMES:-1}
CTL=$BUILD/bouncectl

# A file that a test keeps open, always as 3, would keep the mount busy when it has failed.
let_go()
{
	local rc=$?
	set +e
	exec 3<&-
	return $rc
}
trap 'let_go; settle' EXIT

# A close is told to the daemon after the fact.
all_closed() { ! "$CTL" --json status | grep -q '"path"'; }

# scrubbed STATUS ARGUMENTS...: what it says is in $TMP/ranges and $TMP/scrub
scrubbed()
{
	local want=$1 rc=0
	shift
	"$CTL" scrub "$@" >"$TMP/ranges" 2>"$TMP/scrub" || rc=$?
	[ $rc -eq "$want" ] || { head "$TMP/ranges" "$TMP/scrub" >&2; die "scrub $*: exit status $rc, not $want"; }
}

# flip FILE ARGUMENTS...: in the file system of pool()
flip() { "$TOOLS/flip" "$TMP/pool" "$@"; }

# resident FILE: bytes in the page cache
resident() { fincore -bno RES "$1" | tr -d " "; }
