// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "ctl.h"
#include "util.h"

bool ctl_json;

static const struct command {
	const char *name;
	const char *args;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"status", "[PATH...]", "open images of the mounts that PATHs are in, or of all",
	 ctl_status},
	{"top", "[-d SECONDS] [-n COUNT] [PATH...]", "the same, refreshed", ctl_top},
	{"metrics", "[PATH...]", "all counters, as Prometheus reads them", ctl_metrics},
	{"doctor", "[PATH...]", "what could be wrong, and what to do about it", ctl_doctor},
	{"get", "FILE [KEY]", "settings in effect, and where they come from", ctl_get},
	{"set", "FILE KEY=VALUE...", "settings of a file, or of all below a directory", ctl_set},
	{"unset", "FILE KEY...", "leave them to the next place again", ctl_unset},
	{"attach", "[-r] [-P] FILE", "loop device with direct I/O; prints the device", ctl_attach},
	{"detach", "DEVICE|FILE", "end it", ctl_detach},
	{"scrub", "[--rate BYTES] [--resume] FILE|DIR...", "read all, compare with checksums",
	 ctl_scrub},
	{"checksum", "ACTION FILE|DIR... [--from GOODCOPY]",
	 "build, show, drop, list-errors, adopt, repair", ctl_checksum},
	{"restart", "PATH", "let the program on disk take over the mount that PATH is in",
	 ctl_restart},
	{"log-level", "PATH [LEVEL]", "error, warning, info, debug, trace", ctl_log_level},
};

int ctl_trouble(const char *fmt, ...)
{
	va_list ap;

	fputs("bouncectl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_TROUBLE;
}

static void usage(FILE *out)
{
	fputs("usage: bouncectl [--json] COMMAND ...\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %-42s %s\n", commands[i].name, commands[i].args,
			commands[i].summary);
}

/* --json may stand anywhere. */
static int take_json(int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			ctl_json = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

static int run(int argc, char **argv)
{
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		int status;

		if (strcmp(argv[1], c->name))
			continue;
		status = c->run(argc - 1, argv + 1);
		if (status == EXIT_USAGE)
			fprintf(stderr, "usage: bouncectl %s %s\n", c->name, c->args);
		return status;
	}
	usage(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status = run(take_json(argc, argv), argv);

	if (fflush(stdout) || ferror(stdout))
		return ctl_trouble("cannot write: %s", strerror(errno));
	return status;
}
