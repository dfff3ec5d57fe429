/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings of one file: keys, their values, and where each value came from.
 *
 * A struct settings holds no pointers: it may lie in memory that outlives the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mode.h"

#define XATTR_PREFIX "user.bouncefs."

enum setting {
	SETTING_CACHE,		 /* enum cache_mode */
	SETTING_CHECKSUM,	 /* enum checksum */
	SETTING_DIRTY_LIMIT,	 /* bytes */
	SETTING_BLOCK_SIZE,	 /* bytes; logical block size of a loop device over the file */
	SETTING_DETECT_ZEROES,	 /* enum detect_zeroes */
	SETTING_CHECKSUM_ERRORS, /* enum checksum_errors */
	SETTING_FOREIGN_CHANGE,	 /* enum foreign_change */
	SETTINGS,
};

enum checksum { CHECKSUM_OFF, CHECKSUM_XXH3 };
enum detect_zeroes { ZEROES_OFF, ZEROES_ON, ZEROES_UNMAP };
enum checksum_errors { CSUM_ERRORS_FAIL, CSUM_ERRORS_REPORT };
enum foreign_change { FOREIGN_VERIFY, FOREIGN_REBUILD, FOREIGN_REFUSE };

/* Strongest first. */
enum setting_from {
	FROM_UNSET,
	FROM_FILE,
	FROM_DIRECTORY,
	FROM_POLICY,
	FROM_MOUNT,
	FROM_AUTO,
	FROM_DEFAULT,
	/* Nobody's wish: what the file is leaves no choice. */
	FROM_NOT_IMAGE,
	FROM_NO_DIRECT_IO,
	FROM_SIDECAR,
	FROM_NO_CHECKSUMS,
};

struct settings {
	uint64_t value[SETTINGS];
	uint8_t from[SETTINGS]; /* enum setting_from */
	uint8_t auto_pick;	/* for auto_reason(), where from[SETTING_CACHE] is FROM_AUTO */
};

/* Why a value was refused, fit for a log line: printable, and with the good values in it. */
struct settings_error {
	char text[192];
};

/* Its index, or -ENOENT. Names are those of the xattrs without prefix ("dirty-limit"). */
int settings_key(const char *name);
const char *settings_name(enum setting key);

/* What settings_set() takes, to be told to who gave something else. */
const char *settings_good(enum setting key);

/* -EINVAL (and ERR filled) for a bad value. VALUE need not be terminated. */
int settings_set(struct settings *s, enum setting key, const char *value, size_t len,
		 enum setting_from from, struct settings_error *err);

/* The same by name; -ENOENT (and ERR filled) for an unknown key. */
int settings_set_named(struct settings *s, const char *name, const char *value,
		       enum setting_from from, struct settings_error *err);

/* A value as settings_set() takes it. Returns BUF. */
#define SETTINGS_VALUE_MAX 24
char *settings_print(const struct settings *s, enum setting key, char buf[SETTINGS_VALUE_MAX]);

/* Where the value comes from, in words: "directory", "auto: xfs". */
const char *settings_from(const struct settings *s, enum setting key);

/* What is in none of the places that can be asked. */
extern const struct settings settings_default;

/* Whether S, in memory that another process wrote, can be settings in effect. */
bool settings_plausible(const struct settings *s);

/* Values of S go where DST has none. */
void settings_merge(struct settings *dst, const struct settings *s);

/*
 * user.bouncefs.effective: "cache=none (auto: xfs) checksum=xxh3 (directory)". Cache mode and
 * checksum always, the other keys where somebody has set them. Returns what snprintf would.
 */
int settings_effective(const struct settings *s, char *buf, size_t size);
