// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * store - a filesystem that can be told to fail
 *
 *	store DIRECTORY MOUNTPOINT
 *
 * serves DIRECTORY (the tests keep it in memory), with one more file in its root: `ctl`. Put a loop
 * device and a filesystem on one of its files and the faults hit that filesystem's device; give the
 * mount itself to bouncefs and they hit bouncefs's system calls. Nothing is cached: each read(2),
 * write(2) and fsync(2) above is at least one request here, and DIRECTORY shows what is stored.
 *
 * A line written to ctl is a command; a bad one is EINVAL.
 *
 *	ACTION OP [CONDITION...]	adds a rule
 *	release				everything that is held goes on, in the order of arrival
 *	clear				removes the rules, then release
 *	zero				sets the counters to 0
 *	log FILE			from now on all that changes FILE, and each fsync of it, is
 *also appended to FILE.log in DIRECTORY (log.h)
 *
 *	ACTION	hold		until `release`; newer requests pass
 *		delay MS	for so long; newer requests pass
 *		fail ERRNO	EIO, ENOSPC, EDQUOT, EINTR, EAGAIN or a number
 *		short BYTES	reads and writes do no more than this and say so
 *	OP	read write fsync fallocate truncate open; meta: what changes names, and
 *		attributes; stat: look-ups; any
 *	CONDITION
 *		file=NAME	the last part of the file's name
 *		at=FROM-TO	touches these bytes (k, m, g allowed; TO is not included);
 *				true of read, write, fallocate and truncate only
 *		byte=C		a write whose data begin with the character C
 *		times=N		the next N of them, then the rule is spent
 *		after=N		lets N of them pass first
 *		chance=P	P percent of them, at random
 *
 * The first rule that matches and is not spent decides. A rule with `fail` or `short` leaves out
 *what it does not do: the data of a failed write are not stored. A held request is done when it is
 *let go.
 *
 * Reading ctl gives lines `NAME NUMBER`: the requests that arrived since `zero`, by OP, then `held`
 * (waiting now) and `faults` (requests that a rule decided), and `logged` (entries of logs).
 */
#define FUSE_USE_VERSION 312
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CTL "/ctl"

enum op {
	OP_READ,
	OP_WRITE,
	OP_FSYNC,
	OP_FALLOCATE,
	OP_TRUNCATE,
	OP_OPEN,
	OP_META,
	OP_STAT,
	OP_ANY
};
static const char *const op_names[] = {"read", "write", "fsync", "fallocate", "truncate",
				       "open", "meta",	"stat",	 "any"};

enum action { HOLD, DELAY, FAIL, SHORT };

struct request {
	enum op op;
	const char *name; /* of the file, without its directory */
	uint64_t from, to;
	const char *data;
};

struct rule {
	enum action action;
	long value; /* milliseconds, errno or bytes */
	enum op op;
	char file[64];
	uint64_t from, to;
	int byte, chance;
	unsigned long after, times;
	struct rule *next;
};

static int below; /* the directory that is served */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static struct rule *rules;
static unsigned long requests[OP_ANY], held, faults;
static unsigned long next_ticket, let_go; /* held requests wait for their ticket to be let go */

/* ==== rules ==== */

static bool matches(const struct rule *r, const struct request *q)
{
	if (r->op != OP_ANY && r->op != q->op)
		return false;
	if (*r->file && strcmp(r->file, q->name) != 0)
		return false;
	if (r->to && (q->to <= r->from || q->from >= r->to))
		return false;
	return r->byte < 0 || (q->data && q->to > q->from && q->data[0] == r->byte);
}

/* The rule that decides on this request, used up by one. */
static struct rule *decide(const struct request *q)
{
	for (struct rule *r = rules; r; r = r->next) {
		if (!r->times || !matches(r, q) || rand() % 100 >= r->chance)
			continue;
		if (r->after) {
			r->after--;
			continue;
		}
		r->times--;
		return r;
	}
	return NULL;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) == -1 && errno == EINTR)
		;
}

/*
 * Counts a request and does to it what the rules say: returns after the wait that they impose, with
 * the number of bytes that may be done, or a negative errno.
 */
