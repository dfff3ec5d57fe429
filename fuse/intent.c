// SPDX-License-Identifier: GPL-2.0-or-later
#include "intent.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "mount.h"

struct name_before intent_look(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return (struct name_before){0};
	return (struct name_before){.existed = 1, .dev = st.st_dev, .ino = st.st_ino};
}

static struct intent *find(struct state *state, uint64_t unique)
{
	for (unsigned i = 0; i < INTENTS_MAX; i++)
		if (atomic_load(&state->intents[i].unique) == unique)
			return &state->intents[i];
	return NULL;
}

/* A free record. A few hold requests that will not come again (their callers were killed); when all
 * do, the oldest makes room: requests are numbered upwards. */
static struct intent *reserve(struct state *state)
{
	for (;;) {
		struct intent *oldest = &state->intents[0];
		uint64_t unique;

		for (unsigned i = 0; i < INTENTS_MAX; i++)
			if (atomic_load(&state->intents[i].unique) < atomic_load(&oldest->unique))
				oldest = &state->intents[i];
		unique = atomic_load(&oldest->unique);
		if (atomic_compare_exchange_strong(&oldest->unique, &unique, INTENT_RESERVED))
			return oldest;
	}
}

static bool resume(struct mount *mount, uint64_t unique, struct intent_state *state)
{
	state->record = find(&mount->state, unique & ~FUSE_UNIQUE_RESEND);
	state->resumed = unique & FUSE_UNIQUE_RESEND && state->record;
	if (state->resumed)
		memcpy(state->before, state->record->names, sizeof(state->before));
	return state->resumed;
}

static void write_down(struct mount *mount, uint64_t unique, struct intent_state *state)
{
	state->record = reserve(&mount->state);
	memcpy(state->record->names, state->before, sizeof(state->before));
	atomic_store(&state->record->unique, unique & ~FUSE_UNIQUE_RESEND);
}

void intent_begin(struct mount *mount, uint64_t unique, const struct intent_names *names,
		  struct intent_state *state)
{
	memset(state, 0, sizeof(*state));
	if (resume(mount, unique, state))
		return;
	for (unsigned i = 0; i < 2; i++)
		if (names->dir[i] >= 0 && names->name[i])
			state->before[i] = intent_look(names->dir[i], names->name[i]);
	write_down(mount, unique, state);
}

void intent_begin_flag(struct mount *mount, uint64_t unique, bool existed,
		       struct intent_state *state)
{
	memset(state, 0, sizeof(*state));
	if (resume(mount, unique, state))
		return;
	state->before[0].existed = existed;
	write_down(mount, unique, state);
}

void intent_end(struct intent_state *state)
{
	if (state->record)
		atomic_store(&state->record->unique, 0);
}
