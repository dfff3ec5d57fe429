# shellcheck shell=bash
# guest.sh - what the scripts share that run in guests. Lines that begin with "- " are what the host sees; "- FAIL ..."
# is a failure, and the last one is "- end".
export LC_ALL=C

say() { echo "- $*"; }
ok() { say "ok $*"; }
fail() { say "FAIL $*"; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: got '$2', expected '$3'"; fi; }
uptime() { cut -d' ' -f1 /proc/uptime; }
end() { say "end at $(uptime)"; }

# within SECONDS COMMAND...
within()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
