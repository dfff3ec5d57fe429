#!/bin/bash
# Bad arguments: one line that says why, a status that is not zero, and nothing mounted.
. "${0%/*}/../lib.sh"

mkdir "$TMP/source"
touch "$TMP/file"

# refuses MESSAGE ARGUMENT...
refuses()
{
	local want=$1 rc=0
	shift
	timeout 20 "$BOUNCEFS" "$@" >"$TMP/out" 2>"$TMP/err" || rc=$?
	if [ $rc -eq 0 ] || [ $rc -ge 124 ]; then
		die "bouncefs $*: status $rc"
	fi
	is "bouncefs $*: lines on stdout and stderr" "$(wc -l <"$TMP/out") $(wc -l <"$TMP/err")" "0 1"
	grep -qF -- "$want" "$TMP/err" || die "bouncefs $*: said '$(cat "$TMP/err")', not '$want'"
	fails "not a mountpoint" mountpoint "$MNT"
}

note "operands"
refuses "SOURCE"
refuses "MOUNTPOINT" "$TMP/source"
refuses "third" "$TMP/source" "$MNT" third
refuses "$TMP/missing" "$TMP/missing" "$MNT"
refuses "No such file" "$TMP/missing" "$MNT"
refuses "No such file" "$TMP/source" "$TMP/missing"
refuses "Not a directory" "$TMP/file" "$MNT"
refuses "Not a directory" "$TMP/source" "$TMP/file"
refuses "Not a directory" "$TMP/file/below" "$MNT"

note "keys"
for place in before after; do
	set -- "$TMP/source" "$MNT" -o ro,nonsense=1
	[ $place = after ] || set -- "$3" "$4" "$1" "$2"
	refuses "nonsense" "$@"
	for known in cache threads log-level images log memory; do
		refuses " $known" "$@"
	done
done
refuses "writeback" -o cache=fast "$TMP/source" "$MNT"
refuses "fa?st" -o $'cache=fa\nst' "$TMP/source" "$MNT"
refuses "mis?sing" "$TMP"/$'mis\nsing' "$MNT"
refuses "non?sense" -o $'non\nsense' "$TMP/source" "$MNT"
refuses "cache" -o cache "$TMP/source" "$MNT"
refuses "threads" -o threads=0 "$TMP/source" "$MNT"
refuses "threads" -o threads=many "$TMP/source" "$MNT"
refuses "threads" -o threads=4x "$TMP/source" "$MNT"
refuses "debug" -o log-level=chatty "$TMP/source" "$MNT"
refuses "memory" -o memory=1 "$TMP/source" "$MNT"
refuses "$TMP/missing/log" -o "log=$TMP/missing/log" "$TMP/source" "$MNT"
refuses "-x" -x "$TMP/source" "$MNT"
refuses "-o" "$TMP/source" "$MNT" -o

note "an ordinary user"
chmod 755 "$TMP" "$MNT"
cp "$BOUNCEFS" "$TMP/bouncefs"
mkdir -m 777 "$TMP/theirs" "$TMP/theirs.mnt"
rc=0
setpriv --reuid 4711 --regid 4711 --clear-groups \
	"$TMP/bouncefs" "$TMP/theirs" "$TMP/theirs.mnt" 2>"$TMP/err" || rc=$?
[ $rc -ne 0 ] || die "an ordinary user mounted"
is "lines on stderr" "$(wc -l <"$TMP/err")" 1

note "--help and --version"
for option in -h --help; do
	"$BOUNCEFS" $option >"$TMP/out" 2>"$TMP/err"
	for word in SOURCE MOUNTPOINT cache= threads= log-level= images= SIGUSR1; do
		grep -qF -- "$word" "$TMP/out" || die "$option does not tell of $word"
	done
	is "$option on stderr" "$(cat "$TMP/err")" ""
done
for option in -V --version; do
	"$BOUNCEFS" $option >"$TMP/out"
	grep -q '^bouncefs [0-9]' "$TMP/out"
	grep -q 'libfuse.* 3\.' "$TMP/out"
	grep -q 'liburing.* 2\.' "$TMP/out"
	grep -qi 'FUSE protocol.* 7\.' "$TMP/out"
done
