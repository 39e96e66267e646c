"""Closing the doors of a process that is about to run a stranger's code: whatever this system can close.

Nothing here fails loudly: each door says whether it is closed, and the list of those that are goes into every record.
Which of them a machine has: namespaces and another user want root, or a kernel that lets anyone make a user namespace;
Landlock (Linux 5.13) and seccomp (x86-64) want no privilege; limits are there on every POSIX system.

This file is run by the child, so it imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from typing import Any

NEW_NS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 1 << 17, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
NOBODY = 65534
# Numbers that no account has (systemd keeps them for services that come and go); one for each child at a time.
FIRST_USER, N_USERS = 61184, 4000

# Landlock: the numbers are the same on every architecture.
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


def is_linux() -> bool:
    """Whether there is any of this."""
    return sys.platform == "linux"


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    if is_linux():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def hide_memory() -> None:
    """Keep other processes of the same user from looking into this one, or taking hold of its open files."""
    if is_linux():
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def bound_memory(more: int = 1 << 32) -> None:
    """Keep this process from filling the machine's memory, whatever functions of it are asked to compute: 4 GiB more at most.

    It is for the grader: what a submission hands to a function that it judges may be small, and what comes of it huge.

    Parameters
    ----------
    more : bytes, beyond what is taken now
    """
    if is_linux():
        import resource

        with contextlib.suppress(OSError, ValueError):
            with open("/proc/self/statm") as file:
                now = int(file.read().split()[0]) * resource.getpagesize()
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            if hard == resource.RLIM_INFINITY or now + more < hard:
                resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))


def separate(
    hidden: Sequence[str], needed: Sequence[str], slot: int, leave_open: Sequence[str] = ()
) -> tuple[list[str], int]:
    """Enter namespaces of one's own and become nobody; return the doors that are closed, and a pid to wait for, or 0.

    A process id namespace holds only children of who makes it, so the process splits: the outer one gets the pid of the
    inner one and has nothing to do but wait for it; the inner one gets 0.

    Parameters
    ----------
    hidden : folders that are covered with empty ones
    needed : folders that nobody must be able to read: the standard library, NumPy
    slot : which of the free user numbers to take
    leave_open : doors that are not closed, to see what the others hold

    Returns
    -------
    doors, pid : names of the doors that are closed; in the inner process, and where there is none, 0
    """
    if not is_linux():
        return [], 0
    libc = ctypes.CDLL(None, use_errno=True)
    doors, inner = [], 0
    is_root, outside_user, outside_group = os.geteuid() == 0, os.geteuid(), os.getegid()
    own = NEW_NS | NEW_NET | NEW_PID | NEW_IPC | NEW_UTS
    separated = "namespaces" not in leave_open and libc.unshare(own if is_root else own | NEW_USER) == 0
    if separated:
        if not is_root:
            _map_user(outside_user, outside_group)
        inner = os.fork()
        if inner:
            return [], inner
        libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
        libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
        flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
        if is_root:
            _open_way(libc, needed)
        libc.mount(b"proc", b"/proc", b"proc", flags, None)
        covered = [
            libc.mount(b"none", os.fsencode(path), b"tmpfs", flags | MS_RDONLY, b"size=4k") == 0 for path in hidden
        ]
        doors += ["namespaces"] + (["hidden-folders"] if hidden and all(covered) else [])
    if "other-user" not in leave_open and is_root and not any(map(_barred, needed)) and _become(slot):
        doors.append("other-user")
    _drop_capabilities(libc)
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)  # changing the user has cleared it
    return doors, 0


def close(
    readable: Sequence[str], listable: Sequence[str], limits: dict[str, int], leave_open: Sequence[str] = ()
) -> list[str]:
    """Close the remaining doors, for good; return those that are closed.

    Parameters
    ----------
    readable : files, and folders with all that is in them
    listable : folders whose names may be seen
    limits : "cpu" in seconds, "memory" and "file" in bytes, "files"
    leave_open : doors that are not closed

    Returns
    -------
    Names of the doors that are closed.
    """
    doors = _limit(limits)
    if is_linux():
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # without which neither Landlock nor seccomp is for everybody
        with contextlib.suppress(OSError):
            if "landlock" not in leave_open and _landlock(libc, readable, listable):
                doors.append("landlock")
    return doors


def _barred(path: str) -> str:
    """Return the first folder on the way to a path that strangers may not enter, or nothing."""
    parts = os.path.abspath(path).split(os.sep)
    for k in range(2, len(parts) + 1):
        folder = os.sep.join(parts[:k])
        if os.path.isdir(folder) and os.stat(folder).st_mode & 0o005 != 0o005:
            return folder
    return ""


def _open_way(libc: Any, needed: Sequence[str]) -> None:
    """Where a needed folder lies in one that strangers may not enter, put an empty one in its place that leads there."""
    barred: dict[str, list[tuple[str, int]]] = {}
    for path in needed:
        if folder := _barred(path):
            barred.setdefault(folder, []).append((path, os.open(path, os.O_PATH)))
    for folder, ways in barred.items():
        libc.mount(b"none", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV, b"size=256k,mode=755")
        for path, handle in ways:
            os.makedirs(path, mode=0o755, exist_ok=True)
            libc.mount(f"/proc/self/fd/{handle}".encode(), os.fsencode(path), None, MS_BIND | MS_REC, None)
            os.close(handle)


def _map_user(user: int, group: int) -> None:
    """Inside the new user namespace we are nobody, and outside who we were."""
    with contextlib.suppress(OSError):
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {user} 1"),
            ("gid_map", f"{NOBODY} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _become(slot: int) -> bool:
    """Become a user without an account, for good."""
    for number in (FIRST_USER + slot % N_USERS, NOBODY):
        try:
            os.setgroups([])
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
        except OSError:
            continue
        return True
    return False


def _drop_capabilities(libc: Any) -> None:
    header, data = struct.pack("<Ii", 0x20080522, 0), struct.pack("<6I", *[0] * 6)  # version 3, this process
    libc.capset(header, data)


def _limit(limits: dict[str, int]) -> list[str]:
    """Set the limits of the system; a limit that cannot be set is not counted."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    wanted = {
        "RLIMIT_CPU": (limits["cpu"], limits["cpu"] + 1),  # the first is a signal, the second the end
        "RLIMIT_AS": (limits["memory"],) * 2,
        "RLIMIT_FSIZE": (limits["file"],) * 2,
        "RLIMIT_NOFILE": (limits["files"],) * 2,
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_NPROC": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
    }
    done = 0
    for name, values in wanted.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), values)
            done += 1
    return ["limits"] if done >= 5 else []


