"""What every reader of surface normals does with the vectors that a set has stored."""

import numpy as np


def normalise(vectors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Scales vectors to unit length.

    Args:
      vectors: (H, W, 3) float of any length.
      valid: (H, W) bool, where they are known; none of length 0 is.

    Returns:
      (H, W, 3) float32, (0, 0, 0) where not valid.
    """
    known = valid[..., None]
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(known, vectors / np.where(known, length, 1), 0).astype(np.float32)
