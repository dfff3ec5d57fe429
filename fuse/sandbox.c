// SPDX-License-Identifier: GPL-2.0-or-later
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "abi.h"
#include "policy/log.h"
#include "policy/util.h"

static char in_force[128];

static void note(const char *what, int error)
{
	size_t n = strlen(in_force);

	if (error)
		log_warn("sandbox: %s: %s", what, strerror(error));
	else
		snprintf(in_force + n, sizeof(in_force) - n, "%s%s", n ? "," : "", what);
}

const char *sandbox_in_force(void)
{
	return *in_force ? in_force : "none";
}

/* ===== capabilities ===== */

/* Files are made, changed and removed for any user, by handle; trusted.* attributes and umount(2)
 * take CAP_SYS_ADMIN, whose rest the system call filter takes away. */
static const unsigned kept_capabilities[] = {
	CAP_CHOWN,    CAP_DAC_OVERRIDE,	   CAP_DAC_READ_SEARCH, CAP_FOWNER,  CAP_FSETID,
	CAP_IPC_LOCK, CAP_LINUX_IMMUTABLE, CAP_MKNOD,		CAP_SETFCAP, CAP_SETGID,
	CAP_SETUID,   CAP_SYS_ADMIN,	   CAP_SYS_NICE,
};

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < ARRAY_SIZE(kept_capabilities); i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			     kept_capabilities[i]);
	/* The bounding set first: that takes a capability which is among those that go. */
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0 && errno != EPERM)
		return errno;
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? EPERM : 0;
}

/* ===== system calls ===== */

/* Every thread of ours, libfuse's and libc's needs no others. */
static const int allowed[] = {
	/* memory, threads, time, signals */
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(setpriority),
	SCMP_SYS(ioprio_set),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getrandom),
	SCMP_SYS(uname),
	SCMP_SYS(sigaltstack),
	/* descriptors and waiting */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(lseek),
	SCMP_SYS(pipe2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(eventfd2),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	/* the keeper, the journal, syslog */
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(connect),
	/* files */
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(getdents64),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),
	SCMP_SYS(symlinkat),
	SCMP_SYS(linkat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchownat),
	SCMP_SYS(utimensat),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fadvise64),
	451, /* cachestat: not in every libseccomp */
	SCMP_SYS(sync_file_range),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(setxattr),
	SCMP_SYS(getxattr),
	SCMP_SYS(listxattr),
	SCMP_SYS(removexattr),
	SCMP_SYS(fgetxattr),
	SCMP_SYS(umask),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(umount2),
};

static const unsigned long allowed_ioctls[] = {
	FICLONERANGE,
	FS_IOC_GETFLAGS,
	FS_IOC_SETFLAGS,
	FS_IOC_FSGETXATTR,
	FS_IOC_FSSETXATTR,
	FS_IOC_ENABLE_VERITY,
	FS_IOC_MEASURE_VERITY,
	BTRFS_IOC_SPACE_INFO,
	FUSE_DEV_IOC_BACKING_OPEN,
	FUSE_DEV_IOC_BACKING_CLOSE,
};

#define NAMESPACES                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)

static int add_rules(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && rc == 0; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(allowed_ioctls) && rc == 0; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_EQ, allowed_ioctls[i]));
	/* Threads, and no namespaces, in whose first one would have all capabilities again. clone3
	 * hides its flags: libc then takes clone. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				      SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				      SCMP_A0(SCMP_CMP_EQ, 1 /* AF_UNIX */));
	/* A metadata thread takes an umask of its own. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unshare), 1,
				      SCMP_A0(SCMP_CMP_EQ, CLONE_FS));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				      SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	if (rc == 0) /* the file of their findings */
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 0);
#endif
	return rc;
}

/* Also sets no_new_privs. What is not allowed fails with EPERM. */
static int filter_system_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (!filter)
		return ENOMEM;
	rc = add_rules(filter);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return -rc;
}

/* ===== the rest ===== */

static int leave_network(void)
{
	return unshare(CLONE_NEWNET) < 0 ? errno : 0;
}

static int forbid_core_dumps(void)
{
	return setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0 ? errno : 0;
}

void sandbox_enter(void)
{
	note("no-core-dumps", forbid_core_dumps());
	note("network", leave_network());
	note("capabilities", drop_capabilities());
	note("seccomp", filter_system_calls());
}
