"""Which samples make up an epoch: half of them, balanced by class, or as mined triplets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from training.miners import balanced_anchors, mine_triplets


@dataclass(frozen=True)
class Balanced:
    """Every class as often as the largest one."""

    together = 1  # rows that stay side by side in a batch
    looks = 0  # at the whole training part before each epoch

    def places(self, targets: np.ndarray) -> int:
        """Samples of one epoch, repeated ones counted again."""
        return _balanced_size(targets)

    def rows(self, targets: np.ndarray, batch_size: int, seed, embed: Callable) -> np.ndarray:
        """Row numbers of one epoch, in order; `seed` is that of the epoch."""
        return balanced_anchors(targets, seed)


@dataclass(frozen=True)
class HalfPasses:
    """Epochs of half the samples: two of them in a row go once through all, shuffled.

    So a published schedule of one and a half passes can be followed (paper 001, section 4).
    """

    together = 1
    looks = 0

    def places(self, targets: np.ndarray) -> int:
        """Samples of one epoch; of an odd number, one stands in both halves."""
        return -(-len(targets) // 2)

    def rows(self, targets: np.ndarray, batch_size: int, seed, embed: Callable) -> np.ndarray:
        """Row numbers of one epoch, in order; `seed` is (seed, number of the epoch)."""
        number, epoch = seed
        order = np.random.default_rng([number, epoch // 2]).permutation(len(targets))
        half = self.places(targets)
        return order[-half:] if epoch % 2 else order[:half]


@dataclass(frozen=True)
class MinedTriplets:
    """Triplets mined anew before each epoch over the whole training part (paper 000, section 4).

    Attributes:
        margins: (classes, classes), how much nearer than a negative of the one class a positive of
            the other has to be.
        rule: of the negatives, see `training.miners.mine_triplets`.
        balanced: whether every class gives as many anchors as the largest one.
        figures: what the mining before this epoch found.
    """

    margins: np.ndarray
    rule: str = "schroff"
    balanced: bool = True
    figures: dict[str, float] = field(default_factory=dict, compare=False)

    together = 3
    looks = 1

    def places(self, targets: np.ndarray) -> int:
        """Samples of one epoch, repeated ones counted again."""
        return self.together * (_balanced_size(targets) if self.balanced else len(targets))

    def rows(self, targets: np.ndarray, batch_size: int, seed, embed: Callable) -> np.ndarray:
        """Row numbers of one epoch: of every batch the anchors, the positives, the negatives.

        Args:
            targets: (samples,) class indices.
            batch_size: triplets per batch.
            seed: of the epoch.
            embed: () -> (samples, width), the present embeddings of the training part.
        """
        if self.balanced:
            anchors = balanced_anchors(targets, seed)
        else:
            anchors = np.random.default_rng(seed).permutation(len(targets))
        mined = mine_triplets(embed(), targets, self.margins, anchors, seed, self.rule)
        self.figures.update(mined.figures)
        batches = range(0, len(anchors), batch_size)
        return np.concatenate(
            [
                column[start : start + batch_size]
                for start in batches
                for column in (mined.anchors, mined.positives, mined.negatives)
            ]
        )


def _balanced_size(targets: np.ndarray) -> int:
    counts = np.bincount(targets)
    return int((counts > 0).sum() * counts.max())