static ssize_t suffer(const struct request *q)
{
	ssize_t len = q->to - q->from;
	enum action action;
	struct rule *r;
	long value;

	pthread_mutex_lock(&lock);
	requests[q->op]++;
	r = decide(q);
	if (!r) {
		pthread_mutex_unlock(&lock);
		return len;
	}
	faults++;
	action = r->action;
	value = r->value;
	if (action == HOLD) {
		unsigned long ticket = next_ticket++;

		held++;
		while (ticket >= let_go)
			pthread_cond_wait(&released, &lock);
		held--;
	}
	pthread_mutex_unlock(&lock);

	switch (action) {
	case HOLD:
		return len;
	case DELAY:
		sleep_ms(value);
		return len;
	case FAIL:
		return -value;
	case SHORT:
		return value < len ? value : len;
	}
	return len;
}

/* ==== the log of one file ==== */

static struct {
	pthread_mutex_t
		lock; /* also held while the file is changed: the log's order is the file's */
	char file[64];
	int fd;
	unsigned long entries;
} wal = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* Begins what may be logged. */
static bool log_begin(const char *name)
{
	bool logged;

	pthread_mutex_lock(&wal.lock);
	logged = wal.fd >= 0 && !strcmp(wal.file, name);
	if (!logged)
		pthread_mutex_unlock(&wal.lock);
	return logged;
}

/* Ends what log_begin() began, and was done if RESULT is not negative. Returns RESULT. */
static ssize_t log_end(bool logged, ssize_t result, enum log_op op, uint64_t offset,
		       uint64_t length, const void *data)
{
	struct log_entry entry = {.op = op, .offset = offset, .length = length};

	if (!logged)
		return result;
	if (result >= 0) {
		if (write(wal.fd, &entry, sizeof(entry)) != sizeof(entry) ||
		    (op == LOG_WRITE && write(wal.fd, data, length) != (ssize_t)length))
			abort();
		wal.entries++;
	}
	pthread_mutex_unlock(&wal.lock);
	return result;
}

static int log_start(const char *name)
{
	char path[80];

	if (!name || strlen(name) >= sizeof(wal.file) || wal.fd >= 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "%s.log", name);
	pthread_mutex_lock(&wal.lock);
	strcpy(wal.file, name);
	wal.fd = openat(below, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pthread_mutex_unlock(&wal.lock);
	return wal.fd < 0 ? -errno : 0;
}

/* ==== control ==== */

static int parse_errno(const char *s)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {
		{"EIO", EIO},	  {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},
		{"EINTR", EINTR}, {"EAGAIN", EAGAIN},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(s, known[i].name))
			return known[i].number;
	return atoi(s);
}

static int parse_op(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_names); i++)
		if (!strcmp(s, op_names[i]))
			return i;
	return -1;
}

static uint64_t parse_size(const char *s, char **end)
{
	uint64_t n = strtoull(s, end, 0);

	switch (tolower(**end)) {
	case 'g':
		n <<= 10;
		/* fall through */
	case 'm':
		n <<= 10;
		/* fall through */
	case 'k':
		n <<= 10;
		++*end;
	}
	return n;
}

static bool parse_range(const char *s, struct rule *r)
{
	char *end;

	r->from = parse_size(s, &end);
	if (*end != '-')
		return false;
	r->to = parse_size(end + 1, &end);
	return !*end && r->from < r->to;
}

static bool parse_condition(char *word, struct rule *r)
{
	char *value = strchr(word, '=');

	if (!value || !value[1])
		return false;
	*value++ = '\0';
	if (!strcmp(word, "file") && strlen(value) < sizeof(r->file))
		strcpy(r->file, value);
	else if (!strcmp(word, "at"))
		return parse_range(value, r);
	else if (!strcmp(word, "byte"))
		r->byte = *value;
	else if (!strcmp(word, "times"))
		r->times = strtoul(value, NULL, 0);
	else if (!strcmp(word, "after"))
		r->after = strtoul(value, NULL, 0);
	else if (!strcmp(word, "chance"))
		r->chance = atoi(value);
	else
		return false;
	return true;
}

static bool parse_action(const char *word, char **rest, struct rule *r)
{
	static const char *const names[] = {"hold", "delay", "fail", "short"};
	const char *value;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(word, names[i]))
			continue;
		r->action = i;
		if (i == HOLD)
			return true;
		value = strtok_r(NULL, " ", rest);
		if (!value)
			return false;
		r->value = i == FAIL ? parse_errno(value) : atol(value);
		return r->value > 0;
	}
	return false;
}

