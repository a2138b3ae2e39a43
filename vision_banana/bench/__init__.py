"""What this machine gives: a command that times the product's own parts beside the usual ways.

Every figure comes from one run, in which whatever is compared takes turns. Nothing imports this
room. PyTorch, OpenCV and scikit-image come with the extra `bench` and are imported where used.
"""
