// SPDX-License-Identifier: GPL-2.0-or-later
#include "command.h"

#include <errno.h>
#include <fcntl.h>

#include "cache/scrub.h"
#include "file.h"
#include "mount.h"
#include "policy/util.h"

/* Each scrub keeps a metadata thread busy; others must remain. */
#define SCRUBS_MAX 2

static int open_again(const struct image *image, int flags)
{
	char path[PROC_PATH_MAX];
	int fd = open(proc_path(path, image->cached_fd), flags | O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int scrub(struct image *image, struct scrub_step *step)
{
	_cleanup_close_ int fd = open_again(image, O_DIRECT);
	bool direct = fd >= 0;

	if (fd == -EINVAL)
		fd = open_again(image, 0);
	return fd < 0 ? fd : scrub_do(image, fd, direct, step);
}

static int scrub_if_few(struct image *image, struct scrub_step *step)
{
	static _Atomic int scrubs;
	int rc = -EAGAIN;

	if (atomic_fetch_add(&scrubs, 1) < SCRUBS_MAX)
		rc = scrub(image, step);
	atomic_fetch_sub(&scrubs, 1);
	return rc;
}

bool command_known(unsigned cmd)
{
	return cmd == IOC_SCRUB;
}

int command_run(struct mount *mount, uint64_t fh, unsigned cmd, void *arg)
{
	struct file *file = file_get(&mount->state, fh);
	struct image *image = file ? image_at(&mount->images, file->image) : NULL;

	if (!image)
		return -ENOTTY;
	switch (cmd) {
	case IOC_SCRUB:
		return scrub_if_few(image, arg);
	}
	return -ENOTTY;
}
