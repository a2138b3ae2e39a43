"""Tests run on the CPU, as eight virtual devices, without a network."""

import os

import xla_flags

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "agg"  # plots without a screen
os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), xla_flags.devices(8), xla_flags.QUICK)
)

# Files of few tests that take minutes: they start first, or one worker waits for them at the end.
LONG = (
    "test_restarts",
    "test_quickstart",
    "test_two_processes",
    "test_documents",
    "test_train",
    "test_train_step",
    "test_gradients",
)


def pytest_collection_modifyitems(items):
    """Long files first, the others in their order."""
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
