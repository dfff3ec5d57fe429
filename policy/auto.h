/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cache=auto means for one file, and why. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mode.h"

/* What is known of a file and of the filesystem that it lies on (facts.h finds it out). */
struct file_facts {
	uint32_t fs_magic;	    /* statfs f_type */
	bool direct_io;		    /* the filesystem takes O_DIRECT on this file */
	bool nodatasum;		    /* Btrfs: no data checksums (nodatacow implies it) */
	bool compressed;	    /* Btrfs: new data of this file is compressed */
	bool buffers_direct_writes; /* Btrfs: the kernel turns direct writes of this file into
				     * buffered ones */
};

/*
 * Picks a mode: an index into the table of reasons. A number and not a pointer, so that it can lie
 * in memory that outlives the process.
 */
unsigned auto_pick(const struct file_facts *facts);

enum cache_mode auto_mode(unsigned pick);
const char *auto_reason(unsigned pick); /* such as "auto: xfs"; NULL for what is no pick */
