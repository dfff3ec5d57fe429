// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "auto.h"
#include "util.h"

#define MIN_DIRTY_LIMIT (1ULL << 20) /* one request of the largest size */

static const char *const checksum_names[] = {"off", "xxh3", NULL};
static const char *const zeroes_names[] = {"off", "on", "unmap", NULL};
static const char *const csum_errors_names[] = {"fail", "report", NULL};
static const char *const foreign_names[] = {"verify", "rebuild", "refuse", NULL};

static bool is_dirty_limit(uint64_t bytes)
{
	return bytes >= MIN_DIRTY_LIMIT;
}

static bool is_block_size(uint64_t bytes)
{
	return bytes >= 512 && bytes <= 4096 && !(bytes & (bytes - 1));
}

/* Either a list of NAMES, by number (nth_name), or a number of bytes that is ALLOWED. */
static const struct key {
	const char *name;
	const char *good;
	const char *const *names;
	bool (*allowed)(uint64_t bytes);
} keys[SETTINGS] = {
	[SETTING_CACHE] = {"cache", "none directsync writeback dontcache writethrough unsafe auto"},
	[SETTING_CHECKSUM] = {"checksum", "off xxh3", checksum_names},
	[SETTING_DIRTY_LIMIT] = {"dirty-limit", "a size such as 64M, at least 1M",
				 .allowed = is_dirty_limit},
	[SETTING_BLOCK_SIZE] = {"block-size", "512 1024 2048 4096", .allowed = is_block_size},
	[SETTING_DETECT_ZEROES] = {"detect-zeroes", "off on unmap", zeroes_names},
	[SETTING_CHECKSUM_ERRORS] = {"checksum-errors", "fail report", csum_errors_names},
	[SETTING_FOREIGN_CHANGE] = {"foreign-change", "verify rebuild refuse", foreign_names},
};

const struct settings settings_default = {
	.value = {[SETTING_CACHE] = CACHE_AUTO,
		  [SETTING_DIRTY_LIMIT] = 64 << 20,
		  [SETTING_BLOCK_SIZE] = 512},
	.from = {[0 ... SETTINGS - 1] = FROM_DEFAULT},
};

/* ===== values ===== */

/* NULL: there are no more. */
static const char *nth_name(enum setting key, uint64_t n)
{
	if (key == SETTING_CACHE)
		return n < CACHE_MODES ? cache_traits(n)->name : NULL;
	return keys[key].names[n];
}

/* Bytes, or a number of K, M, G, T (powers of 1024). */
static int parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	int shift = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unit - units + 1);
	}
	if (*value > UINT64_MAX >> shift)
		return -EINVAL;
	*value <<= shift;
	return 0;
}

static int parse(enum setting key, const char *text, uint64_t *value)
{
	const char *name;

	if (keys[key].allowed)
		return parse_size(text, value) == 0 && keys[key].allowed(*value) ? 0 : -EINVAL;
	for (*value = 0; (name = nth_name(key, *value)); ++*value)
		if (!strcmp(text, name))
			return 0;
	return -EINVAL;
}

/* As parse_size() takes it; what is less than MIN_DIRTY_LIMIT, a block size, without a unit. */
static void print_size(uint64_t value, char *buf)
{
	bool small = value < MIN_DIRTY_LIMIT;
	int unit = 0;

	while (!small && unit < 4 && !(value & 1023)) {
		value >>= 10;
		unit++;
	}
	snprintf(buf, SETTINGS_VALUE_MAX, "%llu%.*s", (unsigned long long)value, !!unit,
		 &" KMGT"[unit]);
}

/* ===== keys ===== */

int settings_key(const char *name)
{
	for (int i = 0; i < SETTINGS; i++)
		if (!strcmp(name, keys[i].name))
			return i;
	return -ENOENT;
}

const char *settings_name(enum setting key)
{
	return keys[key].name;
}

const char *settings_good(enum setting key)
{
	return keys[key].good;
}

