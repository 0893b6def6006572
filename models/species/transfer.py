"""Hierarchical knowledge transfer: classes begin as what their parents have learnt.

Paper 001, section 3.2: a network first learns to tell the taxa of a coarse rank apart. The final
layer of the next rank then begins with a mixture of the parents' weights and of random ones, rank
by rank, down to the leaves.
"""

from __future__ import annotations

import math

import numpy as np


def handed_down(
    kernel: np.ndarray,
    bias: np.ndarray,
    parents: np.ndarray,
    mix: float = 0.5,
    deviation: float | None = None,
    seed=0,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a final layer from those of the rank above.

    w = sqrt(a) w0 + sqrt(1 - a) w_random, where w0 are the parent's weights and w_random is uniform
    about 0. If both have the same variance, so has w. The bias is copied (spec 001, 1i).

    Args:
        kernel: (width, taxa of the rank above), trained.
        bias: (taxa of the rank above,).
        parents: (taxa,) the parent of each taxon, as in `datasets.taxonomy.Taxonomy.parents`.
        mix: a, from 0, all random, to 1, siblings begin alike.
        deviation: standard deviation of the random weights; None for that of the kernel.
        seed: of the random weights.

    Returns:
        Kernel (width, taxa) and bias (taxa,), float32.

    Raises:
        ValueError: the mix is no share, or a parent is none of the rank above.
    """
    if not 0 <= mix <= 1:
        raise ValueError(f"mix {mix:g} is not between 0 and 1")
    parents = np.asarray(parents)
    if parents.size and not 0 <= parents.min() <= parents.max() < kernel.shape[1]:
        raise ValueError(
            f"parents reach from {parents.min()} to {parents.max()}, but the rank "
            f"above has {kernel.shape[1]} taxa"
        )
    spread = float(np.std(kernel)) if deviation is None else deviation
    limit = spread * math.sqrt(3)  # a uniform distribution over +-l has the variance l^2 / 3
    shape = (kernel.shape[0], len(parents))
    random = np.random.default_rng(seed).uniform(-limit, limit, shape)
    mixed = math.sqrt(mix) * kernel[:, parents] + math.sqrt(1 - mix) * random
    return mixed.astype(np.float32), bias[parents].astype(np.float32)
