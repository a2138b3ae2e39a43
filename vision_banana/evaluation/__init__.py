"""Draw, decode, score, and report."""
