#!/bin/bash
# flock and POSIX locks, held and waited for, over deaths of the daemon.
. "${0%/*}/lib.sh"
require perl

pool xfs
bounce "$POOL" "$MNT"
keeper
echo x >"$MNT/file"

# posix_lock wait|try: holds the lock as long as its standard input is open
posix_lock()
{
	perl -MFcntl -e '
		open(F, "+<", $ARGV[1]) or die;
		fcntl(F, $ARGV[0] eq "wait" ? F_SETLKW : F_SETLK, my $l = pack("ssx![q]qqi", F_WRLCK, 0, 0, 0, 0))
			or exit 1;
		$| = 1;
		print "locked\n";
		<STDIN>' "$1" "$MNT/file"
}

exec 8<>"$MNT/file"
flock 8
mkfifo "$TMP/hold" "$TMP/wait"
exec 6<>"$TMP/hold" 7<>"$TMP/wait"
posix_lock wait <"$TMP/hold" >"$TMP/holder" 6>&- 7>&- 8>&- &
holder=$!
within 5 test -s "$TMP/holder"
posix_lock wait <"$TMP/wait" >"$TMP/waiter" 6>&- 7>&- 8>&- &
waiter=$!
flock "$MNT/file" true 6>&- 7>&- 8>&- &
flocker=$!
slay 10 100 KILL
! flock -n "$MNT/file" true 8>&- || die "the flock is lost"
! posix_lock try </dev/null 8>&- || die "the POSIX lock is lost"
[ ! -s "$TMP/waiter" ] || die "the POSIX lock is not waited for any more"
kill -0 "$flocker" || die "the flock is not waited for any more"

exec 8>&-
wait "$flocker"
echo >&6
wait "$holder"
within 5 test -s "$TMP/waiter"
slay 10 100 KILL
! posix_lock try </dev/null || die "the POSIX lock is lost after it was handed on"
echo >&7
wait "$waiter"
posix_lock try </dev/null >/dev/null
exec 6>&- 7>&-
