// SPDX-License-Identifier: GPL-2.0-or-later
#include "file.h"

#include <ctype.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#include "util.h"

struct section {
	char *glob;
	struct settings settings;
};

struct policy_file {
	struct section *sections;
	size_t n;
};

struct parser {
	FILE *file;
	struct policy_file *policy;
	struct policy_error *err;
	unsigned line;
	int result; /* the first error */
};

static int fail(struct parser *p, int r, const char *text)
{
	if (!p->result) {
		p->result = r;
		p->err->line = p->line;
		snprintf(p->err->text, sizeof(p->err->text), "%s", text);
	}
	return 0;
}

static void start_section(struct parser *p, const char *head)
{
	struct policy_file *policy = p->policy;
	const char *end = strrchr(head, ']');
	struct section *s;

	if (!end || end[1 + strspn(end + 1, " \t\r\n")]) {
		fail(p, -EINVAL, "a section must be [GLOB] alone on its line");
		return;
	}
	if (++head == end) {
		fail(p, -EINVAL, "empty glob");
		return;
	}
	s = reallocarray(policy->sections, policy->n + 1, sizeof(*s));
	if (!s) {
		fail(p, -ENOMEM, "out of memory");
		return;
	}
	policy->sections = s;
	s += policy->n;
	*s = (struct section){.glob = strndup(head, end - head)};
	if (!s->glob)
		fail(p, -ENOMEM, "out of memory");
	else
		policy->n++;
}

/*
 * Feeds libinih. Section heads are ours: libinih ends them at the first ']' and cuts them at 49
 * characters, either of which makes another glob of it. Indentation means nothing to us; to libinih
 * it continues the line before.
 */
static char *next_line(char *str, int num, void *stream)
{
	_cleanup_free_ char *line = NULL;
	struct parser *p = stream;
	size_t size = 0;
	const char *text;

	if (getline(&line, &size, p->file) < 0)
		return NULL;
	p->line++;
	text = line + strspn(line, " \t");
	if (*text == '[') {
		start_section(p, text);
		text = "[]\n";
	} else if (strlen(text) >= (size_t)num) {
		fail(p, -EINVAL, "line too long");
		text = "\n";
	}
	return strcpy(str, text);
}

static int handle_key(void *user, const char *ini_section, const char *key, const char *value)
{
	struct parser *p = user;
	struct settings_error err;
	int r;

	(void)ini_section;
	if (!p->policy->n)
		return fail(p, -EINVAL, "key before the first [GLOB]");
	r = settings_set_named(&p->policy->sections[p->policy->n - 1].settings, key, value,
			       FROM_POLICY, &err);
	return r < 0 ? fail(p, -EINVAL, err.text) : 1;
}

static void cleanup_policy(struct policy_file **policy)
{
	policy_file_free(*policy);
}

int policy_file_load(const char *path, struct policy_file **out, struct policy_error *err)
{
	__attribute__((cleanup(cleanup_policy))) struct policy_file *policy = NULL;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	struct parser p = {.file = file, .err = err};
	int bad_line;

	policy = calloc(1, sizeof(*policy));
	if (!file || !policy)
		return fail(&p, -errno, strerror(errno)), p.result;

	p.policy = policy;
	bad_line = ini_parse_stream(next_line, &p, handle_key, &p);
	if (ferror(file))
		return err->line = 0, fail(&p, -EIO, "cannot be read"), p.result;
	if (bad_line > 0 && (!p.result || (unsigned)bad_line < err->line)) {
		err->line = bad_line;
		snprintf(err->text, sizeof(err->text), "neither [GLOB] nor KEY = VALUE");
		return -EINVAL;
	}
	if (p.result)
		return p.result;

	*out = policy;
	policy = NULL;
	return 0;
}

const char *policy_error_line(const struct policy_error *err, const char *path,
			      char buf[POLICY_ERROR_MAX])
{
	if (err->line)
		snprintf(buf, POLICY_ERROR_MAX, "%s:%u: %s", path, err->line, err->text);
	else
		snprintf(buf, POLICY_ERROR_MAX, "%s: %s", path, err->text);
	return buf;
}

void policy_file_free(struct policy_file *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->n; i++)
		free(policy->sections[i].glob);
	free(policy->sections);
	free(policy);
}

static bool glob_matches(const char *glob, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!strchr(glob, '/'))
		return !fnmatch(glob, slash ? slash + 1 : path, 0);
	return !fnmatch(glob + (*glob == '/'), path, 0);
}

const struct settings *policy_file_match(const struct policy_file *policy, const char *path)
{
	for (size_t i = 0; policy && i < policy->n; i++)
		if (glob_matches(policy->sections[i].glob, path))
			return &policy->sections[i].settings;
	return NULL;
}

/* ===== names ===== */

/* Appends one byte of a path component; returns the new length. */
static size_t escape_byte(char *buf, size_t size, size_t len, unsigned char c)
{
	bool plain = isalnum(c) || c == ':' || c == '_' || (c == '.' && len);
	char text[5];

	snprintf(text, sizeof(text), plain ? "%c" : "\\x%02x", c);
	if (len < size)
		snprintf(buf + len, size - len, "%s", text);
	return len + strlen(text);
}

int unit_name_from_path(const char *path, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t n; *(path += strspn(path, "/")); path += n) {
		n = strcspn(path, "/");
		if (n == 1 && *path == '.')
			continue;
		if (n == 2 && !memcmp(path, "..", 2))
			return -EINVAL;
		if (len && len < size)
			buf[len++] = '-';
		for (size_t i = 0; i < n; i++)
			len = escape_byte(buf, size, len, path[i]);
	}
	if (!len && size)
		buf[len++] = '-';
	if (len >= size)
		return -ENAMETOOLONG;
	buf[len] = '\0';
	return 0;
}

int policy_file_default(const char *path, char buf[PATH_MAX])
{
	char name[NAME_MAX - sizeof(".conf")];
	int r = unit_name_from_path(path, name, sizeof(name));

	if (r < 0)
		return r;
	snprintf(buf, PATH_MAX, "/etc/bouncefs/%s.conf", name);
	return 0;
}
