// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of options (-o). */
#include <string.h>

#include "cache/pool.h"
#include "fuse/options.h"
#include "fuzz.h"
#include "policy/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As a worker, paths are not looked at. */
	char source[] = "/", mountpoint[] = "/", *list = malloc(size + 1);
	char *argv[] = {"bouncefs", "--worker", "-o", list, source, mountpoint, NULL};
	struct options o;

	expect(list);
	memcpy(list, data, size);
	list[size] = 0;
	if (options_parse(&o, 6, argv) == OPTIONS_RUN) {
		expect(o.threads <= THREADS_MAX);
		expect(o.memory >= 8 && o.memory <= 4096);
		expect(o.log_level >= LOG_LEVEL_ERROR && o.log_level <= LOG_LEVEL_TRACE);
		expect(!strcmp(o.list, list));
	}
	free(o.list);
	free(list);
	return 0;
}
