"""Flags of XLA for tests, which spend nearly all of their time compiling.

Little is optimised, and fused loops are made by the older emitters, which compile a train step
three times as fast.
"""

QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)


def devices(count):
    """The flag for a number of virtual devices."""
    return f"--xla_force_host_platform_device_count={count}"
