"""Memory of a process."""

import os
import sys

_TUNABLES = "GLIBC_TUNABLES"
# All from one heap, of which nothing is mapped apart or given back.
_KEPT = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.arena_max=1"


def keep_freed() -> None:
    """Starts this process again with memory that stays with it when it is freed, once, on Linux.

    A program of XLA on a CPU allocates its buffers anew at every step. Large ones are mapped and
    unmapped each time, and a step spends up to half of its time on the page faults of memory that
    it has just had. Huge pages make faults fewer, and now and then very slow, where memory is in
    pieces. The C library reads this setting at start only.
    """
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        os.environ[_TUNABLES] = _KEPT
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
