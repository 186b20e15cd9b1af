# SPDX-License-Identifier: Apache-2.0
"""Which system calls a command may make: tables, with the effect of Docker's default profile.

Filters are stacked, and the kernel takes the strictest answer (seccomp(2)): the first says which
calls exist at all, the others refuse some arguments of calls that do. libseccomp has no "unequal
under a mask", and the kernel looks at 32 bits of an ioctl's number only, so that one filter alone
would let a number with a high bit set pass (CVE-2019-10063).

What is unknown answers ENOSYS, so that a libc falls back on an older call; what is known and
refused answers EPERM. Raise ``seccomp.VERSION`` with every change of these tables.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from envgit.sandbox import capabilities, syscalls


class Rule(NamedTuple):
    """The call ``name`` fails with ``error`` (0: is allowed).

    With ``mask``, only if its argument number ``argument``, masked, is ``value``.
    """

    error: int
    name: str
    argument: int = 0
    mask: int = 0
    value: int = 0


_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd
    getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    ioctl lchown lchown32 lgetxattr link linkat listmount listxattr llistxattr _llseek lremovexattr
    lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open
    openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
    readdir readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile
    sendfile64 setxattr splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range sync_file_range2 arm_sync_file_range arm_fadvise64_64 syncfs tee truncate
    truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
    getxattrat setxattrat listxattrat removexattrat
"""
_EVENTS = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6
    pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64
    timerfd_settime timerfd_settime64
"""
_MEMORY = """
    brk cachestat get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret
    mincore mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mremap mseal msync munlock
    munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages set_thread_area set_tls
    cacheflush process_mrelease
"""
_PROCESSES = """
    alarm arch_prctl breakpoint capget capset clone execve execveat exit exit_group fork futex
    futex_requeue futex_time64 futex_wait futex_waitv futex_wake getcpu getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid
    getpriority getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage
    getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self nanosleep pause pidfd_open pidfd_send_signal
    prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall riscv_hwprobe rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid
    set_tid_address setuid setuid32 sigaltstack sigaction signal sigpending sigprocmask sigreturn
    sigsuspend tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid waitpid
"""
_TIME_AND_SYSTEM = """
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getrandom gettimeofday lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr sysinfo time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 uname
"""
_TALKING = """
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl
    semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl
    shmdt shmget shutdown socket socketcall socketpair
"""
_ALWAYS = _FILES + _EVENTS + _MEMORY + _PROCESSES + _TIME_AND_SYSTEM + _TALKING

_WITH = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYS_ADMIN": """
        bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr
        move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "SYS_TTY_CONFIG": "vhangup",
    "SYSLOG": "syslog",
}
"""Calls the kernel refuses without the capability anyhow; not even its code is reached then."""

# keyctl and friends: the keyrings of uid 0 are the host's, not a namespace's. userfaultfd and
# io_uring: among the most used ways to exploit a kernel bug, left out by Docker too.
_NEVER = """
    add_key keyctl request_key userfaultfd io_uring_setup io_uring_enter io_uring_register
    create_module get_kernel_syms query_module kexec_file_load kexec_load migrate_pages move_pages
    nfsservctl _sysctl swapoff swapon sysfs uselib ustat vm86 vm86old bdflush pciconfig_iobase
    pciconfig_read pciconfig_write
"""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, UNAME26, LINUX32, both, query
_NEW_NAMESPACES = (
    syscalls.CLONE_NEWNS,
    syscalls.CLONE_NEWCGROUP,
    syscalls.CLONE_NEWUTS,
    syscalls.CLONE_NEWIPC,
    syscalls.CLONE_NEWUSER,
    syscalls.CLONE_NEWPID,
    syscalls.CLONE_NEWNET,
)
_TIOCSTI = (
    0x5412  # types on the terminal as if the user had: on one shared with the host, a way out
)
_TIOCLINUX = 0x541C  # pastes on a text console, with the same effect
_AF_VSOCK = 40  # reaches the hypervisor past every network namespace
_LOW = 0xFFFFFFFF


def build(granted: int) -> tuple[bytes, ...]:
    """The programs. Raises ``ImportError`` without libseccomp."""
    exists = syscalls.compile_seccomp(
        errno.ENOSYS, [*_allowed(granted), *_refused(granted), *_conditional()]
    )
    if granted >> capabilities.NUMBERS["SYS_ADMIN"] & 1:
        namespaces: list[Rule] = []
    else:
        namespaces = [Rule(errno.EPERM, "clone", 0, flag, flag) for flag in _NEW_NAMESPACES]
    arguments = syscalls.compile_seccomp(
        0,
        [
            Rule(errno.EPERM, "ioctl", 1, _LOW, _TIOCSTI),
            Rule(errno.EPERM, "ioctl", 1, _LOW, _TIOCLINUX),
            *namespaces,
        ],
    )
    # On 32-bit x86 libseccomp would turn this into "no socketcall(SYS_SOCKET)": its arguments are
    # in memory, where a filter cannot look.
    vsock = [Rule(errno.EPERM, "socket", 0, _LOW, _AF_VSOCK)]
    return exists, arguments, syscalls.compile_seccomp(0, vsock, native=True)


def _allowed(granted: int) -> list[Rule]:
    names = set(_ALWAYS.split())
    for capability, more in _WITH.items():
        if granted >> capabilities.NUMBERS[capability] & 1:
            names |= set(more.split())
    return [Rule(0, name) for name in sorted(names)]


def _refused(granted: int) -> list[Rule]:
    allowed = {rule.name for rule in _allowed(granted)}
    names = set(_NEVER.split()).union(*(more.split() for more in _WITH.values())) - allowed
    # A filter cannot look into clone3's argument, which is in memory. It is left to the default,
    # ENOSYS, for glibc and Go fall back on clone when it does not exist.
    return [Rule(errno.EPERM, name) for name in sorted(names - {"clone3"})]


def _conditional() -> list[Rule]:
    return [Rule(0, "personality", 0, _LOW, value) for value in _PERSONALITIES]