static int add_rule(char *word, char **rest)
{
	struct rule new = {.byte = -1, .chance = 100, .times = -1}, *r, **at = &rules;
	int op;

	if (!parse_action(word, rest, &new))
		return -EINVAL;
	word = strtok_r(NULL, " ", rest);
	op = word ? parse_op(word) : -1;
	if (op < 0)
		return -EINVAL;
	new.op = op;
	while ((word = strtok_r(NULL, " ", rest)))
		if (!parse_condition(word, &new))
			return -EINVAL;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = new;
	while (*at)
		at = &(*at)->next;
	*at = r;
	return 0;
}

static void release(void)
{
	let_go = next_ticket;
	pthread_cond_broadcast(&released);
}

static void clear(void)
{
	while (rules) {
		struct rule *r = rules;

		rules = r->next;
		free(r);
	}
	release();
}

static void zero(void)
{
	memset(requests, 0, sizeof(requests));
	faults = 0;
}

static int command(char *line)
{
	static const struct {
		const char *word;
		void (*run)(void);
	} plain[] = {{"release", release}, {"clear", clear}, {"zero", zero}};
	char *rest, *word = strtok_r(line, " ", &rest);

	if (!word)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!strcmp(word, plain[i].word)) {
			plain[i].run();
			return 0;
		}
	if (!strcmp(word, "log"))
		return log_start(strtok_r(NULL, " ", &rest));
	return add_rule(word, &rest);
}

static int ctl_write(const char *buf, size_t size)
{
	char *text = strndup(buf, size), *rest, *line;
	int ret = 0;

	if (!text)
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	for (line = strtok_r(text, "\n", &rest); line && !ret; line = strtok_r(NULL, "\n", &rest))
		ret = command(line);
	pthread_mutex_unlock(&lock);
	free(text);
	return ret ? ret : (int)size;
}

static int ctl_read(char *buf, size_t size, off_t off)
{
	char text[512];
	int n = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < OP_ANY; i++)
		n += sprintf(text + n, "%s %lu\n", op_names[i], requests[i]);
	n += sprintf(text + n, "held %lu\nfaults %lu\nlogged %lu\n", held, faults, wal.entries);
	pthread_mutex_unlock(&lock);
	if (off >= n)
		return 0;
	if (size > (size_t)(n - off))
		size = n - off;
	memcpy(buf, text + off, size);
	return size;
}

/* ==== the directory below ==== */

/* An open file; libfuse does not tell paths of open files, which may be unlinked. */
struct file {
	int fd; /* -1: ctl */
	char name[NAME_MAX + 1];
};

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

static const char *last_part(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* path as seen from `below` */
static const char *rel(const char *path)
{
	return path[1] ? path + 1 : ".";
}

/* for the calls that know only absolute paths */
static const char *proc_path(const char *path, char buf[static PATH_MAX])
{
	snprintf(buf, PATH_MAX, "/proc/self/fd/%d/%s", below, rel(path));
	return buf;
}

static int result(int ret)
{
	return ret == -1 ? -errno : ret;
}

/* Without a range: of PATH, or of what is open where there is no path. */
static int suffer_unranged(enum op op, const char *path, struct fuse_file_info *fi)
{
	struct request q = {.op = op, .name = fi ? file_of(fi)->name : last_part(path)};

	return suffer(&q);
}

static int suffer_meta(const char *path)
{
	return suffer_unranged(OP_META, path, NULL);
}

static int st_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	int ret;

	if (fi ? file_of(fi)->fd < 0 : !strcmp(path, CTL)) {
		*st = (struct stat){.st_mode = S_IFREG | 0600, .st_nlink = 1};
		return 0;
	}
	ret = suffer_unranged(OP_STAT, path, fi);
	if (ret < 0)
		return ret;
	if (fi)
		return result(fstat(file_of(fi)->fd, st));
	return result(fstatat(below, rel(path), st, AT_SYMLINK_NOFOLLOW));
}

/* Of what is open libfuse tells no path. */
struct listing {
	DIR *dir;
	bool is_root;
};

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static int st_opendir(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(below, rel(path), O_RDONLY | O_DIRECTORY);
	struct listing *l = malloc(sizeof(*l));

	if (fd < 0 || !l)
		return -errno;
	*l = (struct listing){fdopendir(fd), !path[1]};
	fi->fh = (uintptr_t)l;
	return l->dir ? 0 : -errno;
}

