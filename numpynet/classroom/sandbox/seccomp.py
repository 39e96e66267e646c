"""The system calls that a student's code may make: reading, memory, clocks; nothing that creates, connects or signals.

A filter of the kernel, in classic BPF. Everything that is not listed fails with "operation not permitted": no process, no
thread, no socket, no file that is written, created, removed or renamed, no signal, no tracing, no namespace. It needs
no privilege. Numbers are known for x86-64 alone; elsewhere there is no filter, and the records say so.

This file is run by the child, so it imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import platform
import struct

AUDIT_ARCH_X86_64 = 0xC000003E
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, DENY = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO | EPERM
WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, __O_TMPFILE

# fmt: off
ALLOWED = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19,
    "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28,
    "dup": 32, "dup2": 33, "pause": 34, "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39,
    "exit": 60, "uname": 63, "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97,
    "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
    "getppid": 110, "rt_sigpending": 127, "sigaltstack": 131, "arch_prctl": 158, "gettid": 186, "time": 201, "futex": 202,
    "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
    "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "get_robust_list": 274, "dup3": 292, "pipe2": 293,
    "preadv": 295, "getcpu": 309, "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334, "faccessat2": 439,
}
# fmt: on
OPEN, OPENAT = 2, 257  # allowed for reading
FCNTL = 72  # allowed for duplicating and flags; not for F_SETOWN, which can have signals sent to others
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06


def program(*, files: bool) -> bytes:
    """Return the filter, ready for the kernel.

    Parameters
    ----------
    files : whether files may be opened for reading

    Returns
    -------
    Instructions of 8 bytes each.
    """

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_true, if_false, value)

    lines = [
        step(_LOAD, 4),  # the architecture
        step(_JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        step(_RETURN, DENY),
        step(_LOAD, 0),  # the number of the call
        step(_JUMP_GREATER_EQUAL, 0x40000000, 0, 1),  # the x32 numbers of the same calls
        step(_RETURN, DENY),
    ]
    for number, argument in ((OPEN, 1), (OPENAT, 2)) if files else ():
        lines += [
            step(_JUMP_EQUAL, number, 0, 4),
            step(_LOAD, 16 + 8 * argument),  # the flags, low half
            step(_JUMP_SET, WRITING, 0, 1),
            step(_RETURN, DENY),
            step(_RETURN, ALLOW),
        ]
    lines += [step(_JUMP_EQUAL, FCNTL, 0, 2 + 2 * len(FCNTL_COMMANDS)), step(_LOAD, 16 + 8)]
    for command in FCNTL_COMMANDS:
        lines += [step(_JUMP_EQUAL, command, 0, 1), step(_RETURN, ALLOW)]
    lines += [step(_RETURN, DENY)]
    for number in sorted(ALLOWED.values()):
        lines += [step(_JUMP_EQUAL, number, 0, 1), step(_RETURN, ALLOW)]
    return b"".join([*lines, step(_RETURN, DENY)])


def install(*, files: bool) -> bool:
    """Put the filter on this process, for good; False where that is not possible.

    Parameters
    ----------
    files : whether files may be opened for reading

    Returns
    -------
    True where the filter is on.
    """
    if platform.machine() != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program(files=files))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    filter_ = Filter((len(code) - 1) // 8, ctypes.addressof(code))
    return libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0) == 0
