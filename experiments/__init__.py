"""One folder for each question, and what they share: sweeps, their results, charts, launchers."""