static int st_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct listing *l = listing_of(fi);
	struct dirent *e;

	(void)path, (void)off, (void)flags;
	rewinddir(l->dir);
	while ((e = readdir(l->dir)))
		fill(buf, e->d_name, NULL, 0, 0);
	if (l->is_root)
		fill(buf, CTL + 1, NULL, 0, 0);
	return 0;
}

static int st_releasedir(const char *path, struct fuse_file_info *fi)
{
	struct listing *l = listing_of(fi);

	(void)path;
	closedir(l->dir);
	free(l);
	return 0;
}

static int st_readlink(const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(below, rel(path), buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static int st_mknod(const char *path, mode_t mode, dev_t dev)
{
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(mknodat(below, rel(path), mode, dev));
}

static int st_mkdir(const char *path, mode_t mode)
{
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(mkdirat(below, rel(path), mode));
}

static int st_symlink(const char *target, const char *path)
{
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(symlinkat(target, below, rel(path)));
}

static int st_link(const char *from, const char *to)
{
	int ret = suffer_meta(to);

	if (ret < 0)
		return ret;
	return result(linkat(below, rel(from), below, rel(to), 0));
}

static int st_unlink(const char *path)
{
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(unlinkat(below, rel(path), 0));
}

static int st_rmdir(const char *path)
{
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(unlinkat(below, rel(path), AT_REMOVEDIR));
}

static int st_rename(const char *from, const char *to, unsigned int flags)
{
	int ret = suffer_meta(to);

	if (ret < 0)
		return ret;
	return result(renameat2(below, rel(from), below, rel(to), flags));
}

static int st_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int ret = suffer_unranged(OP_META, path, fi);

	if (ret < 0)
		return ret;
	return result(fi ? fchmod(file_of(fi)->fd, mode) : fchmodat(below, rel(path), mode, 0));
}

static int st_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	int ret = suffer_unranged(OP_META, path, fi);

	if (ret < 0)
		return ret;
	if (fi)
		return result(fchown(file_of(fi)->fd, uid, gid));
	return result(fchownat(below, rel(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int st_utimens(const char *path, const struct timespec tv[2], struct fuse_file_info *fi)
{
	int ret = suffer_unranged(OP_META, path, fi);

	if (ret < 0)
		return ret;
	if (fi)
		return result(futimens(file_of(fi)->fd, tv));
	return result(utimensat(below, rel(path), tv, AT_SYMLINK_NOFOLLOW));
}

static int st_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return result(fstatvfs(below, st));
}

static int st_setxattr(const char *path, const char *name, const char *value, size_t size,
		       int flags)
{
	char buf[PATH_MAX];
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(lsetxattr(proc_path(path, buf), name, value, size, flags));
}

static int st_getxattr(const char *path, const char *name, char *value, size_t size)
{
	char buf[PATH_MAX];
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(lgetxattr(proc_path(path, buf), name, value, size));
}

static int st_listxattr(const char *path, char *list, size_t size)
{
	char buf[PATH_MAX];
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(llistxattr(proc_path(path, buf), list, size));
}

static int st_removexattr(const char *path, const char *name)
{
	char buf[PATH_MAX];
	int ret = suffer_meta(path);

	if (ret < 0)
		return ret;
	return result(lremovexattr(proc_path(path, buf), name));
}

/* ==== open files: where faults happen ==== */

static int open_file(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
	struct request q = {.op = OP_OPEN, .name = last_part(path)};
	bool ctl = !strcmp(path, CTL);
	ssize_t ret = ctl ? 0 : suffer(&q);
	struct file *f;

	if (ret < 0)
		return ret;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	strcpy(f->name, q.name);
	f->fd = -1;
	if (!ctl) {
		/* memory knows no direct I/O; appending is the business of the kernel above */
		f->fd = openat(below, rel(path), flags & ~(O_DIRECT | O_APPEND), mode);
		if (f->fd < 0) {
			free(f);
			return -errno;
		}
	}
	fi->fh = (uintptr_t)f;
	fi->direct_io = 1;
	return 0;
}

static int st_open(const char *path, struct fuse_file_info *fi)
{
	return open_file(path, fi->flags, 0, fi);
}

static int st_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return open_file(path, fi->flags | O_CREAT, mode, fi);
}

static int st_release(const char *path, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);

	(void)path;
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	return 0;
}

static int st_read(const char *path, char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct request q = {OP_READ, f->name, off, off + size, NULL};
	ssize_t len;

	(void)path;
	if (f->fd < 0)
		return ctl_read(buf, size, off);
	len = suffer(&q);
	return len < 0 ? len : result(pread(f->fd, buf, len, off));
}

static int st_write(const char *path, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct request q = {OP_WRITE, f->name, off, off + size, buf};
	bool logged;
	ssize_t len;

	(void)path;
	if (f->fd < 0)
		return ctl_write(buf, size);
	len = suffer(&q);
	if (len < 0)
		return len;
	logged = log_begin(f->name);
	len = result(pwrite(f->fd, buf, len, off));
	return log_end(logged, len, LOG_WRITE, off, len, buf);
}

static int st_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct request q = {.op = OP_FSYNC, .name = f->name};

	(void)path, (void)datasync; /* memory is as stable as it gets */
	if (f->fd < 0)
		return 0;
	return log_end(log_begin(f->name), suffer(&q), LOG_FLUSH, 0, 0, NULL);
}

