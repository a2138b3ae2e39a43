"""What the notebooks show, drawn with matplotlib (the `colabs` extra)."""
