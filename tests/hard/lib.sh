# shellcheck shell=bash
# lib.sh - what the tests of hardening share, on top of ../lib.sh:
#
#	tally inputs|faults|requests N; tally stall MS	# what tests/run sums up at its end
. "${BASH_SOURCE[0]%/*}/../lib.sh"

tally() { echo "$1 $2" >>"$STATE/hardened"; }

# the worker that serves $MNT
worker() { pgrep --parent "$(pgrep -x bouncefs --parent 1)"; }
