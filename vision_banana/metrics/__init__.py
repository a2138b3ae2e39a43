"""Scores: four pure functions over a small state that merges over batches and hosts."""
