"""The network of one task on one-second mel spectrograms (paper 002, table 2; spec 002).

The sizes are those of the authors' code. A convolution is linear, then perhaps batch normalisation,
then ELU; its bias is left out where batch normalisation follows, as in Lasagne.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.spectrograms import BANDS, SECOND
from models.fused_batch_norm import BatchNormalization

DENSE = 256
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-4}  # of Lasagne, whose `alpha` is 0.1


@dataclass(frozen=True)
class Block:
    """A convolution and what follows it.

    Attributes:
        filters, kernel: of the convolution.
        pool: (frames, bands) of the maximum pooling; None for none.
        norm: whether batch normalisation stands before the ELU.
        dropout: share of values left out behind the pooling.
    """

    filters: int
    kernel: int
    pool: tuple[int, int] | None
    norm: bool = False
    dropout: float = 0.0


BLOCKS = (
    Block(16, 5, (1, 2), dropout=0.1),
    Block(32, 3, (2, 2), norm=True, dropout=0.1),
    Block(64, 3, (2, 2)),
    Block(64, 3, (2, 2), norm=True, dropout=0.1),
    Block(128, 3, (2, 2)),
    Block(256, 3, None),
    Block(256, 1, None),
)


def shared_block(segments, width: float, l2: float | None):
    """Segments, (batch, frames, bands), standardised -> what all tasks see: the first block."""
    picture = layers.Reshape((*segments.shape[1:], 1), name="one_channel")(segments)
    return _block(picture, BLOCKS[0], "shared", width, l2)


def task_features(seen, name: str, width: float, l2: float | None):
    """What all tasks see -> the features of one task, (batch, 256 * width)."""
    for number, block in enumerate(BLOCKS[1:], 2):
        seen = _block(seen, block, f"{name}_{number}", width, l2)
    pooled = layers.GlobalAveragePooling2D(name=f"{name}_average")(seen)
    pooled = layers.BatchNormalization(name=f"{name}_average_norm", **BATCH_NORM)(pooled)
    pooled = layers.Dropout(0.5, name=f"{name}_average_dropout")(pooled)
    dense = layers.Dense(
        round(DENSE * width),
        use_bias=False,
        kernel_regularizer=_decay(l2),
        name=f"{name}_dense",
    )(pooled)
    dense = layers.BatchNormalization(name=f"{name}_dense_norm", **BATCH_NORM)(dense)
    return layers.ELU(name=f"{name}_dense_elu")(dense)


def _block(seen, block: Block, name: str, width: float, l2: float | None):
    seen = layers.Conv2D(
        round(block.filters * width),
        block.kernel,
        padding="same",
        use_bias=not block.norm,
        kernel_regularizer=_decay(l2),
        name=name,
    )(seen)
    if block.norm:
        seen = BatchNormalization(name=f"{name}_norm", **BATCH_NORM)(seen)
    seen = layers.ELU(name=f"{name}_elu")(seen)
    if block.pool:
        seen = layers.MaxPooling2D(block.pool, name=f"{name}_pool")(seen)
    if block.dropout:
        seen = layers.Dropout(block.dropout, name=f"{name}_dropout")(seen)
    return seen


def _decay(l2: float | None):
    return keras.regularizers.L2(l2) if l2 else None


def width_like(tasks: int, classes: int, factors: int) -> float:
    """How much wider one network must be to have the parameters of several (spec 002, 2h).

    Args:
        tasks: how many networks, one of genres and the others of artist group factors.
        classes, factors: outputs of the one and of the others.
    """
    wanted = _parameters(1.0, classes) + (tasks - 1) * _parameters(1.0, factors)
    low, high = 1.0, float(tasks)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if _parameters(middle, classes) < wanted else (low, middle)
    return min((low, high), key=lambda width: abs(_parameters(width, classes) - wanted))


def _parameters(width: float, outputs: int) -> int:
    """Of the network of one task."""
    segments = keras.Input((SECOND, BANDS))
    features = task_features(shared_block(segments, width, 0.0), "task", width, 0.0)
    answer = layers.Dense(outputs)(features)
    return keras.Model(segments, answer).count_params()
