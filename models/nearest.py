"""The training specimens as a reference: which of them is a new one most like?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.errors import InputError

FILE = "reference.npz"


def write_reference(folder: Path, run) -> None:
    """Keep the embeddings of the training samples with the run.

    Args:
        folder: of the run.
        run: models.artefact.Run.
    """
    frame = run.table.frame.iloc[run.splits.train]
    Reference(
        run.embeddings,
        frame["label"].to_numpy().astype(str),
        frame["key"].to_numpy().astype(str),
    ).write(folder)


@dataclass(frozen=True)
class Reference:
    """Embeddings of samples with known classes.

    Attributes:
        embeddings: (samples, width) float32.
        labels: (samples,) class names.
        keys: (samples,) which sample of the data set each is.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    keys: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Reference:
        """The reference of a run.

        Raises:
            InputError: it is missing or damaged.
        """
        path = Path(folder, FILE)
        try:
            with np.load(path) as kept:
                return cls(kept["embeddings"], kept["labels"], kept["keys"])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} cannot be read ({error}): restore it from a copy") from None

    def write(self, folder: Path) -> None:
        np.savez_compressed(
            Path(folder, FILE), embeddings=self.embeddings, labels=self.labels, keys=self.keys
        )

    def with_class(self, label: str, embeddings: np.ndarray, keys) -> Reference:
        """The reference with specimens of one more class."""
        return Reference(
            np.concatenate([self.embeddings, embeddings.astype(np.float32)]),
            np.concatenate([self.labels, np.full(len(embeddings), label)]),
            np.concatenate([self.keys, np.asarray(keys).astype(str)]),
        )

    def nearest(self, embedding: np.ndarray, count: int) -> list[dict]:
        """The samples nearest to one embedding, (width,), by cosine distance, 0 to 2."""
        distances = 1 - self._directions @ _unit(embedding[None])[0]
        order = np.argsort(distances, kind="stable")[:count]
        return [
            {
                "key": str(self.keys[row]),
                "label": str(self.labels[row]),
                "distance": max(0.0, float(distances[row])),  # rounding can make it less
            }
            for row in order
        ]

    def centroid_distances(self, embeddings: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Classes in alphabetical order, and the cosine distance to each one's centroid.

        A class's centroid is the mean of its unit embeddings (Mensink et al. 2013, nearest class
        mean).

        Args:
            embeddings: (samples, width).

        Returns:
            Class names, and (samples, classes).
        """
        names, centroids = self._centroids
        return list(names), 1 - _unit(embeddings) @ centroids.T

    @cached_property
    def _directions(self) -> np.ndarray:
        """(samples, width), of length 1."""
        return _unit(self.embeddings)

    @cached_property
    def _centroids(self) -> tuple[list[str], np.ndarray]:
        names = sorted(set(self.labels.tolist()))
        means = [self._directions[self.labels == name].mean(axis=0) for name in names]
        return names, _unit(np.stack(means))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
