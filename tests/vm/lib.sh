# shellcheck shell=bash
# lib.sh - guests in QEMU, on top of ../lib.sh:
#
#	guest_base                      # a Debian root with kernels of two releases, once a build directory
#	guest_disk root.ext4 populate   # a disk with it, bouncefs and tests/vm/guest; populate adds to $ROOT
#	boot trixie root.ext4 pool.btrfs # with that release's kernel, until it powers itself off
#
# Software emulation: KVM is not to be relied on where the machine is a guest itself (ACCEL=kvm takes it). The root is of
# $RELEASE, whose kernel can send FUSE requests again (6.9), that of $OLD_RELEASE cannot. They come from the package
# mirrors that this machine uses, or from $MIRROR. NVMe and ext4 are built into the cloud kernels: no initramfs.
. "${BASH_SOURCE[0]%/*}/../lib.sh"
. "$TESTS/debian.sh"

HERE=$TESTS/vm
CACHE=$BUILD/vm
RELEASE=trixie
# shellcheck disable=SC2034
OLD_RELEASE=bookworm
# what goes into the root; another list is another root
PACKAGES=systemd-sysv,udev,kmod,mount,procps,btrfs-progs,e2fsprogs,fsverity,fuse3${MORE_PACKAGES:-}
MODULES=(btrfs loop fuse virtio_pci virtio_blk)
CONSOLE=$CACHE/$(basename "$0" .sh).log
BASE=$CACHE/$(cksum <<<"$RELEASE $OLD_RELEASE $PACKAGES ${MODULES[*]}" | cut -d' ' -f1)

# strap RELEASE MMDEBSTRAP-OPTIONS... DIRECTORY: makes a root there, and leaves the release's kernel package here
strap()
{
	local release=$1 lines
	shift
	mapfile -t lines < <(sources "$release")
	mmdebstrap --quiet --mode=root --aptopt='APT::Sandbox::User "root"' "${@:1:$#-1}" \
		--customize-hook="$HERE/download-kernel" "$release" "${*: -1}" "${lines[@]}"
}

# add_kernel PACKAGE RELEASE ROOT: $BASE/vmlinuz-RELEASE, and the modules into ROOT
add_kernel()
{
	local tree=$TMP/kernel.tree version path modules

	dpkg-deb -x "$1" "$tree"
	[ -d "$tree/usr/lib/modules" ] || { mkdir -p "$tree/usr" && mv "$tree/lib" "$tree/usr/"; }
	version=$(basename "$tree"/usr/lib/modules/*)
	cp "$tree/boot/vmlinuz-$version" "$BASE.new/vmlinuz-$2"
	modules=usr/lib/modules/$version
	depmod -b "$tree/usr" "$version"
	for path in "${MODULES[@]}"; do
		modprobe -d "$tree/usr" -S "$version" --show-depends "$path" |
			sed -n "s|^insmod $tree/\([^ ]*\).*|\1|p"
	done | sort -u | while read -r path; do
		install -D -m 644 "$tree/$path" "$3/$path"
	done
	cp "$tree/$modules"/modules.{builtin,order,builtin.modinfo} "$3/$modules/"
	depmod -b "$3/usr" "$version"
	rm -rf "$tree"
}

guest_base()
{
	local release root=$TMP/base.root

	require mmdebstrap qemu-system-x86_64 depmod dpkg-deb
	mkdir -p "$CACHE"
	exec 8>"$CACHE/lock"
	flock 8
	[ ! -e "$BASE" ] || return 0
	rm -rf "$BASE.new"
	mkdir "$BASE.new" "$TMP/$RELEASE" "$TMP/$OLD_RELEASE"
	(cd "$TMP/$RELEASE" && strap "$RELEASE" --variant=minbase --include="$PACKAGES" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$root")
	(cd "$TMP/$OLD_RELEASE" && strap "$OLD_RELEASE" --variant=custom --format=null -)
	for release in "$RELEASE" "$OLD_RELEASE"; do
		add_kernel "$TMP/$release"/linux-image-*.deb "$release" "$root"
	done
	mke2fs -q -t ext4 -O ^has_journal -d "$root" "$BASE.new/root.ext4" \
		$(($(du -sm "$root" | cut -f1) * 5 / 4 + 96))M >/dev/null
	rm -rf "$root"
	mv "$BASE.new" "$BASE"
}

# The libraries that the programs were linked with; the guest's release may have other ones.
copy_libraries()
{
	ldd "$@" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | grep -vE '/lib(c|m)\.so' | sort -u |
		xargs cp -Lt "$ROOT/usr/local/lib"
	ldconfig -r "$ROOT"
}

# guest_disk FILE [FUNCTION]
guest_disk()
{
	ROOT=$TMP/root
	cp --sparse=always "$BASE/root.ext4" "$1"
	loop "$1"
	mount_at "$ROOT" "$LOOP"
	DESTDIR=$ROOT meson install -C "$BUILD" --no-rebuild --quiet
	copy_libraries "$BUILD/bouncefs" "$BUILD/bouncectl"
	cp -a "$HERE/guest/." "$ROOT"
	"${2:-true}"
	umount "$ROOT"
	unloop "$LOOP"
}

# boot RELEASE ROOT DISK: DISK is /dev/vda (two of NVMe would be found in any order). $APPEND goes to the kernel's
# command line; the console goes to $CONSOLE, which stays, and lines that begin with "- " to stdout, too.
boot()
{
	local kernel=$BASE/vmlinuz-$1 accel=${ACCEL:-tcg,thread=multi} cpu=max,-cx16

	[[ $accel != kvm ]] || cpu=host
	timeout "${LIMIT:-400}" qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel "$accel" -cpu $cpu \
		-m "${MEMORY:-768}" -smp 2 -kernel "$kernel" -no-reboot -display none -serial stdio \
		-drive "file=$2,if=none,id=root,format=raw,cache=unsafe" -device nvme,drive=root,serial=1 \
		-drive "file=$3,if=virtio,format=raw,cache=unsafe" \
		-append "console=ttyS0 root=/dev/nvme0n1 rw panic=-1 quiet loglevel=4 mitigations=off nowatchdog \
			systemd.show_status=0 ${APPEND:-}" </dev/null | sed -u 's|\r||g' | tee "$CONSOLE" |
		grep --line-buffered -a '^- ' || true
	cp "$CONSOLE" "$TMP/console.log"
}

# verdict LOG: of what a guest said
verdict()
{
	! grep -q '^- FAIL' "$1" || die "something failed in the guest"
	grep -q '^- end' "$1" || die "the guest has not come to its end"
}
