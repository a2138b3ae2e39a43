"""Flow matching and its samplers. Times run from 0, noise, to 1, data."""
