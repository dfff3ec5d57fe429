// SPDX-License-Identifier: GPL-2.0-or-later
/* Directories. An open directory holds nothing: each READDIR opens it by handle and goes on at the
 * offset that the filesystem below gave out, which holds for every open of the directory. */
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

struct listing {
	fuse_req_t req;
	fuse_ino_t ino;
	int fd;
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
		rc = entry_lookup(mount_of(l->req), l->fd, d->name, e);
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
	char below[4096] __attribute__((aligned(8)));

	for (;;) {
		long n = syscall(SYS_getdents64, l->fd, below, sizeof(below));

		if (n <= 0)
			return n < 0 && !l->used ? -errno : 0;
		for (long at = 0; at < n;) {
			struct dirent_below *d = (void *)(below + at);

			if (!add(l, d))
				return 0;
			at += d->length;
		}
	}
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	_cleanup_close_ int fd = node_open_id(&mount_of(req)->nodes, ino, O_RDONLY | O_DIRECTORY);
	_cleanup_free_ char *reply = malloc(size);
	struct listing l = {
		.req = req, .ino = ino, .fd = fd, .plus = plus, .reply = reply, .size = size};
	int rc = fd < 0 ? fd : !reply ? -ENOMEM : 0;

	if (rc == 0 && off && lseek(fd, off, SEEK_SET) < 0)
		rc = -errno;
	if (rc == 0)
		rc = fill(&l);
	if (rc < 0)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, reply, l.used);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
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
