"""What a network trains on where that is more than the cross-entropy of its probabilities."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from training.distribution import summed_devices
from training.losses import LearnedLossWeights, SmoothedCrossEntropy, triplet_loss


class ObjectiveModel(keras.Model):
    """A functional network that trains on an objective and is judged by its probabilities.

    The loss of the validation part stays the cross-entropy, so it compares with other networks'.

    Args:
        inputs: of the network.
        outputs: name -> tensor, with `probabilities` and what the objective asks for.
        objective: layer with `needs`, the outputs that it asks for beside `probabilities`,
            `loss(outputs, targets, weights)` and `figures()`; its weights train.
    """

    def __init__(self, inputs, outputs, objective, **keywords):
        super().__init__(inputs, outputs, **keywords)
        self.objective = objective

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training:
            loss = sum(self.losses, self.objective.loss(y_pred, y, sample_weight))
            return loss / summed_devices()
        return SmoothedCrossEntropy()(y, y_pred["probabilities"], sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred["probabilities"], sample_weight)


class TripletObjective(keras.layers.Layer):
    """Triplet loss and cross-entropy, weighed by what is learnt (paper 000, equation 2).

    A batch holds anchors, then their positives, then their negatives, a third each.

    Args:
        margins: (classes, classes), margin of a positive's and a negative's class.
        classified: samples with a cross-entropy: `anchors`, as in the paper, or `all`.
        smoothing: of the labels in the cross-entropy.
    """

    needs = ("embedding",)

    def __init__(self, margins, classified="anchors", smoothing=0.0, **keywords):
        super().__init__(**keywords)
        self.margins = np.asarray(margins, np.float32)
        self.classified = classified
        self.cross_entropy = SmoothedCrossEntropy(smoothing)
        self.weighing = LearnedLossWeights(("triplet", "classification"))
        self.weighing.build(None)
        self.built = True

    def loss(self, outputs: dict, targets, weights):
        """Scalar.

        Args:
            outputs: `embedding` (3n, width) and `probabilities` (3n, classes).
            targets: (3n,) class indices.
            weights: (3n,) what each sample counts; a triplet counts what its anchor does.
        """
        embedding = outputs["embedding"]
        parts = ops.reshape(embedding, (3, -1, embedding.shape[-1]))
        classes = ops.reshape(ops.cast(targets, "int32"), (3, -1))
        margin = _look_up(self.margins, classes[1], classes[2])
        triplet = triplet_loss(parts[0], parts[1], parts[2], margin)
        counts = ops.reshape(ops.cast(weights, triplet.dtype), (3, -1))[0]
        answers = targets, outputs["probabilities"], weights
        if self.classified == "anchors":
            number = ops.shape(classes)[1]
            answers = tuple(tensor[:number] for tensor in answers)
        return self.weighing([ops.mean(triplet * counts), self.cross_entropy.mean(*answers)])

    def figures(self) -> dict[str, float]:
        """The learnt weights s of the two losses."""
        return self.weighing.figures()


def _look_up(matrix, rows, columns):
    flat = ops.convert_to_tensor(matrix.reshape(-1))
    return ops.take(flat, rows * matrix.shape[1] + columns)


class AuxiliaryObjective(keras.layers.Layer):
    """Cross-entropy of the answer, and with less weight that of an auxiliary classifier.

    Szegedy et al. 2015 (Going Deeper with Convolutions), section 5, as used in paper 001,
    section 3.1. The auxiliary classifier is judged nowhere.

    Args:
        output: of the network, probabilities of the auxiliary classifier.
        weight: of its cross-entropy.
        cross_entropy: of both; None for the plain one.
    """

    def __init__(
        self,
        output="auxiliary",
        weight: float = 0.4,
        cross_entropy: SmoothedCrossEntropy | None = None,
        **keywords,
    ):
        super().__init__(**keywords)
        self.needs, self.weight = (output,), weight
        self.cross_entropy = cross_entropy or SmoothedCrossEntropy()

    def loss(self, outputs: dict, targets, weights):
        """Scalar; outputs (batch, classes), targets and weights (batch,)."""
        names = ("probabilities", *self.needs)
        answer, auxiliary = (
            self.cross_entropy.mean(targets, outputs[name], weights) for name in names
        )
        return answer + self.weight * auxiliary

    def figures(self) -> dict[str, float]:
        """None: nothing but the network learns."""
        return {}
