"""Memory pages of a process."""

import os
import sys

_TUNABLES = "GLIBC_TUNABLES"


def use_huge_pages() -> None:
    """Starts this process again with huge pages for large buffers, once, on Linux.

    A program of XLA on a CPU allocates its buffers anew at every step; with small pages it spends
    up to half of its time on their page faults. The C library reads this setting at start only.
    """
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
