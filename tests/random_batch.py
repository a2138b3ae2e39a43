"""A batch of random pictures and words, as the mixture makes them."""

import numpy as np


def batch(groups=8, queries=2, references=1, size=16):
    rng = np.random.default_rng(0)
    lead = (groups, queries)
    return {
        "target": rng.random((*lead, size, size, 3), np.float32),
        "weight": (rng.random((*lead, size, size)) < 0.9).astype(np.float32),
        "tokens": rng.integers(0, 50, (*lead, 6)).astype(np.int32),
        "task": np.zeros(lead, np.int32),
        "references": rng.random((groups, references, size, size, 3), np.float32),
        "reference_mask": rng.random((*lead, references)) < 0.8,
    }
