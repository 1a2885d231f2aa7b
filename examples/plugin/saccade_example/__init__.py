"""A package that adds to saccade from outside: see `lines.py` for what, `model.py` for how."""
