// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What could be wrong on this machine and with its mounts, and what to do about it. A `problem`
 * costs data, speed or what bouncefs is for; a `note` is good to know.
 */
#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>

#include "ctl.h"
#include "facts.h"
#include "field.h"
#include "file.h"
#include "mode.h"
#include "util.h"

static unsigned findings, problems;

enum level { FINE, NOTE, PROBLEM };

/* WHAT is about SUBJECT; DO may be NULL. */
static void find(enum level level, const char *subject, const char *advice, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void find(enum level level, const char *subject, const char *advice, const char *fmt, ...)
{
	static const char *const levels[] = {"fine", "note", "problem"};
	_cleanup_free_ char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	problems += level == PROBLEM;
	if (!ctl_json) {
		printf("%-8s %s: %s\n", levels[level], subject, what ?: "");
		if (advice)
			printf("%-8s %s\n", "", advice);
		return;
	}
	fputs(findings++ ? ", {" : "{", stdout);
	json_member(true, "level", levels[level]);
	json_member(false, "about", subject);
	json_member(false, "what", what ?: "");
	json_member(false, "do", advice ?: "");
	putchar('}');
}

/* ===== the kernel ===== */

static int read_number(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	int n;

	return f && fscanf(f, "%d", &n) == 1 ? n : -1;
}

static void examine_kernel(void)
{
	unsigned major = 0, minor = 0;
	struct utsname uts;

	uname(&uts);
	sscanf(uts.release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 1))
		find(PROBLEM, "kernel", "boot Linux 6.1 or later", "Linux %s is too old",
		     uts.release);
	else if (major == 6 && minor < 9)
		find(NOTE, "kernel", "boot Linux 6.9 or later",
		     "Linux %s cannot send requests again: if the daemon dies, what is open gets "
		     "I/O errors",
		     uts.release);
	else
		find(FINE, "kernel", NULL, "Linux %s", uts.release);
	if (access("/dev/fuse", F_OK) < 0)
		find(PROBLEM, "kernel", "modprobe fuse", "there is no /dev/fuse");
	if (read_number("/proc/sys/kernel/io_uring_disabled") == 2)
		find(PROBLEM, "kernel", "sysctl kernel.io_uring_disabled=1",
		     "io_uring is disabled");
}

/* ===== a mount ===== */

static void examine_policy(const struct ctl_mount *mount, const struct record *r)
{
	char path[PATH_MAX] = "", error[POLICY_ERROR_MAX];
	struct policy_file *policy = NULL;
	struct policy_error err;
	const char *named = record_has(r, "policy") ? record_get(r, "policy") : "";
	int rc;

	snprintf(path, sizeof(path), "%s", named);
	if (!*path && policy_file_default(mount->source, path) < 0)
		return;
	rc = policy_file_load(path, &policy, &err);
	policy_file_free(policy);
	if (rc == 0)
		find(FINE, mount->point, NULL, "policy file %s", path);
	else if (rc != -ENOENT || *named)
		find(PROBLEM, mount->point, "mend the file, then send SIGHUP (systemctl reload)",
		     "%s; what was read before stays in force",
		     policy_error_line(&err, path, error));
}

static void examine_promises(const struct ctl_mount *mount, const struct record *r)
{
	const char *missing = record_get(r, "missing"), *wanted;

	if (*missing && record_has(r, "missing"))
		find(NOTE, mount->point, NULL, "this kernel's FUSE lacks: %s", missing);
	if (!strcmp(record_get(r, "managed"), "no"))
		find(NOTE, mount->point, "mount it with the unit bouncefs@.service",
		     "no service manager keeps its descriptors: the keeper's death ends the mount");
	if (!strcmp(record_get(r, "sandbox"), "none"))
		find(PROBLEM, mount->point, "mount it without sandbox=none, and see the log",
		     "the worker has kept all of root's rights");
	if (record_number(r, "lives") > 1)
		find(NOTE, mount->point, "see the log (journalctl -u 'bouncefs@*')",
		     "process %.0f serves it: the ones before died or were restarted",
		     record_number(r, "lives"));
	wanted = record_get(r, "transport-wanted");
	if (record_has(r, "transport-wanted") && strcmp(wanted, record_get(r, "transport")))
		find(PROBLEM, mount->point,
		     "echo Y >/sys/module/fuse/parameters/enable_uring (Linux 6.14), mount again",
		     "transport=%s was asked for, %s is in use", wanted,
		     record_get(r, "transport"));
}

/* ===== an image ===== */

static const struct cache_traits *traits_of(const char *mode)
{
	for (int m = 0; m < CACHE_MODES; m++)
		if (!strcmp(cache_traits(m)->name, mode))
			return cache_traits(m);
	return NULL;
}

