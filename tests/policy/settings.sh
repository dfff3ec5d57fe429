#!/bin/bash
# Settings of one file: who decides, what is refused, what can be read back.
. "${0%/*}/lib"

pool xfs
cat >"$TMP/policy" <<-EOF
	[by-policy*]
	cache = dontcache
	[d/by-path.img]
	block-size = 4096
EOF
bounce "$POOL" "$MNT" "cache=directsync,dirty-limit=8M,policy=$TMP/policy"
mkdir "$MNT/d" "$MNT/d/e"
for f in a.img plain by-policy.img d/by-policy.img d/by-path.img d/e/x.img; do
	truncate -s 8M "$MNT/$f"
done

note "who decides"
effective "$MNT/a.img" "cache=directsync (mount) checksum=off (default) dirty-limit=8M (mount)"
effective "$MNT/plain" "cache=writeback (not an image)"
effective "$MNT/by-policy.img" "cache=dontcache (policy)"
effective "$MNT/d/by-path.img" "cache=directsync (mount) checksum=off (default) dirty-limit=8M (mount) block-size=4096 (policy)"
setting "$MNT/d" cache writethrough
effective "$MNT/d/by-policy.img" "cache=writethrough (directory)"
effective "$MNT/d/e/x.img" "cache=writethrough (directory)"
effective "$MNT/a.img" "cache=directsync (mount)"
setting "$MNT/d/e" cache unsafe
effective "$MNT/d/e/x.img" "cache=unsafe (directory)"
setting "$MNT/d/e/x.img" cache none
effective "$MNT/d/e/x.img" "cache=none (file)"
setting "$MNT/d/e/x.img" cache auto
effective "$MNT/d/e/x.img" "cache=none (auto: xfs)"
unsetting "$MNT/d/e/x.img" cache
effective "$MNT/d/e/x.img" "cache=unsafe (directory)"
mv "$MNT/d/e/x.img" "$MNT/d/x.img"
effective "$MNT/d/x.img" "cache=writethrough (directory)"

note "a directory of somebody else does not"
chown 4711 "$MNT/d"
effective "$MNT/d/by-policy.img" "cache=dontcache (policy)"
chown 4711 "$MNT/d/by-policy.img"
effective "$MNT/d/by-policy.img" "cache=writethrough (directory)"

note "a file with a setting of its own is an image"
setting "$MNT/plain" dirty-limit 4M
effective "$MNT/plain" "cache=directsync (mount) checksum=off (default) dirty-limit=4M (file)"
xfs_io -c 'pwrite -q 0 64k' -c 'pread -q 0 64k' "$MNT/plain"
is "pages of it in the mount's page cache" "$(resident "$MNT/plain")" 0
cat "$MNT/plain" >/dev/null
is "pages of it in the mount's page cache" "$(resident "$MNT/plain")" 0

note "an open file"
hold_open "$MNT/a.img"
setting "$MNT/a.img" cache writeback
effective "$MNT/a.img" "cache=writeback (file)"
setting "$POOL/a.img" cache none
effective "$MNT/a.img" "cache=writeback (file)"
let_go
hold_open "$MNT/a.img"
effective "$MNT/a.img" "cache=none (file)"
let_go

hold_open "$MNT/d/by-policy.img"
setting "$MNT/d" cache writeback
effective "$MNT/d/by-policy.img" "cache=writeback (directory)"
unsetting "$MNT/d" cache
effective "$MNT/d/by-policy.img" "cache=dontcache (policy)"
let_go

note "what is refused"
refused() # KEY VALUE ERROR LOG
{
	local before
	before=$(xattr "$MNT/a.img" effective)
	fails "$3" setting "$MNT/a.img" "$1" "$2"
	says "$4" || die "no log line: $4"
	is "after $1=$2" "$(xattr "$MNT/a.img" effective)" "$before"
}
invalid="Invalid argument" readonly="Read-only file system"
refused cache fast "$invalid" 'a.img: bad value "fast" for cache, good ones: none directsync writeback dontcache writethrough unsafe auto'
refused cache '' "$invalid" 'bad value "" for cache'
refused dirty-limit 64Q "$invalid" 'bad value "64Q" for dirty-limit, good ones: a size such as 64M'
refused block-size 8192 "$invalid" 'bad value "8192" for block-size, good ones: 512 1024 2048 4096'
refused detect-zeroes maybe "$invalid" "good ones: off on unmap"
refused checksum-errors x "$invalid" "good ones: fail report"
refused foreign-change x "$invalid" "good ones: verify rebuild refuse"
refused colour red "$invalid" 'unknown key "colour", good ones: cache checksum'
refused log-level debug "$invalid" 'unknown key "log-level"'
refused checksum md5 "$invalid" "good ones: off xxh3"
refused effective x "$readonly" ''
refused stats x "$readonly" ''
fails "$readonly" unsetting "$MNT/a.img" effective
fails "$readonly" setting "$MNT" status x
fails "No such attribute" unsetting "$MNT/a.img" detect-zeroes
fails "$invalid" setting "$MNT/d" cache fast
is "xattrs" "$(getfattr --absolute-names -d "$MNT/a.img" | grep -v '^#')" "$PREFIX.cache=\"none\""

note "checksums: kept until somebody says off"
setting "$MNT/a.img" checksum xxh3
cat "$MNT/a.img" >/dev/null
effective "$MNT/a.img" "checksum=xxh3 (file)"
unsetting "$MNT/a.img" checksum
effective "$MNT/a.img" "checksum=xxh3 (it has them)"
setting "$MNT/a.img" checksum off
cat "$MNT/a.img" >/dev/null
effective "$MNT/a.img" "checksum=off (file)"
unsetting "$MNT/a.img" checksum
is "checksums" "$(ls "$POOL/.bouncefs")" ''

note "the log level"
is "level" "$(xattr "$MNT" log-level)" info
setting "$MNT" log-level debug
is "level" "$(xattr "$MNT" log-level)" debug
fails "$invalid" setting "$MNT" log-level loud
fails "Read-only" unsetting "$MNT" log-level
chmod 755 "$TMP"
chmod 777 "$MNT"
fails "Operation not permitted" setpriv --reuid 4711 --clear-groups \
	setfattr -n "$PREFIX.log-level" -v trace "$MNT"
is "level" "$(xattr "$MNT" log-level)" debug

note "copies"
cp -a "$MNT/a.img" "$MNT/copy.img"
is "copied xattrs" "$(getfattr --absolute-names -d "$MNT/copy.img" | grep -v '^#')" "$PREFIX.cache=\"none\""
like "counters" "$(xattr "$MNT/copy.img" stats)" "* reads=0 writes=0 *"
