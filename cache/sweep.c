// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sidecars of files that are gone: removed behind the mount, or with us dying before their sidecars
 * were. A pool that was moved looks the same, and its checksums can be adopted: so nothing is
 * removed where no sidecar's file is there, nor one whose file has a successor at its path.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/log.h"
#include "policy/util.h"
#include "sumfile.h"

struct sums_sweep {
	struct sums *sums;
	DIR *list;
	int dir;
	bool at_home; /* some sidecar's file is there: the second time through the list */
	unsigned gone;
};

struct sums_sweep *sums_sweep_begin(struct sums *sums)
{
	struct sums_sweep *sweep = calloc(1, sizeof(*sweep));
	int fd;

	if (!sweep)
		return NULL;
	sweep->sums = sums;
	sweep->dir = sums_store(sums, false);
	fd = sweep->dir < 0 ? -1 : openat(sweep->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sweep->list = fd < 0 ? NULL : fdopendir(fd);
	return sweep;
}

void sums_sweep_end(struct sums_sweep *sweep)
{
	if (sweep && sweep->list)
		closedir(sweep->list);
	free(sweep);
}

/* Whether nobody can want what is called NAME, whose file is gone. */
static bool is_of_no_use(const struct sums_sweep *sweep, const char *name)
{
	struct sidecar sidecar;
	struct stat st;

	if (sidecar_open(sweep->dir, name, &sidecar) < 0)
		return false;
	close(sidecar.fd);
	/* Of a file without a name that is open, perhaps. */
	if (sidecar.readonly || sidecar.header.session == sweep->sums->session)
		return false;
	return !*sidecar.header.path || (fstatat(sweep->sums->config->root_fd, sidecar.header.path,
						 &st, AT_SYMLINK_NOFOLLOW) < 0 &&
					 errno == ENOENT);
}

static void look_at(struct sums_sweep *sweep, const char *name)
{
	_cleanup_close_ int fd = sidecar_find_file(sweep->sums->config->root_fd, name);

	if (!sweep->at_home)
		sweep->at_home = fd >= 0;
	else if (fd == -ESTALE && is_of_no_use(sweep, name) &&
		 sidecar_remove(sweep->dir, name) == 0)
		sweep->gone++;
}

static void finish(struct sums_sweep *sweep)
{
	if (sweep->gone)
		log_info("checksums of %u files that are gone were removed", sweep->gone);
	closedir(sweep->list);
	sweep->list = NULL;
}

bool sums_sweep_next(struct sums_sweep *sweep)
{
	bool was_at_home;
	struct dirent *d;

	if (!sweep || !sweep->list)
		return false;
	d = readdir(sweep->list);
	if (!d) {
		finish(sweep);
		return false;
	}
	was_at_home = sweep->at_home;
	look_at(sweep, d->d_name);
	if (sweep->at_home && !was_at_home)
		rewinddir(sweep->list);
	return true;
}
