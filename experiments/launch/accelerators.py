"""Types of TPU slices as Google Cloud names them: their chips, software and cost."""

import re

from vision_banana.pods.chips import CHIPS, PRICES

# Family -> TensorCores that its number counts for each chip. Nothing is compiled for a v4, whose
# page is https://docs.cloud.google.com/tpu/docs/v4.
_CORES = {"v4": 2} | {chip.accelerator: chip.cores for chip in CHIPS.values()}
# Family -> the software version that its page names ("TPU software versions",
# https://docs.cloud.google.com/tpu/docs/runtimes).
_RUNTIMES = {
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}


def _parts(accelerator: str) -> tuple[str, int]:
    found = re.fullmatch(r"([a-z0-9]+)-(\d+)", accelerator)
    if found is None or found[1] not in _RUNTIMES or int(found[2]) < 1:
        names = ", ".join(f"{name}-N" for name in _RUNTIMES)
        raise ValueError(f"the accelerator type is {accelerator!r}: it must be one of {names}")
    return found[1], int(found[2])


def chips(accelerator: str) -> int:
    """Chips of a slice: the number in its type counts chips, or TensorCores for v4 and v5p.

    Raises:
      ValueError: an unknown type.
    """
    family, number = _parts(accelerator)
    return max(1, number // _CORES[family])


def runtime(accelerator: str) -> str:
    """The software version for a type of slice. Raises as `chips` does."""
    return _RUNTIMES[_parts(accelerator)[0]]


def cost(accelerator: str, slices: int, price: float | None) -> str:
    """What slices cost an hour, in words.

    Args:
      accelerator: their type.
      slices: their number.
      price: US dollars for a chip-hour, None where the user gave none.
    """
    count = chips(accelerator) * slices
    text = f"{count} chip{'s' if count > 1 else ''} ({slices} x {accelerator})"
    if price is None:
        return f"{text}: {count} x the price of a chip-hour, {PRICES}; give it as --price"
    return f"{text} at ${price:g} a chip-hour: ${count * price:,.2f} for every hour until deleted"
