"""Names of the axes of a device mesh."""

AXES = ("replica", "fsdp", "tensor")
BATCH_AXES = AXES[:2]  # over which groups are spread
