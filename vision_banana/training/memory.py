"""Memory of a process and of its devices: its pages, and how much was needed."""

import os
import resource
import sys
from collections.abc import Iterable

import jax

_TUNABLES = "GLIBC_TUNABLES"


def use_huge_pages() -> None:
    """Starts this process again with huge pages for large buffers, once, on Linux.

    A program of XLA on a CPU allocates its buffers anew at every step; with small pages it spends
    up to half of its time on their page faults. The C library reads this setting at start only.
    """
    if sys.platform == "linux" and _TUNABLES not in os.environ:
        os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def peak(devices: Iterable[jax.Device]) -> float:
    """The most bytes that were in use at once.

    Args:
      devices: of this process.

    Returns:
      Of the fullest device's memory; where they have none of their own (CPUs), of the process's.
    """
    used = [(device.memory_stats() or {}).get("peak_bytes_in_use", 0) for device in devices]
    if any(used):
        return float(max(used))
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
