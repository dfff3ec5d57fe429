// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "policy/images.h"
#include "policy/log.h"
#include "policy/util.h"
#include "protocol.h"
#include "state.h"

/* ===== values ===== */

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end && *value >= min && *value <= max;
}

static const char *set_threads(struct options *o, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, THREADS_MAX, &n))
		return "a number from 1 to 64";
	o->threads = n;
	return NULL;
}

static const char *set_memory(struct options *o, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 8, 4096, &n))
		return "MiB, a number from 8 to 4096";
	o->memory = n;
	return NULL;
}

static const char *set_passthrough(struct options *o, const char *value)
{
	o->passthrough = true;
	return strcmp(value, "ro") ? "ro" : NULL;
}

static const char *set_transport(struct options *o, const char *value)
{
	o->uring = !strcmp(value, "io_uring");
	return o->uring || !strcmp(value, "dev") ? NULL : "dev or io_uring";
}

static const char *set_sandbox(struct options *o, const char *value)
{
	o->no_sandbox = !strcmp(value, "none");
	return o->no_sandbox || !strcmp(value, "default") ? NULL : "default or none";
}

static const char *set_images(struct options *o, const char *value)
{
	if (!*value)
		return "patterns separated by ':', such as *.img:*.raw";
	o->images = value;
	return NULL;
}

static const char *set_path(const char **path, const char *value)
{
	if (*value != '/')
		return "an absolute path";
	*path = value;
	return NULL;
}

static const char *set_log(struct options *o, const char *value)
{
	return set_path(&o->log_file, value);
}

static const char *set_policy(struct options *o, const char *value)
{
	return set_path(&o->policy, value);
}

static const char *set_log_level(struct options *o, const char *value)
{
	o->log_level = log_level_parse(value);
	return o->log_level < 0 ? "error, warning, info, debug or trace" : NULL;
}

static const char *set_setting(struct options *o, const char *name, const char *value)
{
	int key = settings_key(name);

	if (settings_set(&o->settings, key, value, strlen(value), FROM_MOUNT, NULL) < 0)
		return settings_good(key);
	return NULL;
}

/* ===== keys ===== */

/* Beginnings of words that are not ours: what /proc/mounts shows of a FUSE mount, and mount(8)
 * gives back at a remount; and what is for others (x-systemd.*). */
static const char *const kernel_words[] = {
	"user_id=",  "group_id=", "rootmode=", "fd=", "helper=", "uhelper=",
	"max_read=", "blksize=",  "x-",	       "X-",  "comment="};

/* Our own keys. SET returns what would have been good, or NULL if the value was; those without SET
 * are settings of images (policy/settings.h). */
static const struct key {
	const char *name;
	const char *value; /* for --help */
	const char *(*set)(struct options *o, const char *value);
	const char *help;
} keys[] = {
	{"block-size", "BYTES", NULL,
	 "logical block size for loop devices: 512, 1024, 2048 or 4096\n"
	 "(default: 512)"},
	{"cache", "MODE", NULL,
	 "cache mode of images: none, directsync, writeback, dontcache,\n"
	 "writethrough, unsafe or auto (default: auto)"},
	{"checksum", "KIND", NULL,
	 "checksums of all blocks, verified at every read: off or xxh3\n"
	 "(default: off)"},
	{"checksum-errors", "WHAT", NULL,
	 "a block that differs from its checksum: fail (EIO), or report (log it\n"
	 "and return it) (default: fail)"},
	{"detect-zeroes", "HOW", NULL,
	 "zeroes that are written: off, on (no data) or unmap (a hole)\n"
	 "(default: off)"},
	{"dirty-limit", "SIZE", NULL,
	 "at most this much dirty data an image in writeback and dontcache\n"
	 "(default: 64M)"},
	{"foreign-change", "WHAT", NULL,
	 "an image with checksums that was changed behind the mount: verify,\n"
	 "rebuild or refuse (default: verify)"},
	{"images", "PATTERNS", set_images,
	 "names of image files, separated by ':' (default: *.img:*.raw:*.qcow2)"},
	{"log", "FILE", set_log, "write the log to FILE"},
	{"log-level", "LEVEL", set_log_level,
	 "error, warning, info, debug or trace (default: info)"},
	{"memory", "MIB", set_memory, "bounce buffers of all workers together (default: 48)"},
	{"passthrough", "ro", set_passthrough,
	 "on a read-only mount, let the kernel read the files itself (Linux 6.9)"},
	{"policy", "FILE", set_policy,
	 "settings by file name (default: /etc/bouncefs/SOURCE.conf, with\n"
	 "SOURCE as systemd-escape --path makes it)"},
	{"sandbox", "MODE", set_sandbox,
	 "default: the worker gives up what it does not need once the mount is\n"
	 "live; none: it does not"},
	{"threads", "N", set_threads, "workers (default: one a CPU, at most 8)"},
	{"transport", "WAY", set_transport,
	 "how requests come from the kernel: dev (/dev/fuse) or io_uring (Linux\n"
	 "6.14 with fuse.enable_uring=Y; does not survive the daemon's death)\n"
	 "(default: dev)"},
};

