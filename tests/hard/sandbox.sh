#!/bin/bash
# What a worker may do once it serves, tried out inside it (tests/tools/probe.c), is what is listed here
# and nothing else: every system call, those whose arguments decide, everything that its rings can be
# asked for, its capabilities, its network. The status says what is in force.
. "${0%/*}/lib.sh"

# exit, exit_group and rt_sigreturn end the one who tries.
CALLS="brk cachestat chmod clock_gettime clock_nanosleep close connect copy_file_range dup dup2 dup3
	eventfd2 exit exit_group fadvise64 fallocate fchmod fchmodat fchownat fcntl fdatasync fgetxattr
	fstat fstatfs fsync ftruncate futex getdents64 getpid getrandom
	gettid gettimeofday getxattr io_uring_enter io_uring_register ioprio_set linkat listxattr lseek madvise mkdirat
	mknodat mmap mprotect mremap munmap name_to_handle_at nanosleep newfstatat open_by_handle_at openat
	openat2 pipe2 poll ppoll pread64 pwrite64 read readlink readlinkat readv recvmsg removexattr renameat
	renameat2 restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity
	sched_setaffinity sched_yield sendmsg sendto set_robust_list setfsgid setfsuid setpriority setxattr
	sigaltstack statfs statx symlinkat sync_file_range tgkill umask umount2 uname unlinkat utimensat
	write writev"
ARGUMENTS="socket-unix unshare-fs ioctl-getflags prctl-name"
# IORING_OP_*: FSYNC READ_FIXED WRITE_FIXED POLL_ADD SYNC_FILE_RANGE TIMEOUT FALLOCATE READ WRITE FADVISE
OPERATIONS="3 4 5 6 8 11 17 22 23 24"
# IORING_REGISTER_*: FILES_UPDATE ENABLE_RINGS RING_FDS
REGISTRATIONS="6 12 20"
# IOSQE_*: FIXED_FILE ASYNC
FLAGS="0 4"
# all that fuse/sandbox.c keeps: of chown, dac_override, dac_read_search, fowner, fsetid, setgid, setuid,
# linux_immutable, ipc_lock, sys_admin, sys_nice, mknod, setfcap
CAPABILITIES=0000000088a042df

pool xfs
export PROBE=$TMP/probe
BOUNCEFS=$TMP/bouncefs-probed
printf '#!/bin/sh\nLD_PRELOAD=%s exec "%s" "$@"\n' "$TOOLS/libprobe.so" "$BUILD/bouncefs" >"$BOUNCEFS"
chmod +x "$BOUNCEFS"

# probed LINE: what the probe found
probed() { sed -n "s/^$1 *//p" "$PROBE"; }
ended() { grep -q '^end' "$PROBE"; }
sorted() { tr -s ' \t\n' '\n' | sort | sed '/^$/d' | paste -sd ' '; }

bounce "$POOL" "$MNT"
within 20 ended
is "system calls" "$(probed calls | sorted)" "$(sorted <<<"$CALLS")"
is "decided by arguments" "$(probed arguments)" "$ARGUMENTS"
is "ring operations" "$(probed operations)" "$OPERATIONS"
is "ring registrations" "$(probed registrations)" "$REGISTRATIONS"
is "flags of ring operations" "$(probed flags)" "$FLAGS"
note "$(probed calls | wc -w) system calls, $(probed operations | wc -w) ring operations, and no others"

w=$(worker)
own() { awk -v k="$1:" '$1 == k { print $2 }' "/proc/$w/status"; }
for set in CapEff CapPrm CapBnd; do
	is "$set beyond the needed" $((0x$(own $set) & ~0x$CAPABILITIES)) 0
done
is "ambient capabilities" $((0x$(own CapAmb) | 0x$(own CapInh))) 0
is "no new privileges" "$(own NoNewPrivs)" 1
is "seccomp" "$(own Seccomp)" 2
is "core dumps" "$(awk '/^Max core/ { print $5, $6 }' "/proc/$w/limits")" "0 0"
[ "$(readlink "/proc/$w/ns/net")" != "$(readlink /proc/self/ns/net)" ] || die "it has a network"
is "network devices" "$(awk -F: 'NR > 2 { print $1 }' "/proc/$w/net/dev" | sorted)" lo

said() { "$BUILD/bouncectl" status "$MNT" --json | grep -o '"sandbox": *"[^"]*"' | cut -d'"' -f4; }
is "status" "$(said)" "no-core-dumps,network,capabilities,seccomp"
unbounce "$MNT"

note "sandbox=none"
rm "$PROBE"
bounce "$POOL" "$MNT" sandbox=none
within 20 ended
is "seccomp" "$(w=$(worker) && own Seccomp)" 0
is "status" "$(said)" none
# the probe can tell the difference; rings are restricted all the same
is "system calls" "$(probed calls)" all
like "decided by arguments" "$(probed arguments)" "*socket-inet*"
is "ring operations" "$(probed operations)" "$OPERATIONS"
unbounce "$MNT"

note "over rings, commands to drivers and nothing else"
rm "$PROBE"
rings Y
bounce "$POOL" "$MNT" transport=io_uring
within 20 ended
is "system calls" "$(probed calls | sorted)" "$(sorted <<<"$CALLS")"
is "ring operations" "$(probed operations)" "$OPERATIONS 46"
