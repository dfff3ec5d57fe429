/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: `bouncefs [-f] [-o key=value,...] SOURCE MOUNTPOINT`, options before or after
 * the operands, and everything that mount(8) passes to a helper.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "policy/settings.h"

#define THREADS_MAX 64

struct options {
	char *source;	  /* absolute */
	char *mountpoint; /* absolute */
	char *list;	  /* all of -o, to be given to a worker */
	char *words;	  /* the same, taken apart: where strings below point into */
	bool worker;	  /* --worker: started by the keeper, paths are absolute */
	bool foreground;
	bool remount;
	unsigned long mount_flags; /* MS_* */

	struct settings settings; /* of images, where nothing else says */
	const char *policy;	  /* file; NULL: the usual one, if it is there */
	bool no_sandbox;	  /* the worker keeps all its privileges */
	bool uring;		  /* transport=io_uring is asked for */
	bool passthrough;	  /* reads of a read-only mount go past us */
	unsigned threads;	  /* workers; 0: one a CPU */
	unsigned memory;	  /* MiB of bounce buffers, all workers together */
	const char *images;	  /* patterns of image names, separated by ':' */
	const char *log_file;	  /* NULL: journal, stderr or syslog */
	int log_level;
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_BAD };

/* OPTIONS_EXIT: --help or --version was answered. OPTIONS_BAD: one line on stderr said why. Strings
 * belong to the program's lifetime. */
enum options_result options_parse(struct options *options, int argc, char **argv);
