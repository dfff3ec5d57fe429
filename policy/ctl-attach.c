// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "ctl.h"
#include "settings.h"
#include "util.h"

/* What `block-size` says; 512 unless it does, as 4096 would break existing partition tables. */
static uint32_t block_size(const char *path)
{
	_cleanup_free_ char *value = NULL, *from = NULL;
	struct settings s = settings_default;

	if (ctl_setting(path, settings_name(SETTING_BLOCK_SIZE), &value, &from))
		settings_set(&s, SETTING_BLOCK_SIZE, value, strlen(value), FROM_FILE, NULL);
	return s.value[SETTING_BLOCK_SIZE];
}

/* Somebody else may take the free device between the asking and the taking. Returns its number. */
static int configure(int control, const struct loop_config *config)
{
	for (;;) {
		_cleanup_close_ int loop = -1;
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		char device[32];

		if (n < 0)
			return -errno;
		snprintf(device, sizeof(device), "/dev/loop%d", n);
		loop = open(device, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			return -errno;
		if (ioctl(loop, LOOP_CONFIGURE, config) == 0)
			return n;
		if (errno != EBUSY)
			return -errno;
	}
}

static int attach(const char *path, uint32_t flags)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int file = -1;
	_cleanup_free_ char *other = NULL, *dio = NULL;
	struct loop_config config = {.block_size = block_size(path), .info.lo_flags = flags};
	char device[32], size[16];
	struct stat st;
	int n;

	if (control < 0)
		return ctl_trouble("/dev/loop-control: %s", strerror(errno));
	file = open(path, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file < 0 || fstat(file, &st) < 0)
		return ctl_trouble("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return ctl_trouble("%s: not a regular file", path);
	other = loop_over(path);
	if (other)
		return ctl_trouble("%s: already attached as %s", path, other);

	config.fd = file;
	snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s", path);
	n = configure(control, &config);
	if (n < 0)
		return ctl_trouble("%s: cannot attach: %s", path, strerror(-n));

	snprintf(device, sizeof(device), "/dev/loop%d", n);
	dio = loop_sysfs(device, "loop/dio");
	if (!dio || strcmp(dio, "1"))
		ctl_trouble("%s: %s works without direct I/O: slowly, one request at a time", path,
			    device);
	snprintf(size, sizeof(size), "%u", config.block_size);
	if (ctl_json)
		json_object("device", device, "block-size", size, "direct-io", dio ?: "0", NULL);
	else
		puts(device);
	return 0;
}

int ctl_attach(int argc, char **argv)
{
	uint32_t flags = LO_FLAGS_DIRECT_IO;
	int opt;

	while ((opt = getopt(argc, argv, "rP")) != -1) {
		if (opt == '?')
			return EXIT_USAGE;
		flags |= opt == 'r' ? LO_FLAGS_READ_ONLY : LO_FLAGS_PARTSCAN;
	}
	return argc - optind == 1 ? attach(argv[optind], flags) : EXIT_USAGE;
}
