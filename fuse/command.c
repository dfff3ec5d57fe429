// SPDX-License-Identifier: GPL-2.0-or-later
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cache/scrub.h"
#include "cache/sums.h"
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

static int scrub(struct mount *mount, struct image *image, struct scrub_step *step)
{
	_cleanup_close_ int fd = open_again(image, O_DIRECT);
	bool direct = fd >= 0;

	if (fd == -EINVAL)
		fd = open_again(image, 0);
	return fd < 0 ? fd : scrub_do(&mount->images, image, fd, direct, step);
}

static int scrub_if_few(struct mount *mount, struct image *image, struct scrub_step *step)
{
	static _Atomic int scrubs;
	int rc = -EAGAIN;

	if (atomic_fetch_add(&scrubs, 1) < SCRUBS_MAX)
		rc = scrub(mount, image, step);
	atomic_fetch_sub(&scrubs, 1);
	return rc;
}

/* ===== checksums ===== */

static int state(struct image *image, struct checksum_state *state)
{
	int64_t size = image_size(image);
	struct sums_state sums;

	sums_state(image, &sums);
	*state = (struct checksum_state){
		.summed = sums.phase != SUMS_NONE,
		.building = sums.phase == SUMS_BUILDING,
		.to_hash = sums.to_hash,
		.size = MAX(size, 0),
		.bad = sums.bad,
		.errors = sums.errors,
		.sidecar = sums.sidecar,
	};
	return MIN(size, 0);
}

static int errors(struct image *image, struct checksum_list *errors)
{
	uint64_t at = errors->position, length;

	for (errors->nbad = 0; errors->nbad < BAD_RANGES; errors->nbad++) {
		if (!sums_error_next(image, &at, &length)) {
			at = UINT64_MAX;
			break;
		}
		errors->bad[errors->nbad] = (struct bad_range){at, length, BAD_CHECKSUM};
		at += length;
	}
	errors->position = at;
	return 0;
}

static int repair(struct image *image, const struct file *file,
		  const struct checksum_repair *repair)
{
	char block[SUM_BLOCK] __attribute__((aligned(SUM_BLOCK))); /* as direct I/O wants it */

	if (!(file->flags & FILE_WRITER))
		return -EBADF;
	if (repair->offset % SUM_BLOCK)
		return -EINVAL;
	memcpy(block, repair->data, sizeof(block));
	return sums_repair(image, block, repair->offset);
}

static int adopt(struct mount *mount, struct image *image, uid_t uid,
		 const struct checksum_adopt *adopt)
{
	if (uid)
		return -EPERM;
	if (!memchr(adopt->path, 0, sizeof(adopt->path)))
		return -EINVAL;
	return image_adopt_sums(&mount->images, image, adopt->path);
}

bool command_known(unsigned cmd)
{
	return cmd == IOC_SCRUB || cmd == IOC_CHECKSUM_STATE || cmd == IOC_CHECKSUM_ERRORS ||
	       cmd == IOC_CHECKSUM_REPAIR || cmd == IOC_CHECKSUM_ADOPT;
}

int command_run(struct mount *mount, uid_t uid, uint64_t fh, unsigned cmd, void *arg)
{
	struct file *file = file_get(&mount->state, fh);
	struct image *image = file ? image_at(&mount->images, file->image) : NULL;

	if (!image)
		return -ENOTTY;
	switch (cmd) {
	case IOC_SCRUB:
		return scrub_if_few(mount, image, arg);
	case IOC_CHECKSUM_STATE:
		return state(image, arg);
	case IOC_CHECKSUM_ERRORS:
		return errors(image, arg);
	case IOC_CHECKSUM_REPAIR:
		return repair(image, file, arg);
	case IOC_CHECKSUM_ADOPT:
		return adopt(mount, image, uid, arg);
	}
	return -ENOTTY;
}
