"""Pages in a browser; what they decide lies in plain functions beside them."""
