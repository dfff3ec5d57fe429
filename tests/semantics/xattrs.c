// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes, and POSIX ACLs, which arrive as such. */
#include "compare.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

static char value[70000], back[70000];

/* Users need not know of trusted.*: ext4 and XFS hide it from them, and so does the mount; Btrfs
 * does not. */
static bool is_hidden(const char *name)
{
	return caller != 0 && !strncmp(name, "trusted.", 8);
}

static void list(const char *path)
{
	char names[8192];
	ssize_t n = llistxattr(path, names, sizeof(names));

	note("list of %s: %s", path, n < 0 ? strerrorname_np(errno) : "");
	EXPECT(llistxattr(path, NULL, 0) == n);
	if (n > 0)
		TRY(llistxattr(path, names, 1));
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		if (!is_hidden(name))
			note("%s has %s", path, name);
		else
			EXPECT(!through);
	}
}

BEHAVIOUR(xattr_flags_and_sizes)
{
	static const char *const names[] = {"plain", "disk.img", "d"};

	close(make_file("plain", 10));
	close(make_file("disk.img", 10));
	MUST(mkdir("d", 0755));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *f = names[i];
		int fd = MUST(open(f, O_RDONLY));

		list(f);
		TRY(setxattr(f, "user.a", "12345", 5, XATTR_REPLACE));
		TRY(setxattr(f, "user.a", "12345", 5, XATTR_CREATE));
		TRY(setxattr(f, "user.a", "1234", 4, XATTR_CREATE));
		TRY(setxattr(f, "user.a", "123456", 6, XATTR_REPLACE));
		TRY(setxattr(f, "user.a", "1", 1, XATTR_CREATE | XATTR_REPLACE));
		TRY(setxattr(f, "user.a", "1", 1, 8));
		TRY(setxattr(f, "user.empty", "", 0, 0));
		TRY(setxattr(f, "user.binary", "\0\xff\n", 3, 0));
		TRY(getxattr(f, "user.a", NULL, 0));
		TRY(getxattr(f, "user.a", back, 5));
		TRY(getxattr(f, "user.a", back, 6));
		EXPECT(!memcmp(back, "123456", 6));
		TRY(getxattr(f, "user.empty", back, 10));
		TRY(getxattr(f, "user.empty", NULL, 0));
		TRY(fgetxattr(fd, "user.binary", back, 10));
		EXPECT(!memcmp(back, "\0\xff\n", 3));
		TRY(getxattr(f, "user.absent", back, 10));
		TRY(fsetxattr(fd, "user.b", "by descriptor", 13, 0));
		list(f);
		TRY(fremovexattr(fd, "user.b"));
		TRY(removexattr(f, "user.b"));
		TRY(removexattr(f, "user.a"));
		list(f);
	}
	TRY(setxattr("absent", "user.a", "1", 1, 0));
	TRY(getxattr("absent", "user.a", back, 1));
	TRY(listxattr("absent", back, 1));
}

BEHAVIOUR(xattr_names_and_values_up_to_their_limits)
{
	static const size_t sizes[] = {1, 100, 1000, 3000, 3900, 4096, 16384, 60000, 65536, 65537};
	char name[300] = "user.";

	close(make_file("f", 10));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill(value, sizes[i], i);
		note("value of %zu bytes", sizes[i]);
		if (TRY(setxattr("f", "user.v", value, sizes[i], 0)) < 0)
			continue;
		TRY(getxattr("f", "user.v", NULL, 0));
		TRY(getxattr("f", "user.v", back, sizes[i] - 1));
		TRY(getxattr("f", "user.v", back, sizeof(back)));
		EXPECT(!memcmp(value, back, sizes[i]));
	}
	for (size_t len = 253; len <= 257; len++) {
		memset(name + 5, 'n', len - 5);
		name[len] = '\0';
		note("name of %zu bytes", len);
		TRY(setxattr("f", name, "1", 1, 0));
		TRY(getxattr("f", name, back, 1));
		TRY(removexattr("f", name));
	}
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.number-%d", i);
		TRY(setxattr("f", name, name, strlen(name), 0));
	}
	list("f");
}

