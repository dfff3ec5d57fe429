// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Directories. An open one has a descriptor of its own and reads on where it stopped, without
 * seeking, because Btrfs fixes at open (and again at each seek) where a listing ends: else renaming
 * while reading would never come to an end. After a take-over the directory is opened again by its
 * handle, and goes on at the offset that the filesystem below gave out, which holds for every open
 * of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops.h"
#include "policy/util.h"

/* What getdents64(2) gives. */
struct dirent_below {
	uint64_t ino;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
};

struct open_dir {
	int fd;
	off_t next;	   /* what the kernel asks for next if it goes on */
	unsigned at, used; /* of what was read below and not passed on yet */
	char below[4096] __attribute__((aligned(8)));
};

static struct open_dir *dir_open(struct mount *mount, fuse_ino_t ino, int *rc)
{
	struct open_dir *dir = calloc(1, sizeof(*dir));

	if (!dir) {
		*rc = -ENOMEM;
		return NULL;
	}
	dir->fd = *rc = node_open_id(&mount->nodes, ino, O_RDONLY | O_DIRECTORY);
	if (dir->fd >= 0)
		return dir;
	free(dir);
	return NULL;
}

static void dir_close(struct open_dir *dir)
{
	close(dir->fd);
	free(dir);
}

/* An fh is the address, which has 48 bits, and the life that it is from. */
#define FH_LIFE_SHIFT 48

static uint64_t fh_of(struct mount *mount, const struct open_dir *dir)
{
	return atomic_load(&mount->state.header->lives) << FH_LIFE_SHIFT | (uintptr_t)dir;
}

/* NULL for the fh of an earlier life. */
static struct open_dir *dir_of(struct mount *mount, uint64_t fh)
{
	uint64_t dir = fh ^ atomic_load(&mount->state.header->lives) << FH_LIFE_SHIFT;

	return dir >> FH_LIFE_SHIFT ? NULL : (struct open_dir *)(uintptr_t)dir;
}

struct listing {
	fuse_req_t req;
	fuse_ino_t ino;
	struct open_dir *dir;
	bool plus;
	char *reply;
	size_t size, used;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Without a look-up: what is not taken along in READDIRPLUS has node id 0. */
static void describe(struct listing *l, const struct dirent_below *d, struct fuse_entry_param *e)
{
	int rc = -ENOENT;

	if (l->plus && !is_dot(d->name))
		rc = entry_lookup(mount_of(l->req), l->dir->fd, d->name, e);
	if (rc == 0)
		return;
	*e = (struct fuse_entry_param){
		.attr = {.st_ino = d->ino, .st_mode = (mode_t)d->type << 12},
	};
}

/* False if the reply is full. */
static bool add(struct listing *l, const struct dirent_below *d)
{
	char *into = l->reply + l->used;
	size_t room = l->size - l->used, need;
	struct fuse_entry_param e;

	if (name_is_ours(l->ino, d->name))
		return true;
	describe(l, d, &e);
	if (l->plus)
		need = fuse_add_direntry_plus(l->req, into, room, d->name, &e, d->next);
	else
		need = fuse_add_direntry(l->req, into, room, d->name, &e.attr, d->next);
	if (need <= room) {
		l->used += need;
		return true;
	}
	if (l->plus && e.ino)
		node_forget(&mount_of(l->req)->nodes, e.ino, 1);
	return false;
}

static int fill(struct listing *l)
{
	struct open_dir *dir = l->dir;

	for (;;) {
		struct dirent_below *d = (void *)(dir->below + dir->at);
		long n;

		if (dir->at < dir->used) {
			if (!add(l, d))
				return 0;
			dir->at += d->length;
			dir->next = d->next;
			continue;
		}
		n = syscall(SYS_getdents64, dir->fd, dir->below, sizeof(dir->below));
		dir->at = dir->used = 0;
		if (n <= 0)
			return n < 0 && !l->used ? -errno : 0;
		dir->used = n;
	}
}

static int go_to(struct open_dir *dir, off_t off)
{
	if (off == dir->next)
		return 0;
	dir->at = dir->used = 0;
	dir->next = off;
	return lseek(dir->fd, off, SEEK_SET) < 0 ? -errno : 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, uint64_t fh, bool plus)
{
	struct open_dir *kept = dir_of(mount_of(req), fh), *dir = kept;
	_cleanup_free_ char *reply = malloc(size);
	struct listing l = {.req = req, .ino = ino, .plus = plus, .reply = reply, .size = size};
	int rc = reply ? 0 : -ENOMEM;

	if (!dir)
		dir = dir_open(mount_of(req), ino, &rc);
	if (dir && rc >= 0) {
		l.dir = dir;
		rc = go_to(dir, off);
		if (rc == 0)
			rc = fill(&l);
	}
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, reply, l.used);
	if (dir && !kept)
		dir_close(dir);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct open_dir *dir;
	int rc;

	dir = dir_open(mount, ino, &rc);
	if (!dir) {
		fuse_reply_err(req, -rc);
		return;
	}
	fi->fh = fh_of(mount, dir);
	if (fuse_reply_open(req, fi) == -ENOENT)
		dir_close(dir);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi->fh, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi->fh, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct open_dir *dir = dir_of(mount_of(req), fi->fh);

	(void)ino;
	if (dir)
		dir_close(dir);
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino, O_RDONLY | O_DIRECTORY);
	int rc = fd;

	(void)fi;
	if (fd >= 0)
		rc = (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
	fuse_reply_err(req, rc < 0 ? -rc : 0);
}