static int st_fallocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	struct request q = {OP_FALLOCATE, f->name, off, off + len, NULL};
	ssize_t ret = suffer(&q);
	bool logged;

	(void)path;
	if (ret < 0)
		return ret;
	logged = log_begin(f->name);
	ret = result(fallocate(f->fd, mode, off, len));
	return log_end(logged, ret, LOG_ZERO, off, mode & ~FALLOC_FL_KEEP_SIZE ? len : 0, NULL);
}

static int st_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	struct request q = {OP_TRUNCATE, fi ? file_of(fi)->name : last_part(path), size, INT64_MAX,
			    NULL};
	char buf[PATH_MAX];
	ssize_t ret;

	if (fi ? file_of(fi)->fd < 0 : !strcmp(path, CTL)) /* the shell's `>` */
		return 0;
	ret = suffer(&q);
	if (ret < 0)
		return ret;
	return result(fi ? ftruncate(file_of(fi)->fd, size) : truncate(proc_path(path, buf), size));
}

static off_t st_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t ret = lseek(file_of(fi)->fd, off, whence);

	(void)path;
	return ret < 0 ? -errno : ret;
}

static void *st_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	/* an unlinked file stays usable through its handle */
	cfg->hard_remove = 1;
	cfg->nullpath_ok = 1;
	/* DIRECTORY may be changed from below */
	cfg->attr_timeout = 0;
	cfg->entry_timeout = 0;
	cfg->negative_timeout = 0;
	/* the default of 12 requests would make held ones stand in the way of others */
	conn->max_background = 512;
	conn->congestion_threshold = 512;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = st_init,
	.getattr = st_getattr,
	.opendir = st_opendir,
	.readdir = st_readdir,
	.releasedir = st_releasedir,
	.readlink = st_readlink,
	.mknod = st_mknod,
	.mkdir = st_mkdir,
	.symlink = st_symlink,
	.link = st_link,
	.unlink = st_unlink,
	.rmdir = st_rmdir,
	.rename = st_rename,
	.chmod = st_chmod,
	.chown = st_chown,
	.utimens = st_utimens,
	.statfs = st_statfs,
	.setxattr = st_setxattr,
	.getxattr = st_getxattr,
	.listxattr = st_listxattr,
	.removexattr = st_removexattr,
	.open = st_open,
	.create = st_create,
	.release = st_release,
	.read = st_read,
	.write = st_write,
	.fsync = st_fsync,
	.fallocate = st_fallocate,
	.truncate = st_truncate,
	.lseek = st_lseek,
};

int main(int argc, char **argv)
{
	/* one thread a request, so that none is left waiting behind those that are held */
	char options[] = "-omax_threads=600,max_idle_threads=600,allow_other,default_permissions,"
			 "fsname=store,subtype=store";

	if (argc != 3) {
		fprintf(stderr, "usage: store DIRECTORY MOUNTPOINT\n");
		return 2;
	}
	below = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (below < 0) {
		perror(argv[1]);
		return 1;
	}
	umask(0);
	return fuse_main(3, ((char *[]){argv[0], argv[2], options, NULL}), &operations, NULL);
}
