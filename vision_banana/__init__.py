"""Vision Banana: one image generator that draws, edits and sees."""

__version__ = "0.1.0"