/* The mode against the one that auto would be. */
static void examine_mode(const char *name, const struct record *r)
{
	const struct cache_traits *is = traits_of(record_get(r, "cache"));
	const struct cache_traits *could = traits_of(record_get(r, "auto"));
	const char *why = record_get(r, "auto-reason"), *from = record_get(r, "reason");
	bool wide = !strcmp(from, "mount") || !strcmp(from, "directory");

	if (!is || !could)
		return;
	if (!is->flush)
		find(wide ? PROBLEM : NOTE, name,
		     "bouncectl set FILE cache=auto, unless nobody would miss it after a crash",
		     "cache=%s (%s): flushes are ignored", is->name, from);
	else if (is->direct && could->drop)
		find(PROBLEM, name, "bouncectl set FILE cache=dontcache", "cache=%s (%s): %s",
		     is->name, from,
		     strstr(why, "compression") ? "what is written directly is not compressed"
						: "the kernel buffers it all the same, unbounded");
	else if (is->direct && !could->direct)
		find(PROBLEM, name, "bouncectl set FILE cache=auto",
		     "cache=%s (%s), where direct I/O is not what it is elsewhere (%s)", is->name,
		     from, why);
	else if (!is->direct && !is->drop && could->direct)
		find(NOTE, name, "bouncectl set FILE cache=none, to keep the host's memory free",
		     "cache=%s (%s), where direct I/O is real (%s)", is->name, from, why);
}

static void examine_image(const struct ctl_mount *mount, const struct record *r)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s/%s", mount->point, record_get(r, "path")) < 0) {
		name = NULL;
		return;
	}
	if (record_number(r, "errors") > 0)
		find(PROBLEM, name, "see the log, the kernel's too, and look after the disk",
		     "%s requests failed since it was opened", record_get(r, "errors"));
	if (record_number(r, "checksum-errors") > 0)
		find(PROBLEM, name,
		     "bouncectl checksum list-errors FILE; repair FILE --from a good copy",
		     "%s blocks do not match their checksums", record_get(r, "checksum-errors"));
	examine_mode(name, r);
}

static void examine_mount(const struct ctl_mount *mount)
{
	_cleanup_place_ struct place below;
	struct snapshot snap;

	facts_place(mount->source, &below);
	snapshot_take(mount->point, !ctl_json, &snap);
	if (!snap.text) {
		find(PROBLEM, mount->point,
		     snap.error == ENOTCONN ? "umount -l it, and mount it again" : NULL,
		     "does not answer: %s", strerror(snap.error));
		return;
	}
	find(FINE, mount->point, NULL, "%s, on %s; %d images open", mount->source,
	     below.type ?: "?", snap.images);
	examine_policy(mount, &snap.mount);
	examine_promises(mount, &snap.mount);
	for (int i = 0; i < snap.images; i++)
		examine_image(mount, &snap.image[i]);
	snapshot_free(&snap);
}

/* ===== loop devices ===== */

/* Whether FILE, which a loop device was given when it was on DEVICE, should have been had through
 * MOUNT: its path leads there now, or to what the mount is made of. */
static bool bypasses(const struct ctl_mount *mount, const char *file, dev_t device)
{
	struct stat st;

	if (device == mount->device)
		return false;
	if (strcmp(mount->source, mount->point) && path_lies_in(file, mount->source))
		return true;
	return path_lies_in(file, mount->point) && stat(file, &st) == 0 &&
	       st.st_dev == mount->device;
}

static void examine_loop(const struct ctl_mount *mount, const char *device, const char *file,
			 dev_t file_device)
{
	_cleanup_free_ char *dio = loop_sysfs(device, "loop/dio"), *advice = NULL;
	_cleanup_free_ char *size = loop_sysfs(device, "queue/logical_block_size");
	_cleanup_free_ char *value = NULL, *from = NULL;

	if (bypasses(mount, file, file_device)) {
		find(PROBLEM, device, "detach it (stop its VM), then attach it again",
		     "goes to %s past the mount: as unsafe as without it", file);
		return;
	}
	if (file_device != mount->device)
		return;
	if (dio && strcmp(dio, "1")) {
		if (asprintf(&advice, "losetup --direct-io=on %s", device) < 0)
			advice = NULL;
		find(PROBLEM, device, advice,
		     "over %s without direct I/O: cached twice, one request at a time", file);
	}
	if (size && ctl_setting(file, "block-size", &value, &from) && strcmp(from, "default") &&
	    strtoul(value, NULL, 10) * (strchr(value, 'K') ? 1024 : 1) != strtoul(size, NULL, 10))
		find(NOTE, device, "bouncectl detach and attach it",
		     "has blocks of %s bytes, and block-size=%s (%s) is set for %s", size, value,
		     from, file);
}

static void examine_loops(const struct ctl_mount *mounts)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *device = NULL, *file = NULL;
		struct stat st;

		if (strncmp(entry->d_name, "loop", 4) ||
		    asprintf(&device, "/dev/%s", entry->d_name) < 0)
			continue;
		file = loop_sysfs(device, "loop/backing_file");
		if (!file || !loop_file(device, &st))
			continue;
		for (const struct ctl_mount *m = mounts; m->point; m++)
			examine_loop(m, device, file, st.st_dev);
	}
	if (dir)
		closedir(dir);
}

int ctl_doctor(int argc, char **argv)
{
	struct ctl_mount *mounts = ctl_mounts(argv + 1);

	(void)argc;
	if (!mounts)
		return EXIT_TROUBLE;
	fputs(ctl_json ? "[" : "", stdout);
	examine_kernel();
	if (!mounts->point)
		find(NOTE, "mounts", NULL, "there is none");
	for (const struct ctl_mount *m = mounts; m->point; m++)
		examine_mount(m);
	if (geteuid())
		find(NOTE, "loop devices", "run this as root", "cannot be looked at");
	else
		examine_loops(mounts);
	fputs(ctl_json ? "]\n" : "", stdout);
	ctl_mounts_free(mounts);
	return problems ? EXIT_TROUBLE : 0;
}
