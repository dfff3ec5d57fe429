/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What die.c and those who arm it share: the file that $DIE names. */
#pragma once

#include <stdatomic.h>

enum who {
	DIE_KEEPER = 1, /* any thread that is none of the following */
	DIE_MAIN,	/* a worker's first thread */
	DIE_META,	/* its metadata threads */
};

struct die {
	atomic_int steps; /* die after so many library calls; 0: live */
	atomic_int again; /* the value of steps after each of the next `more` deaths */
	atomic_int more;
	atomic_int who;
	atomic_int deaths;
	char call[24]; /* the last one before a death */
	char only[24]; /* count calls of this name only; empty: all */
};
