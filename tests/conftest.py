"""Tests run on the CPU, as eight virtual devices, without a network."""

import os
import tempfile

import hypothesis
import pytest
import xla_flags

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "agg"  # plots without a screen
os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), xla_flags.devices(8), xla_flags.QUICK)
)

# Every run tries the same examples, however slow the machine is.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("same")

# Files of few tests that take minutes: they start first, or one worker waits for them at the end.
LONG = (
    "test_restarts",
    "test_quickstart",
    "test_two_processes",
    "test_documents",
    "test_train",
    "test_buckets",
    "test_train_step",
    "test_gradients",
)


def pytest_configure(config):
    """What one test has compiled, others load, whatever process they run in."""
    if hasattr(config, "workerinput"):
        return  # a process that was started by the one that made the folder
    folder = tempfile.TemporaryDirectory(prefix="compiled-")
    config.add_cleanup(folder.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Commands do not say what they are doing, however slow the machine is."""
    monkeypatch.setattr("vision_banana._progress.SILENCE", 3600.0)


def pytest_collection_modifyitems(items):
    """Long files first, the others in their order."""
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
