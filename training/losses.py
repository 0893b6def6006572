"""What a sample counts in the loss."""

import numpy as np


def class_weights(counts: dict[str, int]) -> np.ndarray:
    """Largest class count over each class's count (paper 004, section 5.2.1, table 1).

    Args:
        counts: label -> number of samples, in class order, all positive.

    Returns:
        (classes,) float64; the most frequent class weighs 1.

    Raises:
        ValueError: a class has no sample.
    """
    values = np.array(list(counts.values()), dtype=np.float64)
    if not (values > 0).all():
        raise ValueError(f"a class without samples has no weight: {counts}")
    return values.max() / values
