#!/bin/bash
# The USDT probes that the manual lists are in the program, with as many arguments.
. "${0%/*}/../lib.sh"
require readelf
[ -e /usr/include/sys/sdt.h ] || ls /usr/include/*/sys/sdt.h >/dev/null 2>&1 || lack systemtap-sdt-dev

# NAME ARGUMENTS
readelf -n "$BOUNCEFS" | awk '$1 == "Provider:" { ours = $2 == "bouncefs" } ours && $1 == "Name:" { name = $2 }
	ours && $1 == "Arguments:" { print name, NF - 1 }' | sort -u >"$TMP/built"
sed -n '/^# PROBES/,/^# /s/^\*\([a-z_]*\)\*(\(.*\))$/\1 \2/p' "$TESTS/../contrib/man/bouncefs.8.scd" |
	awk '{ print $1, split($0, a, ",") }' | sort >"$TMP/listed"
[ -s "$TMP/listed" ] || die "the manual lists none"
diff "$TMP/listed" "$TMP/built" || die "the manual and the program differ"
