"""How much sooner saccade is done than the published programs, at real sizes and equal results."""
