"""A table of classes of different sizes, for tests of what divides it."""

import numpy as np
import pandas as pd

from datasets.base import Table


def uneven_table(counts=(100, 50, 20), groups=None, **columns):
    """Samples of the classes c0, c1, ..., one after the other, with further columns."""
    labels = [f"c{index}" for index, count in enumerate(counts) for _ in range(count)]
    rows = len(labels)
    frame = pd.DataFrame(
        {
            "key": [f"k{row}" for row in range(rows)],
            "label": labels,
            "part": "",
            "digest": [f"d{row}" for row in range(rows)],
            **columns,
        }
    )
    if groups is not None:
        frame["group"] = groups
    names = tuple(f"c{index}" for index in range(len(counts)))
    return Table("made", "made for a test", names, frame, {"image": np.zeros((rows, 1))})
