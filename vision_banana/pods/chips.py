"""Public figures of TPU chips, and peaks of accelerators by the names that JAX gives them."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Chip:
    """One kind of chip.

    Attributes:
      flops: peak bfloat16 operations a second.
      hbm: bytes of its memory.
      hbm_bandwidth: bytes a second to its memory.
      link_bandwidth: bytes a second over one link to a neighbour, in one direction.
      dcn_bandwidth: bytes a second to other slices, in one direction: a chip's share of its host.
      axes: dimensions of the torus that the links form.
      wraps: side from which on an axis of a slice closes to a ring.
      most_chips: of one slice.
      price: US dollars for an hour of one chip, on demand.
      accelerator: what libtpu calls it; with the number of cores the name of a slice.
      cores: of one chip, as counted in that name.
    """

    flops: float
    hbm: float
    hbm_bandwidth: float
    link_bandwidth: float
    dcn_bandwidth: float
    axes: int
    wraps: int
    most_chips: int
    price: float
    accelerator: str
    cores: int


GIB = 2.0**30
PRICES = "https://cloud.google.com/tpu/pricing"

# Compute, memory and network: the pages "TPU v5e", "TPU v5p" and "TPU v6e" of
# https://cloud.google.com/tpu/docs, read in 2026. One link in one direction: the table of
# https://jax-ml.github.io/scaling-book/tpus (2025), about a tenth below the nominal figure.
# Prices: on-demand list price in US regions, `PRICES`, of 2025; they change and differ by region,
# so the commands take a price of your own.
CHIPS = {
    "v5e": Chip(
        flops=197e12,
        hbm=16 * GIB,
        hbm_bandwidth=819e9,
        link_bandwidth=45e9,
        dcn_bandwidth=3.125e9,
        axes=2,
        wraps=16,
        most_chips=256,
        price=1.20,
        accelerator="v5litepod",
        cores=1,
    ),
    "v5p": Chip(
        flops=459e12,
        hbm=95 * GIB,
        hbm_bandwidth=2765e9,
        link_bandwidth=90e9,
        dcn_bandwidth=6.25e9,
        axes=3,
        wraps=4,
        most_chips=6144,
        price=4.20,
        accelerator="v5p",
        cores=2,
    ),
    "v6e": Chip(
        flops=918e12,
        hbm=32 * GIB,
        hbm_bandwidth=1600e9,
        link_bandwidth=90e9,
        dcn_bandwidth=12.5e9,
        axes=2,
        wraps=16,
        most_chips=256,
        price=2.70,
        accelerator="v6e",
        cores=1,
    ),
}

# By `jax.Device.device_kind` (those of TPUs stand in jax/_src/pallas/mosaic/tpu_info.py). v4, which
# nothing is compiled for: https://docs.cloud.google.com/tpu/docs/v4. GPUs: dense bfloat16 of
# NVIDIA's data sheets "A100", "H100" and "H200", SXM boards; of their two figures the one without
# sparsity.
_PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": CHIPS["v5e"].flops,
    "TPU v5e": CHIPS["v5e"].flops,
    "TPU v5": CHIPS["v5p"].flops,
    "TPU v5p": CHIPS["v5p"].flops,
    "TPU v6 lite": CHIPS["v6e"].flops,
    "TPU v6e": CHIPS["v6e"].flops,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
}


def peak_flops(device_kind: str) -> float:
    """Peak bfloat16 operations a second of a device, NaN where it is not known (CPUs)."""
    return _PEAKS.get(device_kind, math.nan)
