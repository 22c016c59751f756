"""What a child process gives up before it opens a file that nobody vouches for, as far as the system lets it.

On Linux: core dumps, memory beyond the machine's, endless processor time, large files, new privileges, the network,
other programs, and writing anywhere but to the cache, the temporary folder and devices (Landlock, Linux 5.13). When
memory runs out it is the first to go, and it goes with its parent. Elsewhere the limits alone. It may still read what
its user may read. Nothing here needs a privilege, and whatever the system refuses is left as it was.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
from collections.abc import Callable
from typing import Any

FILE_BYTES = 2 * 2**30  # most that it may write to one file: a compiled model
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _SIGKILL = 1, 38, 9
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every processor
_FS_EXECUTE, _FS_WRITE, _FS_REFER, _FS_TRUNCATE = 1, 0x1FF2, 1 << 13, 1 << 14
_NET_TCP, _SCOPE = 3, 3  # bind and connect; abstract sockets and signals


def confine(*, seconds: float, cache: str) -> list[str]:
    """Give up what this process does not need to load a model and run it once; return what was given up.

    Args:
        seconds: wall time that is granted; the limit on processor time allows all processors for so long.
        cache: the folder that stays writable, besides the temporary folder.
    """
    done = []
    with contextlib.suppress(OSError):
        os.makedirs(cache, exist_ok=True)
    steps: dict[str, Callable[[], object]] = {
        "core dumps": lambda: _limit("RLIMIT_CORE", 0),
        "processor time": lambda: _limit("RLIMIT_CPU", int(seconds + 1) * (os.cpu_count() or 1)),
        "file size": lambda: _limit("RLIMIT_FSIZE", FILE_BYTES),
        "memory": lambda: _limit("RLIMIT_DATA", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    }
    if sys.platform == "linux":
        steps |= {
            "survival": _go_first,
            "orphanage": lambda: _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0),
            "network": _leave_network,
            "privileges": lambda: _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            "files and programs": lambda: _restrict([cache, tempfile.gettempdir(), "/dev", "/proc"]),
        }
    for name, step in steps.items():
        with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):
            step()
            done.append(name)
    return done


def _limit(name: str, value: int) -> None:
    import resource

    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _go_first() -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _leave_network() -> None:
    """Move to an empty network; who is not root needs a user namespace for that, in which it stays who it is."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW_NET | (_NEW_USER if user else 0))
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _restrict(writable: list[str]) -> None:
    """Forbid to write, to make or remove files, outside `writable`; to start programs; to use TCP, to send signals."""
    version = _call("syscall", _LANDLOCK_CREATE, None, 0, 1)
    writing = _FS_WRITE | (_FS_REFER if version >= 2 else 0) | (_FS_TRUNCATE if version >= 3 else 0)
    rules = struct.pack("=QQQ", writing | _FS_EXECUTE, _NET_TCP, _SCOPE)
    rules = rules[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _call("syscall", _LANDLOCK_CREATE, rules, len(rules), 0)
    try:
        for folder in writable:
            with contextlib.suppress(OSError):
                handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                try:
                    _call("syscall", _LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", writing, handle), 0)
                finally:
                    os.close(handle)
        _call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _call(name: str, *arguments: Any) -> int:
    import ctypes

    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(getattr(ctypes.CDLL(None, use_errno=True), name)(*words))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
