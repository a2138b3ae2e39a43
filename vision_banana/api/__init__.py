"""The generator in three lines of Python: load it, ask it, keep the typed answers."""