/* Mount flags, and words of mount(8) and fstab(5) that mean nothing here. */
static const struct flag {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{"rw", 0, MS_RDONLY},
	{"ro", MS_RDONLY, 0},
	{"suid", 0, MS_NOSUID},
	{"nosuid", MS_NOSUID, 0},
	{"dev", 0, MS_NODEV},
	{"nodev", MS_NODEV, 0},
	{"exec", 0, MS_NOEXEC},
	{"noexec", MS_NOEXEC, 0},
	{"async", 0, MS_SYNCHRONOUS},
	{"sync", MS_SYNCHRONOUS, 0},
	{"atime", 0, MS_NOATIME},
	{"noatime", MS_NOATIME, 0},
	{"diratime", 0, MS_NODIRATIME},
	{"nodiratime", MS_NODIRATIME, 0},
	{"relatime", MS_RELATIME, 0},
	{"norelatime", 0, MS_RELATIME},
	{"strictatime", MS_STRICTATIME, 0},
	{"dirsync", MS_DIRSYNC, 0},
	{"defaults", 0, 0},
	{"auto", 0, 0},
	{"noauto", 0, 0},
	{"user", 0, 0},
	{"nouser", 0, 0},
	{"users", 0, 0},
	{"owner", 0, 0},
	{"group", 0, 0},
	{"_netdev", 0, 0},
	{"nofail", 0, 0},
	{"silent", 0, 0},
	{"loud", 0, 0},
	{"mand", 0, 0},
	{"nomand", 0, 0},
	{"lazytime", 0, 0},
	{"nolazytime", 0, 0},
	{"allow_other", 0, 0},
	{"default_permissions", 0, 0},
	{"nonempty", 0, 0},
};

static void unknown_key(const char *name)
{
	char known[1024] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		n += snprintf(known + n, sizeof(known) - n, " %s=", keys[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		n += snprintf(known + n, sizeof(known) - n, " %s", flags[i].name);
	log_complain("unknown option '%s'; known are:%s remount x-*", name, known);
}

static bool set_flag(struct options *o, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strcmp(word, flags[i].name))
			continue;
		o->mount_flags = (o->mount_flags | flags[i].set) & ~flags[i].clear;
		return true;
	}
	if (!strcmp(word, "remount")) {
		o->remount = true;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kernel_words); i++)
		if (!strncmp(word, kernel_words[i], strlen(kernel_words[i])))
			return true;
	return false;
}

/* One `key=value` or word of a -o list. */
static bool set_option(struct options *o, char *word)
{
	char *value = strchr(word, '=');

	if (set_flag(o, word))
		return true;
	if (value)
		*value++ = 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *good;

		if (strcmp(word, keys[i].name))
			continue;
		good = keys[i].set ? keys[i].set(o, value ?: "")
				   : set_setting(o, word, value ?: "");
		if (!good)
			return true;
		log_complain("option %s: '%s' is not %s", word, value ?: "", good);
		return false;
	}
	unknown_key(word);
	return false;
}

/* Takes a copy of the list apart: ps(1) shows the original, and options point into the copy. */
static bool set_option_list(struct options *o)
{
	char *word, *rest;

	if (!o->list)
		return true;
	rest = o->words = strdup(o->list);
	while ((word = strsep(&rest, ",")))
		if (*word && !set_option(o, word))
			return false;
	return true;
}

/* ===== help ===== */

static void print_key(const struct key *key)
{
	const char *line = key->help, *end;

	printf("  %s=%-*s", key->name, (int)(22 - strlen(key->name)), key->value);
	while ((end = strchr(line, '\n'))) {
		printf("%.*s\n%25s", (int)(end - line), line, "");
		line = end + 1;
	}
	printf("%s\n", line);
}

