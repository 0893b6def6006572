"""Losses beside the cross-entropy, what a sample counts in a loss, and a loss among others."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from training.miners import SMALLEST_NORM

# A loss that has sunk below this gains no more weight, or a task already solved would in the end
# outweigh all others without bound: where L is zero, equation 2 falls for ever as s does.
SMALLEST_LOSS = 1e-4


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


@keras.saving.register_keras_serializable("menagerie")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy where a share of every target is spread evenly over all classes.

    Szegedy et al. 2016 (Rethinking the Inception Architecture), section 7. Targets are class
    indices, (batch,), or the share of each class, (batch, classes), summing to 1; predictions are
    probabilities, (batch, classes).

    Args:
        smoothing: the share, from 0, which is plain cross-entropy, to below 1.
        prior: (classes,) share that each class has of the training samples, all positive. The
            answers are multiplied by it before they are judged, so that those of the network are
            what they would be if all classes were equally frequent (Ren et al. 2020, arXiv
            2007.10740, section 3.1; Menon et al. 2021, arXiv 2007.07314, section 5). None leaves
            them as they are.
    """

    def __init__(self, smoothing: float = 0.0, prior=None, **keywords):
        super().__init__(**keywords)
        self.smoothing = smoothing
        self.prior = None if prior is None else [float(share) for share in prior]

    def call(self, targets, probabilities):
        """(batch,) loss of each sample."""
        if self.prior is not None:
            probabilities = probabilities * ops.convert_to_tensor(self.prior, probabilities.dtype)
            probabilities = probabilities / ops.sum(probabilities, axis=-1, keepdims=True)
        # Keras would clip at 1e-7, and what lies below would have no gradient to bring it back.
        logarithms = ops.log(ops.maximum(probabilities, np.finfo(np.float32).tiny))
        if len(targets.shape) > 1:
            own = ops.sum(ops.cast(targets, logarithms.dtype) * logarithms, axis=-1)
        else:
            classes = ops.cast(targets, "int32")[:, None]
            own = ops.take_along_axis(logarithms, classes, axis=-1)[:, 0]
        evenly = ops.mean(logarithms, axis=-1)
        return -(1 - self.smoothing) * own - self.smoothing * evenly

    def mean(self, targets, probabilities, weights):
        """Scalar: that of the samples of one device; a call of the loss knows of the others."""
        return ops.mean(ops.cast(weights, probabilities.dtype) * self.call(targets, probabilities))

    def get_config(self):
        return super().get_config() | {"smoothing": self.smoothing, "prior": self.prior}


def cosine_distance(first, second):
    """1 - cosine, (batch,), of embeddings (batch, width) row by row, from 0 to 2.

    An embedding shorter than `training.miners.SMALLEST_NORM` has no direction: it is not divided by
    its length, so that its cosine is 0 to within that, and its gradient at most 1.
    """
    return 1 - ops.sum(_unit(first) * _unit(second), axis=-1)


def triplet_loss(anchor, positive, negative, margin):
    """ReLU(d+ - d- + margin) by cosine distance (paper 000, section 4, equation 1).

    Args:
        anchor: (batch, width) embeddings.
        positive: (batch, width), of the anchors' classes.
        negative: (batch, width), of other classes.
        margin: number, or (batch,) where it depends on the classes.

    Returns:
        (batch,) loss of each triplet.
    """
    near, far = cosine_distance(anchor, positive), cosine_distance(anchor, negative)
    return ops.relu(near - far + ops.cast(margin, near.dtype))


@keras.saving.register_keras_serializable("menagerie")
class LearnedLossWeights(keras.layers.Layer):
    """Sum of exp(-s) L + s over losses L, an s for each being learnt (paper 000, equation 2).

    It is that of Kendall et al. 2018 (Multi-Task Learning Using Uncertainty, section 3). For a
    constant loss the sum is least at s = ln L. Every s starts at 0, which weighs a loss by 1, and
    stays above ln `SMALLEST_LOSS`. Weight decay would draw the weights towards 1: keep it off by
    `optimizer.exclude_from_weight_decay(layer.trainable_variables)`.

    Args:
        names: of the losses, in the order in which they come; different ones.
    """

    def __init__(self, names, **keywords):
        super().__init__(**keywords)
        self.names = tuple(names)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"losses need different names: {', '.join(self.names) or 'none'}")

    def build(self, input_shape=None):
        self._s = [
            self.add_weight(
                shape=(), initializer="zeros", name=f"s_{name}", constraint=_above_smallest
            )
            for name in self.names
        ]
        self.built = True

    def call(self, losses):
        """Scalar; `losses` are as many scalars as there are names."""
        if len(losses) != len(self.names):
            raise ValueError(f"{len(losses)} losses for {', '.join(self.names)}")
        weighed = [ops.exp(-s) * loss + s for s, loss in zip(self._s, losses, strict=True)]
        return sum(weighed[1:], weighed[0])

    def figures(self) -> dict[str, float]:
        """The s of every loss, as `s_<name>`."""
        values = [float(ops.convert_to_numpy(s)) for s in self._s]
        return {f"s_{name}": value for name, value in zip(self.names, values, strict=True)}

    def get_config(self):
        return super().get_config() | {"names": list(self.names)}


def _above_smallest(s):
    return ops.maximum(s, math.log(SMALLEST_LOSS))


def _unit(embedding):
    # A short embedding stays as it is: divided by its length, its gradient would have no bound.
    squares = ops.sum(ops.square(embedding), axis=-1, keepdims=True)
    return embedding * ops.rsqrt(ops.where(squares > SMALLEST_NORM**2, squares, 1))
