"""Association of two tables of numbers, row by row, and how far two tables lie apart."""

import numpy as np

PERMUTATIONS = 200
COMPONENTS = 32


def association_z(left: np.ndarray, right: np.ndarray, seed: int = 0) -> float:
    """How far the association of `left (n, A)` with `right (n, B)` lies above chance.

    The measure is the sum of the squared covariances of the principal components of both, each
    scaled to variance 1; chance is the same with the rows of one side permuted 200 times. Returns
    the number of standard deviations between the two; 0 where one side does not vary.
    """
    one, other = _whitened(left), _whitened(right)
    if not one.size or not other.size:
        return 0.0
    random = np.random.default_rng(seed)
    measured = float(((one.T @ other) ** 2).sum())
    chance = [
        float(((one[random.permutation(len(one))].T @ other) ** 2).sum())
        for _ in range(PERMUTATIONS)
    ]
    return (measured - float(np.mean(chance))) / max(float(np.std(chance)), 1e-12)


def _whitened(table: np.ndarray) -> np.ndarray:
    """The first principal components `(n, k)`, orthonormal columns."""
    table = np.asarray(table, np.float64)  # sums of large float32 numbers are infinite
    centred = table - table.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = (sizes > 1e-6 * float(np.linalg.norm(table)))[:COMPONENTS]
    whitened: np.ndarray = left[:, :COMPONENTS][:, kept]
    return whitened


def separation(one: np.ndarray, other: np.ndarray, seed: int = 0) -> float:
    """How well a linear discriminant tells rows `(n, A)` from rows `(m, A)`, cross-validated.

    Returns the area under the ROC curve of the rows' scores, each from a discriminant (Fisher 1936,
    with a ridge) of the other four fifths: 0.5 is chance, 1 always right.
    """
    table = np.concatenate([one, other])
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9)
    second = np.arange(len(table)) >= len(one)
    fold = np.random.default_rng(seed).permutation(len(table)) % 5
    scores = np.zeros(len(table))
    for held in range(5):
        known, side = table[fold != held], second[fold != held]
        spread = np.cov(known, rowvar=False) + np.eye(table.shape[1])
        apart = known[side].mean(axis=0) - known[~side].mean(axis=0)
        scores[fold == held] = table[fold == held] @ np.linalg.solve(spread, apart)
    ranks = np.empty(len(table))
    ranks[np.argsort(scores)] = np.arange(1, len(table) + 1)
    wins = ranks[second].sum() - len(other) * (len(other) + 1) / 2
    return float(wins / (len(one) * len(other)))
