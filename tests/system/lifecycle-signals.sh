#!/bin/bash
# Signals: SIGUSR1 and SIGUSR2 change the log level, SIGTERM drains and unmounts.
. "${0%/*}/../lib.sh"

pool ext4
log=$TMP/bouncefs.log
start() { "$BOUNCEFS" -o "log=$log,log-level=info" "$POOL" "$MNT"; }
daemon() { pgrep -xo bouncefs; }
defer unbounce "$MNT"

note "at start one line tells kernel, protocol and transport"
start
is "lines" "$(grep -c "$(uname -r)" "$log")" 1
grep "$(uname -r)" "$log" | grep -qE '7\.[0-9]+' || die "$(cat "$log")"

# level SIGNAL NAME: the signal makes that the level, and says so
level()
{
	: >"$log"
	kill -s "$1" "$(daemon)"
	within 5 test -s "$log"
	grep -qw "$2" "$log" || die "SIG$1 said '$(cat "$log")', not '$2'"
}

note "log levels"
level USR1 debug
level USR1 trace
ls "$MNT" >/dev/null
says_more() { [ "$(wc -l <"$log")" -gt 1 ]; }
within 5 says_more
level USR1 trace
level USR2 debug
level USR2 info
level USR2 warning
level USR2 error
level USR2 error
level USR1 warning
echo works >"$MNT/file"

note "SIGTERM with nothing open unmounts"
head -c 50M /dev/urandom >"$TMP/random"
kill -s TERM "$(daemon)"
within 5 no_daemon
fails "not a mountpoint" mountpoint "$MNT"
for signal in TERM INT; do
	"$BOUNCEFS" -f -o cache=writeback "$POOL" "$MNT" 2>"$log" &
	pid=$!
	within 5 mountpoint -q "$MNT"
	cp "$TMP/random" "$MNT/disk.img"
	kill -s $signal $pid
	rc=0
	wait $pid || rc=$?
	is "status after SIG$signal" $rc 0
	fails "not a mountpoint" mountpoint "$MNT"
	cmp "$TMP/random" "$POOL/disk.img"
	rm "$POOL/disk.img"
done

note "SIGTERM with files open: they are served until their last close"
start
exec 9<>"$MNT/disk.img"
kill -s TERM "$(daemon)"
unmounted() { ! mountpoint -q "$MNT"; }
within 5 unmounted
echo "written after" >&9
is "keeper and worker" "$(pgrep -xc bouncefs)" 2
exec 9>&-
within 5 no_daemon
is "image below" "$(cat "$POOL/disk.img")" "written after"

note "SIGHUP and SIGPIPE are no reason to leave"
start
kill -s HUP "$(daemon)"
kill -s PIPE "$(daemon)"
is "file" "$(cat "$MNT/file")" works
sleep 0.2
mountpoint -q "$MNT"
is "keeper and worker" "$(pgrep -xc bouncefs)" 2
