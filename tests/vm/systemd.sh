#!/bin/bash
# The unit in a guest with the real systemd: the pool is mounted at boot, before what depends on it; deaths of
# the worker, of the keeper, restarts and a hanging worker lose nothing under load; a power-off with dirty data
# in a filesystem on top leaves everything clean. The steps are in guest/usr/local/sbin/exercise.
# timeout: 500
# alone
. "${0%/*}/lib.sh"

guest_base

# what a guest that lives for minutes has no use for
idle=(getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
	fstrim.timer e2scrub_all.timer systemd-tmpfiles-clean.timer systemd-pstore.service systemd-firstboot.service
	ldconfig.service systemd-update-done.service systemd-hwdb-update.service systemd-journal-catalog-update.service
	systemd-random-seed.service systemd-logind.service)

populate()
{
	local unit

	install "$TOOLS/hot" "$ROOT/usr/local/sbin/"
	echo guest >"$ROOT/etc/hostname"
	tr -d - </proc/sys/kernel/random/uuid >"$ROOT/etc/machine-id"
	for unit in "${idle[@]}"; do
		ln -sf /dev/null "$ROOT/etc/systemd/system/$unit"
	done
	chroot "$ROOT" systemctl --quiet enable bouncefs@var-lib-pool.service dependent.service exercise.service
	# shorter than for real use
	install -D -m 644 /dev/stdin "$ROOT/etc/systemd/system/bouncefs@var-lib-pool.service.d/test.conf" <<-END
		[Service]
		WatchdogSec=20
	END
}
guest_disk "$TMP/root.ext4" populate
truncate -s 1G "$TMP/pool.btrfs"
mkfs.btrfs -q "$TMP/pool.btrfs"

boot "$RELEASE" "$TMP/root.ext4" "$TMP/pool.btrfs" | tee "$TMP/said.log"
verdict "$TMP/said.log"
# from the last word to the kernel's, both in seconds since boot
took=$(awk '/^- end at/ { end = $4 } /reboot: Power down/ { gsub(/[][]/, ""); print int($1 - end) }' "$CONSOLE")
note "powered off within ${took:-?} s, $SECONDS s after the test began"
[ "${took:-99}" -lt 30 ] || die "the power-off took too long"

# what the power-off has left
btrfs check --check-data-csum "$TMP/pool.btrfs" >/dev/null 2>&1 || die "the pool is not clean"
loop "$TMP/pool.btrfs"
mount_at "$TMP/pool" -o ro "$LOOP"
loop "$TMP/pool/vm.img" --read-only
e2fsck -fn "$LOOP" >"$TMP/fsck.log" || die "the filesystem in the image is not clean"
mount_at "$TMP/vm" -o ro "$LOOP"
is "data written before the power-off" "$(sha256sum <"$TMP/vm/dirty")" \
	"$(sed -n 's/^- dirty //p' "$TMP/said.log")"