static void print_help(void)
{
	printf("Usage: bouncefs [-f] [-o key=value,...] SOURCE MOUNTPOINT\n"
	       "\n"
	       "Serves the pool of VM disk images below SOURCE at MOUNTPOINT (which may be SOURCE\n"
	       "itself), copying every write once into a buffer that nobody else can change.\n"
	       "\n"
	       "  -f, --foreground   stay in the foreground and log to stderr\n"
	       "  -o LIST            options, separated by commas\n"
	       "  -h, --help         this text\n"
	       "  -V, --version      versions of bouncefs and of what it is built on\n"
	       "\n"
	       "Options of -o:\n");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		print_key(&keys[i]);
	printf("  ro, nodev, noatime...  what mount(8) knows; also remount\n"
	       "\n"
	       "Signals: SIGUSR1 one log level up, SIGUSR2 one down; SIGHUP reads the policy again;\n"
	       "SIGTERM unmounts.\n");
}

static void print_version(void)
{
	int minor = protocol_kernel_minor();

	printf("bouncefs %s\nlibfuse %s\nliburing %s\n", VERSION, fuse_pkgversion(), URING_VERSION);
	if (minor >= 0)
		printf("FUSE protocol of the kernel 7.%d\n", minor);
	else
		printf("FUSE protocol of the kernel: %s\n", strerror(-minor));
}

/* ===== the command line ===== */

static bool take_operand(struct options *o, char *word)
{
	char **place = !o->source ? &o->source : !o->mountpoint ? &o->mountpoint : NULL;

	if (!place) {
		log_complain("too many operands: '%s'", word);
		return false;
	}
	*place = word;
	return true;
}

/* Operands are made absolute now: the daemon leaves this directory. */
static bool make_absolute(char **path)
{
	char *real = realpath(*path, NULL);

	if (!real) {
		log_complain("%s: %s", *path, strerror(errno));
		return false;
	}
	*path = real;
	return true;
}

static bool complete(struct options *o)
{
	if (!o->source || !o->mountpoint) {
		log_complain("needs SOURCE and MOUNTPOINT; see bouncefs --help");
		return false;
	}
	if (o->passthrough && !(o->mount_flags & MS_RDONLY)) {
		log_complain("passthrough=ro needs a read-only mount (option ro)");
		return false;
	}
	/* A worker must not look at its own mount point: nobody would answer. */
	return o->worker || (make_absolute(&o->source) && make_absolute(&o->mountpoint));
}

/* A worker is given all lists as one. */
static bool note_list(struct options *o, const char *list)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", o->list ?: "", o->list ? "," : "", list) < 0)
		return false;
	free(o->list);
	o->list = joined;
	return true;
}

/* A keeper asks a new program whether it takes over the state of a worker that runs. */
static bool accepts_state(const char *version)
{
	return version && !strcmp(version, STATE_VERSION_TEXT);
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){
		.memory = 48,
		.images = IMAGES_DEFAULT,
		.log_level = LOG_LEVEL_INFO,
	};
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];

		if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
			print_help();
			return OPTIONS_EXIT;
		} else if (!strcmp(arg, "-V") || !strcmp(arg, "--version")) {
			print_version();
			return OPTIONS_EXIT;
		} else if (!strcmp(arg, "-f") || !strcmp(arg, "--foreground")) {
			o->foreground = true;
		} else if (!strcmp(arg, "--worker")) {
			o->worker = true;
		} else if (!strcmp(arg, "--accepts-state")) {
			return accepts_state(argv[i + 1]) ? OPTIONS_EXIT : OPTIONS_BAD;
		} else if (!strncmp(arg, "-o", 2)) {
			char *list = arg[2] ? arg + 2 : argv[++i];

			if (!list) {
				log_complain("-o needs a list of options");
				return OPTIONS_BAD;
			}
			if (!note_list(o, list))
				return OPTIONS_BAD;
		} else if (arg[0] == '-' && arg[1]) {
			log_complain("unknown option '%s'; see bouncefs --help", arg);
			return OPTIONS_BAD;
		} else if (!take_operand(o, arg)) {
			return OPTIONS_BAD;
		}
	}
	return set_option_list(o) && complete(o) ? OPTIONS_RUN : OPTIONS_BAD;
}