/* What others wrote goes to logs and terminals: nothing but printable characters. */
static void refuse(struct settings_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	for (char *p = err->text; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
}

int settings_set(struct settings *s, enum setting key, const char *value, size_t len,
		 enum setting_from from, struct settings_error *err)
{
	const struct key *k = &keys[key];
	char text[SETTINGS_VALUE_MAX];
	uint64_t v;
	int r = -EINVAL;

	if (len < sizeof(text) && !memchr(value, '\0', len)) {
		memcpy(text, value, len);
		text[len] = '\0';
		r = parse(key, text, &v);
	}
	if (r < 0) {
		refuse(err, "bad value \"%.*s\" for %s, good ones: %s", (int)MIN(len, 32), value,
		       k->name, k->good);
		return r;
	}
	s->value[key] = v;
	s->from[key] = from;
	return 0;
}

int settings_set_named(struct settings *s, const char *name, const char *value,
		       enum setting_from from, struct settings_error *err)
{
	int key = settings_key(name);

	if (key < 0) {
		refuse(err,
		       "unknown key \"%.32s\", good ones: cache checksum dirty-limit block-size "
		       "detect-zeroes checksum-errors foreign-change",
		       name);
		return key;
	}
	return settings_set(s, key, value, strlen(value), from, err);
}

char *settings_print(const struct settings *s, enum setting key, char buf[SETTINGS_VALUE_MAX])
{
	if (keys[key].allowed)
		print_size(s->value[key], buf);
	else
		strcpy(buf, nth_name(key, s->value[key]));
	return buf;
}

static bool value_plausible(enum setting key, uint64_t value)
{
	uint64_t n = 0;

	if (keys[key].allowed)
		return keys[key].allowed(value);
	while (n < value && nth_name(key, n))
		n++;
	return nth_name(key, n) && (key != SETTING_CACHE || value != CACHE_AUTO);
}

bool settings_plausible(const struct settings *s)
{
	for (int i = 0; i < SETTINGS; i++)
		if (!value_plausible(i, s->value[i]) || s->from[i] == FROM_UNSET ||
		    s->from[i] > FROM_NO_CHECKSUMS)
			return false;
	return s->from[SETTING_CACHE] != FROM_AUTO || auto_reason(s->auto_pick);
}

void settings_merge(struct settings *dst, const struct settings *s)
{
	for (int i = 0; i < SETTINGS; i++) {
		if (dst->from[i] != FROM_UNSET || s->from[i] == FROM_UNSET)
			continue;
		dst->value[i] = s->value[i];
		dst->from[i] = s->from[i];
	}
}

const char *settings_from(const struct settings *s, enum setting key)
{
	static const char *const names[] = {
		[FROM_UNSET] = "unset",
		[FROM_FILE] = "file",
		[FROM_DIRECTORY] = "directory",
		[FROM_POLICY] = "policy",
		[FROM_MOUNT] = "mount",
		[FROM_AUTO] = "auto",
		[FROM_DEFAULT] = "default",
		[FROM_NOT_IMAGE] = "not an image",
		[FROM_NO_DIRECT_IO] = "no direct I/O on this file",
		[FROM_SIDECAR] = "it has them",
		[FROM_NO_CHECKSUMS] = "they could not be made",
	};

	if (key == SETTING_CACHE && s->from[key] == FROM_AUTO)
		return auto_reason(s->auto_pick);
	return names[s->from[key]];
}

int settings_effective(const struct settings *s, char *buf, size_t size)
{
	char value[SETTINGS_VALUE_MAX];
	int len = 0;

	for (int i = 0; i < SETTINGS; i++) {
		if (i > SETTING_CHECKSUM && s->from[i] == FROM_DEFAULT)
			continue;
		len += snprintf(buf + MIN((size_t)len, size), size - MIN((size_t)len, size),
				"%s%s=%s (%s)", i ? " " : "", keys[i].name,
				settings_print(s, i, value), settings_from(s, i));
	}
	return len;
}