static void xattrs_of_root(void)
{
	close(make_file("foreign", 10));
	MUST(setxattr("foreign", "user.a", "1", 1, 0));
	MUST(setxattr("foreign", "trusted.a", "1", 1, 0));
	MUST(mkdir("sticky", 01777));
	MUST(chmod("sticky", 01777));
	close(make_file("secret", 10));
	MUST(setxattr("secret", "user.a", "1", 1, 0));
	MUST(chmod("secret", 0600));
}

BEHAVIOUR_AFTER(xattrs_of_root, xattr_namespaces)
{
	static const char *const names[] = {"user.x",	  "trusted.x", "security.x", "system.x",
					    "nonsense.x", "user.",     "plain",	     ""};
	static const char *const paths[] = {"f",       "readonly", "link",  "fifo",
					    "foreign", "secret",   "sticky"};

	close(make_file("f", 10));
	close(make_file("readonly", 10));
	MUST(chmod("readonly", 0444));
	MUST(symlink("f", "link"));
	MUST(mkfifo("fifo", 0644));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
			note("%s of %s", names[j], paths[i]);
			TRY(lsetxattr(paths[i], names[j], "value", 5, 0));
			TRY(lgetxattr(paths[i], names[j], back, 100));
		}
		TRY(lgetxattr(paths[i], "trusted.a", back, 100));
		TRY(lgetxattr(paths[i], "user.a", back, 100));
		TRY(lremovexattr(paths[i], "user.a"));
		list(paths[i]);
		for (size_t j = 0; j < ARRAY_SIZE(names); j++)
			TRY(lremovexattr(paths[i], names[j]));
	}
	TRY(setxattr("link", "user.followed", "1", 1, 0));
	list("f");
}

/* ---- ACLs, in the form that the xattrs have */

#define NAMED_USER 4711
#define NOBODY ACL_UNDEFINED_ID
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

struct acl {
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entries[6];
};

/* user::rwx, user:NAMED:named, group::r-x, group:SECOND:rw-, mask::mask, other::--- */
static struct acl make_acl(uid_t named_user, int named, int mask)
{
	return (struct acl){
		{POSIX_ACL_XATTR_VERSION},
		{{ACL_USER_OBJ, 7, NOBODY},
		 {ACL_USER, named, named_user},
		 {ACL_GROUP_OBJ, 5, NOBODY},
		 {ACL_GROUP, 6, SECOND_GROUP},
		 {ACL_MASK, mask, NOBODY},
		 {ACL_OTHER, 0, NOBODY}},
	};
}

static void show_acl(const char *path, const char *name)
{
	struct acl acl;
	ssize_t n = TRY(getxattr(path, name, &acl, sizeof(acl)));

	for (int i = 0; (size_t)n > sizeof(acl.header) && i < (int)ARRAY_SIZE(acl.entries) &&
			n >= (ssize_t)offsetof(struct acl, entries[i + 1]);
	     i++)
		note("%s %s: %#x %d for %d", path, name, acl.entries[i].e_tag,
		     acl.entries[i].e_perm, acl.entries[i].e_id);
}

