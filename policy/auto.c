// SPDX-License-Identifier: GPL-2.0-or-later
#include "auto.h"

#include <linux/magic.h>

#include "util.h"

#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

enum {
	PICK_UNKNOWN,
	PICK_NO_DIRECT_IO,
	PICK_EXT4,
	PICK_XFS,
	PICK_BTRFS_NODATASUM,
	PICK_BTRFS_COMPRESSED,
	PICK_BTRFS_DIRECT,
	PICK_BTRFS_BUFFERED,
	PICK_ZFS,
	PICK_BCACHEFS,
	PICK_TMPFS,
	PICK_NETWORK,
};

static const struct {
	enum cache_mode mode;
	const char *reason;
} picks[] = {
	[PICK_UNKNOWN] = {CACHE_WRITEBACK, "auto: unknown filesystem"},
	[PICK_NO_DIRECT_IO] = {CACHE_WRITEBACK, "auto: no direct I/O on this file"},
	[PICK_EXT4] = {CACHE_NONE, "auto: ext4"},
	[PICK_XFS] = {CACHE_NONE, "auto: xfs"},
	[PICK_BTRFS_NODATASUM] = {CACHE_NONE, "auto: btrfs nodatasum"},
	[PICK_BTRFS_COMPRESSED] = {CACHE_DONTCACHE, "auto: btrfs compression"},
	[PICK_BTRFS_DIRECT] = {CACHE_NONE, "auto: btrfs, kernel writes directly"},
	[PICK_BTRFS_BUFFERED] = {CACHE_DONTCACHE, "auto: btrfs, kernel buffers direct writes"},
	[PICK_ZFS] = {CACHE_WRITEBACK, "auto: zfs"},
	[PICK_BCACHEFS] = {CACHE_WRITEBACK, "auto: bcachefs"},
	[PICK_TMPFS] = {CACHE_WRITEBACK, "auto: tmpfs"},
	[PICK_NETWORK] = {CACHE_WRITEBACK, "auto: network filesystem"},
};

static unsigned pick_btrfs(const struct file_facts *f)
{
	/* Btrfs never compresses what it does not checksum, whatever the flags of the file say. */
	if (f->compressed && !f->nodatasum)
		return PICK_BTRFS_COMPRESSED;
	if (f->buffers_direct_writes)
		return PICK_BTRFS_BUFFERED;
	return f->nodatasum ? PICK_BTRFS_NODATASUM : PICK_BTRFS_DIRECT;
}

static unsigned pick_by_filesystem(const struct file_facts *f)
{
	switch (f->fs_magic) {
	case EXT4_SUPER_MAGIC:
		return PICK_EXT4;
	case XFS_SUPER_MAGIC:
		return PICK_XFS;
	case BTRFS_SUPER_MAGIC:
		return pick_btrfs(f);
	case ZFS_MAGIC:
		return PICK_ZFS;
	case BCACHEFS_MAGIC:
		return PICK_BCACHEFS;
	case TMPFS_MAGIC:
		return PICK_TMPFS;
	case NFS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case V9FS_MAGIC:
		return PICK_NETWORK;
	default:
		return PICK_UNKNOWN;
	}
}

unsigned auto_pick(const struct file_facts *f)
{
	unsigned pick = pick_by_filesystem(f);

	if (cache_traits(picks[pick].mode)->direct && !f->direct_io)
		return PICK_NO_DIRECT_IO;
	return pick;
}

enum cache_mode auto_mode(unsigned pick)
{
	return picks[pick].mode;
}

const char *auto_reason(unsigned pick)
{
	return pick < ARRAY_SIZE(picks) ? picks[pick].reason : NULL;
}
