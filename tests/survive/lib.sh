# shellcheck shell=bash
# lib.sh - what the tests of survival share, on top of ../lib.sh:
#
#	keeper                          # sets KEEPER, the parent of the workers
#	slay 40 300 KILL SEGV           # 40 deaths at random moments (tests/tools/slay.c)
#	tally deaths 40; tally pause 75 # what tests/run sums up at its end
#
# SURVIVE_KILLS=N multiplies the deaths, and the time, of the tests that kill at random (1). From 2 on
# those that try each step of something leave out none.
. "${BASH_SOURCE[0]%/*}/../lib.sh"
# shellcheck disable=SC2034
TIMES=${SURVIVE_KILLS:-1}
# shellcheck disable=SC2034
STRIDE=$((TIMES > 1 ? 1 : 2))

# tally deaths|pause|errors NUMBER: pauses in milliseconds
tally() { echo "$1 $2" >>"$STATE/survived"; }

count_failure()
{
	local rc=$?
	set +e
	[ $rc -eq 0 ] || [ $rc -eq 77 ] || [ $rc -eq 78 ] || tally errors 1
	return $rc
}
trap 'count_failure; settle' EXIT

keeper() { KEEPER=$(pgrep -x bouncefs --parent "${MANAGER:-1}"); }

worker() { pgrep --parent "$KEEPER"; }

# replaced PID: another worker is there, and serves
replaced()
{
	local w threads
	w=$(worker) && [ "$w" != "$1" ] && threads=$(ps -o nlwp= -p "$w") && [ "$threads" -gt 2 ]
}

# kill_worker SIGNAL: does not wait for the next one
kill_worker()
{
	kill "-$1" "$(worker)"
	tally deaths 1
}

# slay DEATHS GAP SIGNAL...: sets DEATHS. SLOWER=N: for daemons that take N times longer to start.
slay()
{
	local deaths=$1 gap=$(($2 * ${SLOWER:-1})) s numbers=()
	shift 2
	for s; do numbers+=("$(kill -l "$s")"); done
	DEATHS=$("$TOOLS/slay" "$KEEPER" "$deaths" "$gap" "${numbers[@]}") ||
		die "the keeper has ended after $DEATHS deaths"
	tally deaths "$DEATHS"
}

descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
memory() { awk '/^Pss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

# dying: the daemons that are started from now on can be told to die (tests/tools/die.c)
dying()
{
	DIE=$TMP/die
	truncate -s 4096 "$DIE"
	BOUNCEFS=$TMP/bouncefs-dying
	cat >"$BOUNCEFS" <<-EOF
		#!/bin/sh
		export DIE=$DIE LD_PRELOAD=$TOOLS/libdie.so
		exec "$BUILD/bouncefs" "\$@"
	EOF
	chmod +x "$BOUNCEFS"
}

# arm keeper|main|meta N [TIMES [CALL]]: those threads' process dies after their Nth call (of that
# name), so many times in a row (1); 0: it lives
arm()
{
	local who
	case $1 in keeper) who=1 ;; main) who=2 ;; meta) who=3 ;; esac
	# struct die, in the byte order of this machine
	perl -e 'print pack("a24", @ARGV)' "${4:-}" | dd of="$DIE" bs=1 seek=44 conv=notrunc status=none
	perl -e 'print pack("l4", @ARGV)' "$2" "$2" $((${3:-1} - 1)) "$who" 1<>"$DIE"
}

# died: how often they did so far
died() { od -A n -t d4 -j 16 -N 4 "$DIE"; }

# manage SOURCE MOUNTPOINT [OPTIONS]: bouncefs as a service of a stand-in for systemd, $MANAGER
# (tests/tools/manager.c), which logs to $TMP/manager.log
manage()
{
	mkdir -p "$2"
	: >"$TMP/manager.log"
	"$TOOLS/manager" "$BOUNCEFS" -f -o "log=$TMP/bouncefs.log${3:+,$3}" "$1" "$2" \
		>"$TMP/manager.log" 2>&1 &
	MANAGER=$!
	defer unmanage "$2"
	within 10 came ready 1
}

unmanage()
{
	exited "$MANAGER" && return
	[ -z "${STORE:-}" ] || ctl clear
	detach "$1"
	kill -TERM "$MANAGER" 2>/dev/null || true # the unmount may have ended it
	within 10 exited "$MANAGER"
}

# heard WORD: how many lines of the manager's begin so; came WORD N: that many or more
heard() { grep -c "^$1" "$TMP/manager.log" || true; }
came() { [ "$(heard "$1")" -ge "$2" ]; }
