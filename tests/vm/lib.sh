# shellcheck shell=bash
# lib.sh - guests in QEMU, on top of ../lib.sh:
#
#	guest_base                      # a Debian root and its kernel, once a build directory
#	guest_root                      # unpacked at $ROOT, bouncefs installed in it, tests/vm/guest over it
#	guest_disk root.ext4            # becomes a disk
#	boot root.ext4 pool.btrfs       # runs until it powers itself off
#
# Software emulation: KVM is not to be relied on where the machine is a guest itself (ACCEL=kvm takes it). The root is
# of a release whose kernel can send FUSE requests again (6.9); it comes from the package mirror that this machine uses,
# or from $MIRROR.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

HERE=$TESTS/vm
CACHE=$BUILD/vm
ROOT=$TMP/root
RELEASE=trixie
# what goes into the root; another list is another root
PACKAGES=systemd-sysv,udev,kmod,mount,procps,btrfs-progs,e2fsprogs,fsverity,fuse3
BASE=$CACHE/$RELEASE-$(cksum <<<"$PACKAGES" | cut -d' ' -f1).tar

mirror()
{
	# shellcheck disable=SC2016 # fields of apt's
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | sed q
}

guest_base()
{
	require mmdebstrap qemu-system-x86_64 depmod dpkg-deb
	mkdir -p "$CACHE"
	exec 8>"$CACHE/lock"
	flock 8
	[ ! -e "$BASE" ] || return 0
	mkdir "$TMP/kernel"
	(cd "$TMP/kernel" && mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--aptopt='APT::Sandbox::User "root"' --customize-hook="$HERE/download-kernel" \
		"$RELEASE" "$TMP/$RELEASE.tar" "${MIRROR:-$(mirror)}")
	mv "$TMP"/kernel/*.deb "$CACHE/kernel.deb"
	mv "$TMP/$RELEASE.tar" "$BASE"
}

# copy_module NAME...: with what it needs
copy_module()
{
	local kernel=$TMP/kernel.tree path name

	depmod -b "$kernel/usr" "$KERNEL"
	for name; do
		modprobe -d "$kernel/usr" -S "$KERNEL" --show-depends "$name" |
			sed -n "s|^insmod $kernel/\([^ ]*\).*|\1|p"
	done | sort -u | while read -r path; do
		install -D -m 644 "$kernel/$path" "$ROOT/$path"
	done
	for path in builtin order builtin.modinfo; do
		cp "$kernel/usr/lib/modules/$KERNEL/modules.$path" "$ROOT/usr/lib/modules/$KERNEL/"
	done
	depmod -b "$ROOT/usr" "$KERNEL"
}

# The libraries that the programs were linked with; the guest's release may have other ones.
copy_libraries()
{
	ldd "$@" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | grep -vE '/lib(c|m)\.so' | sort -u |
		xargs cp -Lt "$ROOT/usr/local/lib"
	ldconfig -r "$ROOT"
}

guest_root()
{
	local unit

	mkdir "$ROOT"
	tar -C "$ROOT" --numeric-owner -xf "$BASE"
	dpkg-deb -x "$CACHE/kernel.deb" "$TMP/kernel.tree"
	KERNEL=$(basename "$TMP"/kernel.tree/usr/lib/modules/*)
	cp "$TMP/kernel.tree/boot/vmlinuz-$KERNEL" "$TMP/vmlinuz"
	copy_module btrfs loop fuse
	rm -rf "$TMP/kernel.tree"
	DESTDIR=$ROOT meson install -C "$BUILD" --no-rebuild --quiet
	copy_libraries "$BUILD/bouncefs" "$BUILD/bouncectl"
	cp -a "$HERE/guest/." "$ROOT"
	echo guest >"$ROOT/etc/hostname"
	tr -d - </proc/sys/kernel/random/uuid >"$ROOT/etc/machine-id"
	# what a guest that lives for minutes has no use for
	for unit in getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer \
		dpkg-db-backup.timer fstrim.timer e2scrub_all.timer systemd-tmpfiles-clean.timer systemd-pstore.service \
		systemd-firstboot.service ldconfig.service systemd-update-done.service systemd-hwdb-update.service \
		systemd-journal-catalog-update.service systemd-random-seed.service systemd-logind.service; do
		ln -sf /dev/null "$ROOT/etc/systemd/system/$unit"
	done
}

# guest_disk FILE: $ROOT goes into it
guest_disk()
{
	mke2fs -q -t ext4 -O ^has_journal -d "$ROOT" "$1" $(($(du -sm "$ROOT" | cut -f1) * 5 / 4 + 64))M
	rm -rf "$ROOT"
}

# boot DISK...: the first is the root; its console goes to $TMP/console.log, and lines that begin with "- " to stdout
boot()
{
	local disk drives=() accel=${ACCEL:-tcg,thread=multi} cpu=max,-cx16

	[[ $accel != kvm ]] || cpu=host
	for disk; do
		drives+=(-drive "file=$disk,if=none,id=d${#drives[@]},format=raw,cache=unsafe"
			-device "nvme,drive=d${#drives[@]},serial=${#drives[@]}")
	done
	timeout 300 qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel "$accel" -cpu $cpu -m 768 -smp 2 \
		-kernel "$TMP/vmlinuz" -no-reboot -display none -serial stdio "${drives[@]}" \
		-append "console=ttyS0 root=/dev/nvme0n1 rw panic=-1 quiet loglevel=4 mitigations=off nowatchdog \
			systemd.show_status=0" </dev/null | sed -u 's|\r||g' | tee "$TMP/console.log" |
		grep --line-buffered -a '^- ' || true
}
