"""What the published systems compute, written plainly and without saccade.

Each file follows the equations of one system in the order of the paper's reference code: one
image per question or caption, everything done again for every word, nothing shared, nothing
clever. Tests ask whether saccade computes the same; benchmarks ask how much sooner.
"""
