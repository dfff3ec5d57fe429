/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that must not be done twice. What the names led to is written down before; if the
 * request is sent again after our death, a look at what they lead to now tells whether it had been
 * done. This is sound because the kernel keeps the directories (or the inode) locked until the
 * request is answered, and because nobody else changes the pool.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state.h"

struct mount;

struct intent_names {
	int dir[2]; /* -1: not used */
	const char *name[2];
};

struct intent_state {
	struct intent *record;
	bool resumed; /* a predecessor had begun */
	struct name_before before[2];
};

/* Call before the operation. UNIQUE as the request has it. */
void intent_begin(struct mount *mount, uint64_t unique, const struct intent_names *names,
		  struct intent_state *state);

/* The same for something else than names: EXISTED is what is to be remembered. */
void intent_begin_flag(struct mount *mount, uint64_t unique, bool existed,
		       struct intent_state *state);

/* Call after the answer was sent. */
void intent_end(struct intent_state *state);

/* What NAME leads to now. */
struct name_before intent_look(int dir, const char *name);

static inline bool same_inode(const struct name_before *a, const struct name_before *b)
{
	return a->existed == b->existed && a->dev == b->dev && a->ino == b->ino;
}
