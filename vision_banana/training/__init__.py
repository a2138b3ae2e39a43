"""Sharded training: state, step, optimiser, checkpoints and metric writers."""
