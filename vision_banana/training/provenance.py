"""Where a run comes from: config, code revision and package versions, and whose folder it is."""

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from vision_banana.training import checkpoint, distributed, folders

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
CONFIG = "config.json"
# Keys, or whole sections, that say how a run uses its machine: they may change, and with them the
# order of its sums or which updates are skipped.
MACHINE_KEYS = ("mesh", "micro_batches", "model.remat", "model.attention_kernel", "guard")
# These, and those that say how a run is watched or fed, not what it computes.
FREE_KEYS: tuple[str, ...] = (
    *MACHINE_KEYS,
    "log_every",
    "log_records",
    "checkpoint_every",
    "panels_every",
    "keep",
    "keep_every",
    "keep_best",
    "best_metric",
    "wandb_project",
    "data.workers",
    "data.max_bad_share",
)
# Where a source's files lie, by the names that sources give it: data may be moved.
_PLACE = re.compile(r"data\.mixture\.[^.]+\.source\.(path|root|data_dir|evaluated)")
# What decides a run's bits beside its config, data and PACKAGES.
_SURROUNDINGS = (
    *("revision", "xla_flags", "python", "device", "processor", "device_count", "process_count"),
)
_SEEN_S = 60.0  # within which every host sees a new file; NFS remembers that it was not there


def describe(config: Mapping[str, Any], language: Mapping[str, Any]) -> dict[str, Any]:
    """What goes with every checkpoint, a JSON object."""
    return {
        "config": json.loads(json.dumps(config)),
        "language": dict(language),
        "revision": revision(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "processor": processor(),
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def processor() -> str:
    """The host's processor, as far as the system tells."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def changes(saved: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What differs from when a checkpoint was written, of the things that decide its next bits.

    Args:
      saved: the checkpoint's description.
      config: the run's config of today.

    Returns:
      Text such as "jax: 0.10.1 then, 0.10.2 now", empty where all is the same.
    """
    now = describe(config, {})
    # Of what an older version did not note, nothing is known.
    pairs = {name: (saved[name], now[name]) for name in _SURROUNDINGS if name in saved} | {
        name: (saved["versions"].get(name), now["versions"][name]) for name in PACKAGES
    }
    before, today = _flat(saved["config"]), _flat(now["config"])
    for key in sorted(before.keys() | today.keys()):
        if _among(key, MACHINE_KEYS) or _PLACE.fullmatch(key):
            pairs[f"config.{key}"] = (before.get(key), today.get(key))
    return "; ".join(
        f"{name}: {old if old != '' else 'none'} then, {new if new != '' else 'none'} now"
        for name, (old, new) in pairs.items()
        if old != new
    )


def revision() -> str:
    """The git revision of this code, "unknown" outside a checkout; "+" marks local changes."""
    folder = pathlib.Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # or the checkout is another project's
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def check(workdir: str, config: Mapping[str, Any]) -> None:
    """Checks that a folder is this run's or nobody's; writes nothing.

    How a run is watched and fed, how it uses its machine, where its data lie and, once it has a
    checkpoint, where it began may differ; every checkpoint holds the config of its time.

    Raises:
      ValueError: where the folder belongs to another config; names what differs. Where the
        folder's config is damaged; names the file.
    """
    path = epath.Path(workdir) / CONFIG
    if not path.exists():
        return
    theirs, mine = _flat(_read(path)), _flat(json.loads(json.dumps(config)))
    free = FREE_KEYS
    if checkpoint.saved_steps(workdir):
        free += ("init_from",)  # its weights have been read, and may be gone
    differs = [
        f"{key}: {theirs.get(key)!r} there, {mine.get(key)!r} here"
        for key in sorted(theirs.keys() | mine.keys())
        if theirs.get(key) != mine.get(key) and not (_among(key, free) or _PLACE.fullmatch(key))
    ]
    if differs:
        raise ValueError(
            f"{workdir} belongs to a run with another config ({'; '.join(differs[:5])}); "
            "take the config of that run, or another --workdir, where "
            f"--config.init_from={workdir} begins with its weights"
        )


def claim(workdir: str, config: Mapping[str, Any]) -> None:
    """Writes a run's config into its folder, or checks that the folder is this run's.

    Every process must call it; the first one writes.

    Raises:
      ValueError: see `check`; also where a process does not see what the first one wrote.
    """
    path = epath.Path(workdir) / CONFIG
    if jax.process_index() == 0 and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.write_whole(path, json.dumps(config, indent=1, sort_keys=True) + "\n")
    distributed.wait("work folder claimed")
    until = time.monotonic() + _SEEN_S
    while not path.exists():
        if time.monotonic() >= until:
            raise ValueError(
                f"process {jax.process_index()} does not see {path}, which process 0 wrote: the "
                "hosts do not share the work folder; give a --workdir that all of them see, on a "
                "shared disk or in a bucket"
            )
        time.sleep(1.0)
    check(workdir, config)


def _read(path: epath.Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("it must be a JSON object")
    except ValueError as error:
        raise ValueError(
            f"{path}, the config of the run in this folder, is damaged: {error}. Delete it and "
            "start again with the same config, which is then written anew"
        ) from error
    return config


def _among(key: str, names: tuple[str, ...]) -> bool:
    """Whether a dotted key, or a section that it stands in, is among names."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.")
    return flat
