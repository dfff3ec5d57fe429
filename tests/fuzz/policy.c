// SPDX-License-Identifier: GPL-2.0-or-later
/* Policy files. */
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "policy/file.h"
#include "policy/util.h"

static void match(const struct policy_file *policy, const char *path)
{
	const struct settings *s = policy_file_match(policy, path);
	char text[64];

	if (s)
		settings_effective(s, text, sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("policy", MFD_CLOEXEC);
	struct policy_error err = {0};
	struct policy_file *policy;
	char path[32];
	int rc;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = policy_file_load(path, &policy, &err);
	/* All or nothing, and who is refused is told why. */
	if (rc < 0) {
		expect(*err.text && strnlen(err.text, sizeof(err.text)) < sizeof(err.text));
		return 0;
	}
	match(policy, "a.img");
	match(policy, "appvms/work/private.img");
	policy_file_free(policy);
	return 0;
}
