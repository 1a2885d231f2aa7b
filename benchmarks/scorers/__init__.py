"""Other programs' scorers, each run as its wheel comes; see `__main__`."""
