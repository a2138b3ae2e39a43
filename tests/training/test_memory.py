import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
from vision_banana.training import memory
KEEP
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(2**26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is that of glibc")
@pytest.mark.parametrize("kept", [True, False])
def test_memory_that_was_freed_is_had_again_without_page_faults(kept):
    code = CODE.replace("KEEP", "memory.keep_freed()" if kept else "")
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    first, second = map(int, said.stdout.split())
    assert first > 1000  # 64 MB have 16,384 pages
    assert (second < 100) == kept