def _landlock(libc: Any, readable: Sequence[str], listable: Sequence[str]) -> bool:
    """Let this process read some files and folders, and do nothing else with the file system."""
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    rights = FILE_RIGHTS.get(version, FILE_RIGHTS[5])
    network = 3 if version >= 4 else 0  # binding and connecting TCP
    scope = 3 if version >= 6 else 0  # abstract sockets and signals
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = struct.pack("<QQQ", rights, network, scope)[:size]
    rules = libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for paths, access in ((readable, READ_FILE | READ_DIR), (listable, READ_DIR)):
            for path in paths:
                _allow(libc, rules, path, access)
        return libc.syscall(LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0
    finally:
        os.close(rules)


def _allow(libc: Any, rules: int, path: str, access: int) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):
                access &= READ_FILE
            rule = struct.pack("<Qi", access, handle)
            libc.syscall(LANDLOCK_ADD, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0))
        finally:
            os.close(handle)


def needed_folders(numpy_folder: str) -> list[str]:
    """Return the folders without which nothing works: the standard library, NumPy and the libraries beside it.

    Parameters
    ----------
    numpy_folder : of the NumPy that was imported

    Returns
    -------
    Paths.
    """
    libraries = os.path.join(os.path.dirname(numpy_folder), "numpy.libs")
    return [os.path.dirname(os.__file__), numpy_folder, *([libraries] if os.path.isdir(libraries) else [])]


def readable_paths(numpy_folder: str) -> tuple[list[str], list[str]]:
    """Return (files and folders to read, folders to list) that Python and NumPy need; other packages are not among them.

    Parameters
    ----------
    numpy_folder : of the NumPy that was imported

    Returns
    -------
    readable, listable : paths
    """
    standard, *others = needed_folders(numpy_folder)
    skipped = ("site-packages", "dist-packages")
    readable = [entry.path for entry in os.scandir(standard) if entry.name not in skipped]
    readable += [*others, "/dev/null", "/dev/urandom", "/dev/zero"]
    machine = platform.machine()
    for folder in ("/lib", "/usr/lib", "/lib64", "/usr/lib64"):
        readable += [f"{folder}/{machine}-linux-gnu"] if folder[-2:] != "64" else [folder]
    return readable, [standard]
