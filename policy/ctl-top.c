// SPDX-License-Identifier: GPL-2.0-or-later
#include <unistd.h>

#include "ctl.h"
#include "util.h"

/* A positive number and nothing else; 0 for what is not one. */
static double positive(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	return *end || !(v > 0) || v > 86400 ? 0 : v;
}

int ctl_top(int argc, char **argv)
{
	double seconds = 2, count = 0; /* no count: until interrupted */
	bool clear = !ctl_json && isatty(STDOUT_FILENO);
	int opt, status;

	while ((opt = getopt(argc, argv, "d:n:")) != -1) {
		double *number = opt == 'd' ? &seconds : &count;

		if (opt == '?' || !(*number = positive(optarg)))
			return EXIT_USAGE;
	}
	do {
		status = status_show(argv + optind, seconds, clear);
		fflush(stdout);
	} while (!status && (!count || --count > 0));
	return status;
}
