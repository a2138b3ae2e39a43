"""A recorded profile (`train --profile_steps`): which operations a step's time goes to."""

import re
from typing import Any

import jax
import matplotlib.pyplot as plt
from etils import epath
from matplotlib.figure import Figure

from vision_banana.evaluation.charts import COLORS
from vision_banana.training import profile_shares


def operations(workdir: str) -> dict[str, float]:
    """Kinds of operations of the compiled programs in a run's newest profile.

    Args:
      workdir: the run's folder, local or in a bucket.

    Returns:
      Kind, the operation's name without its number -> share of busy time, largest first; the
      shares sum to 1.

    Raises:
      FileNotFoundError: the run has no profile.
      ValueError: the profile holds no operation of a compiled program.
    """
    files = sorted((epath.Path(workdir) / "profile").glob("plugins/profile/*/*.xplane.pb"))
    if not files:
        raise FileNotFoundError(
            f"{workdir}/profile holds no profile: --profile_steps=20:25 of the train command "
            "records one"
        )
    profile = jax.profiler.ProfileData.from_serialized_xspace(files[-1].read_bytes())
    kinds = {event.name: _kind(event.name) for event in _events(profile) if _compiled(event)}
    busy = profile_shares.busy_time(profile, kinds)
    total = sum(busy.values())
    if not total:
        raise ValueError(f"{files[-1]} holds no operation of a compiled program")
    return {kind: time / total for kind, time in busy.most_common()}


def bars(found: dict[str, float], most: int = 12) -> Figure:
    """The largest kinds of operations as bars; the rest is one bar."""
    names = list(found)[:most]
    values = [found[name] for name in names]
    if len(found) > most:
        names, values = [*names, "the rest"], [*values, sum(list(found.values())[most:])]
    figure, axis = plt.subplots(figsize=(8, 0.8 + 0.26 * len(names)), layout="constrained")
    axis.barh(names, values, color=COLORS[0])
    axis.invert_yaxis()
    axis.set_xlabel("share of busy time")
    axis.grid(alpha=0.3, axis="x")
    return figure


def _events(profile: Any) -> Any:
    return (event for plane in profile.planes for line in plane.lines for event in line.events)


def _compiled(event: Any) -> bool:
    return any(name == "hlo_op" for name, _ in event.stats)


def _kind(name: str) -> str:
    return re.sub(r"(\.(\d+|clone|remat\d*))+$", "", name)