BEHAVIOUR(access_acl_and_mode_belong_together)
{
	struct acl acl = make_acl(NAMED_USER, 7, 6);

	EACH_KIND (f) {
		close(make_file(f, 10));
		show_acl(f, ACCESS);
		TRY(setxattr(f, ACCESS, &acl, sizeof(acl), 0));
		show(f);
		show_acl(f, ACCESS);
		TRY(chmod(f, 0751));
		show(f);
		show_acl(f, ACCESS);
		list(f);
		TRY(setxattr(f, ACCESS, &acl, sizeof(acl) - 1, 0));
		TRY(setxattr(f, ACCESS, &acl, sizeof(acl) - sizeof(acl.entries[0]), 0));
		TRY(setxattr(f, DEFAULT, &acl, sizeof(acl), 0));
		TRY(removexattr(f, ACCESS));
		show(f);
		show_acl(f, ACCESS);
	}
	MUST(symlink("plain", "link"));
	TRY(lsetxattr("link", ACCESS, &acl, sizeof(acl), 0));
	TRY(lgetxattr("link", ACCESS, &acl, sizeof(acl)));
}

BEHAVIOUR(default_acl_replaces_the_umask)
{
	static const mode_t masks[] = {0, 027, 077};
	struct acl acl = make_acl(NAMED_USER, 6, 7), narrow = make_acl(NAMED_USER, 7, 4);

	MUST(mkdir("d", 0755));
	TRY(setxattr("d", DEFAULT, &acl, sizeof(acl), 0));
	show_acl("d", DEFAULT);
	show_acl("d", ACCESS);
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		static const char *const paths[] = {"d/f", "d/sub", "d/fifo", "d/sub/deep",
						    "d/tmp"};
		int fd;

		umask(masks[i]);
		MUST(close(OPEN(open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0664))));
		TRY(mkdir("d/sub", 0775));
		TRY(mkfifo("d/fifo", 0666));
		TRY(mknod("d/sub/deep", S_IFREG | 0640, 0));
		TRY(symlink("f", "d/link"));
		fd = MUST(OPEN(open("d", O_TMPFILE | O_RDWR, 0666)));
		TRY(linkat(fd, "", AT_FDCWD, "d/tmp", AT_EMPTY_PATH));
		show_fd(fd);
		close(fd);
		for (size_t j = 0; j < ARRAY_SIZE(paths); j++) {
			show(paths[j]);
			show_acl(paths[j], ACCESS);
			show_acl(paths[j], DEFAULT);
		}
		show("d/link");
		MUST(system("rm -rf d/*"));
	}
	TRY(setxattr("d", DEFAULT, &narrow, sizeof(narrow), 0));
	MUST(close(OPEN(open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0666))));
	show("d/f");
	show_acl("d/f", ACCESS);
	TRY(removexattr("d", DEFAULT));
	umask(027);
	MUST(close(OPEN(open("d/g", O_WRONLY | O_CREAT | O_EXCL, 0666))));
	show("d/g");
}

static const char *const guarded[] = {"may", "may-not", "masked", "by-group"};

static void acls_of_root(void)
{
	struct acl acls[] = {make_acl(caller, 6, 7), make_acl(caller, 0, 7), make_acl(caller, 6, 4),
			     make_acl(STRANGER, 0, 7)};

	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		close(make_file(guarded[i], 10));
		MUST(setxattr(guarded[i], ACCESS, &acls[i], sizeof(acls[i]), 0));
	}
	/* a listed group that the caller is not in, with S_ISGID */
	close(make_file("setgid", 10));
	MUST(chown("setgid", caller, STRANGER));
	MUST(chmod("setgid", 02755));
}

BEHAVIOUR_AFTER(acls_of_root, acls_decide_who_may)
{
	struct acl acl = make_acl(NAMED_USER, 7, 7);

	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		note("%s", guarded[i]);
		OPEN(open(guarded[i], O_RDONLY));
		OPEN(open(guarded[i], O_WRONLY));
		TRY(access(guarded[i], W_OK));
		TRY(access(guarded[i], X_OK));
		TRY(truncate(guarded[i], 5));
		TRY(setxattr(guarded[i], ACCESS, &acl, sizeof(acl), 0));
		TRY(removexattr(guarded[i], ACCESS));
		show(guarded[i]);
	}
	TRY(setxattr("setgid", ACCESS, &acl, sizeof(acl), 0));
	show("setgid");
}
