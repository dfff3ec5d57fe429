#!/bin/bash
# The units are clean for systemd's own checks, and contrib/systemd/README.md has a reason for each protection that the
# service goes without. The metrics' service writes a whole file or none.
. "${0%/*}/../lib.sh"
require systemd-analyze

HOME_OF_UNITS=$TESTS/../contrib/systemd
mkdir "$TMP/units"
cp "$BUILD"/contrib/*.service "$HOME_OF_UNITS"/*.timer "$TMP/units"
# as if it were installed where it was built
sed -i -E "s,[^ '=]*/s?bin/(bouncefs|bouncectl),$BUILD/\1,g" "$TMP"/units/*.service
cd "$TMP/units" || exit
for template in *@.*; do cp "$template" "${template%%@*}@var-lib-vms.${template##*.}"; done
for unit in *; do
	[[ $unit != *@.* ]] || continue
	systemd-analyze verify --man=no "./$unit" >"$TMP/said" 2>&1 || { cat "$TMP/said"; die "$unit"; }
	[ ! -s "$TMP/said" ] || { cat "$TMP/said"; die "$unit"; }
done

note "the mount unit of the README"
sed -n '/^\[Unit\]/,/^```/{/^```/!p}' "$HOME_OF_UNITS/README.md" >var-lib-vms.mount
grep -q '^Type=fuse.bouncefs' var-lib-vms.mount
is "systemd-analyze verify" "$(systemd-analyze verify --man=no ./var-lib-vms.mount 2>&1)" ""

note "protections"
# of what the score is made of, those that are not set and count
systemd-analyze security --offline=true --threshold=48 --json=short ./bouncefs@var-lib-vms.service >"$TMP/security" ||
	die "the score has become worse"
python3 - "$TMP/security" "$HOME_OF_UNITS/README.md" <<-'EOF'
	import json, sys
	reasons = open(sys.argv[2]).read().replace("\\|", "|")
	left_out = [c["name"] for c in json.load(open(sys.argv[1])) if not c["set"]]
	missing = [name for name in left_out if f"`{name}`" not in reasons]
	assert len(left_out) > 10 and not missing, missing
EOF
for unit in bouncefs-metrics.service bouncefs-scrub@var-lib-vms.service; do
	systemd-analyze security --offline=true --threshold=60 "./$unit" >"$TMP/said" || die "$(tail -n 1 "$TMP/said")"
done

note "the metrics' command"
mkdir "$TMP/textfile"
# shellcheck disable=SC2016 # the unit's
command=$(sed -n "s|^ExecStart=/bin/sh -c '\(.*\)'\$|\1|p" bouncefs-metrics.service | sed 's/\$\$/$/g')
DIRECTORY=$TMP/textfile sh -c "$command"
is "files" "$(ls -A "$TMP/textfile")" bouncefs.prom
grep -q '^# TYPE bouncefs_up gauge' "$TMP/textfile/bouncefs.prom"
