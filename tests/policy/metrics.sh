#!/bin/bash
# What Prometheus gets: valid, each mount once, numbers that agree with what was done; hostile names; histograms.
. "${0%/*}/lib"
require python3 fio
/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null || lack python3-prometheus-client

pool xfs
bounce "$POOL" "$MNT"
truncate -s 16M "$MNT/a.img"
loop "$MNT/a.img" --direct-io=on
dev=$LOOP

# metrics WHAT CONDITION [PATH...]: CONDITION, in which m(NAME, LABEL=VALUE...) is the list of values, must hold
metrics()
{
	local what=$1 condition=$2
	shift 2
	[ $# -gt 0 ] || set -- "$MNT"
	"$CTL" metrics "$@" >"$TMP/metrics"
	! command -v promtool >/dev/null || promtool check metrics <"$TMP/metrics" || die "promtool: $what"
	/usr/bin/python3 - "$what" "$condition" "$TMP/metrics" <<-'EOF' || die "$what: $condition"
	import sys
	from collections import Counter
	from prometheus_client.parser import text_string_to_metric_families
	what, condition, file = sys.argv[1:]
	families = list(text_string_to_metric_families(open(file, encoding="utf-8", newline="\n").read()))
	samples = [s for f in families for s in f.samples]
	twice = [k for k, n in Counter((s.name, *sorted(s.labels.items())) for s in samples).items() if n > 1]
	assert not twice, f"{what}: {twice[0]} stands twice"
	assert all(n == 1 for n in Counter(f.name for f in families).values()), f"{what}: a family in two pieces"
	assert all(f.documentation and f.type != "unknown" for f in families), what
	def m(name, **labels):
	    return [s.value for s in samples if s.name == "bouncefs_" + name and labels.items() <= s.labels.items()]
	sys.exit(not eval(f"({condition})"))
	EOF
}

note "a mount, and an image that nobody has used"
metrics idle 'm("up") == [1] and m("open_images") == [1] and len(m("image_read_bytes_total", image="a.img")) == 1'
is "the mount once" "$("$CTL" metrics "$MNT" "$MNT/a.img" "$MNT" | grep -c ^bouncefs_up)" 1
mkdir "$TMP/bound"
mount_at "$TMP/bound" --bind "$MNT"
metrics "a bind mount" 'len(m("up")) == 1' "$MNT" "$TMP/bound"
detach "$TMP/bound"

note "what was done is what is counted"
fio --name=w --filename="$dev" --rw=write --bs=64k --size=8m --direct=1 --ioengine=psync --end_fsync=1 --minimal >/dev/null
metrics writes 'm("image_written_bytes_total", image="a.img") == m("written_bytes_total") and m("written_bytes_total")[0] >= 8 << 20'
metrics histogram 'm("request_duration_seconds_count", kind="write") == m("request_duration_seconds_bucket", kind="write", le="+Inf")
	== m("image_request_duration_seconds_count", kind="write") and m("request_duration_seconds_count", kind="flush")[0] >= 1'
metrics "buckets that only grow" 'all(a == sorted(a) and len(a) == 21
	for a in [m("request_duration_seconds_bucket", kind="write"), m("image_request_duration_seconds_bucket", kind="flush")])'

note "the dashboard shows what there is"
python3 -m json.tool "$TESTS/../contrib/grafana/bouncefs.json" >/dev/null
grep -oE 'bouncefs_[a-z_]+' "$TESTS/../contrib/grafana/bouncefs.json" | sort -u >"$TMP/shown"
sed -nE 's/^# TYPE ([a-z_]*) (.*)/\1 \2/p' "$TMP/metrics" | while read -r name kind; do
	echo "$name"
	[ "$kind" != histogram ] || printf '%s_%s\n' "$name" bucket "$name" count
done | sort -u >"$TMP/there"
is "metrics that are shown and not there" "$(comm -23 "$TMP/shown" "$TMP/there")" ""

note "a closed image's numbers stay with its mount"
before=$(sed -n 's/^bouncefs_written_bytes_total{.*} //p' "$TMP/metrics")
unloop "$dev"
within 5 is_closed "$MNT/a.img"
metrics closed "m('written_bytes_total') == [$before] and not m('image_info')"

note "names that are no text, that look alike, that are gone"
python3 - "$MNT" "$CTL" "$TMP/names" <<-'EOF'
	import os, subprocess, sys
	mount, ctl, out = map(os.fsencode, sys.argv[1:])
	names = [b'a"b.img', b"a\\b.img", b"a\\134b.img", b"a\nb.img", b"a\\012b.img", b"a\xffb.img", b"a\\377b.img", "ä.img".encode(),
	    b"a{b}=,.img", b"gone.img", b"\xed\xa0\x80.img"]
	files = [open(os.path.join(mount, name), "wb") for name in names]
	# three of one name: two are gone
	for _ in range(2):
	    os.unlink(os.path.join(mount, b"gone.img"))
	    files.append(open(os.path.join(mount, b"gone.img"), "wb"))
	with open(out, "wb") as f:
	    subprocess.run([ctl, b"metrics", mount], stdout=f, check=True)
	labels = [l for l in open(out, encoding="utf-8", newline="\n").read().split("\n") if l.startswith("bouncefs_image_info")]
	assert len(set(labels)) == len(labels) == len(names) + 1, labels

EOF

note "time that a request waits for the disk is in the histogram"
umount "$MNT"
within 10 no_daemon
store
bounce "$STORE" "$MNT" cache=none
truncate -s 1M "$MNT/slow.img"
ctl delay 300 write
xfs_io -c "pwrite 0 4k" "$MNT/slow.img" >/dev/null
ctl clear
metrics slow 'm("request_duration_seconds_bucket", kind="write", le="0.262144") == [0]
	and m("request_duration_seconds_bucket", kind="write", le="1.048576") == [1]
	and 0.3 <= m("request_duration_seconds_sum", kind="write")[0] < 1'

note "a mount that is dead says so, and hides no other"
bounce "$POOL" "$TMP/other"
keeper=$(pgrep -o -f "$TMP/other\$")
kill -KILL "$keeper"
dead() { ! stat "$TMP/other" >/dev/null 2>&1; }
within 10 dead
metrics dead 'sorted(m("up")) == [0, 1] and len(m("workers")) == 1' "$MNT" "$TMP/other"
umount -l "$TMP/other"
