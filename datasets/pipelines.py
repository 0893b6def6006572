"""Arrays -> tf.data: deterministic for a seed, gathered in parallel, prefetched."""

from __future__ import annotations

import numpy as np


def training_pipeline(arrays, targets, weights, batch_size, seed, epochs, first_epoch=0):
    """Batches of all epochs, one after the other.

    The order of an epoch depends on the seed and the epoch's number alone, so that a training that
    goes on at `first_epoch` sees what an uninterrupted one would have seen.

    Args:
        arrays: input name -> array with the samples along the first axis.
        targets: (samples,) class indices.
        weights: (samples,) weight of each sample in the loss.
        batch_size: samples per batch; the last batch of an epoch may be smaller.
        seed: seeds the order of the samples.
        epochs: number after the last epoch.
        first_epoch: number of the first epoch, counted from 0.

    Returns:
        tf.data.Dataset of (inputs, targets, weights), and its number of batches per epoch.
    """
    import tensorflow as tf

    samples = len(targets)
    tensors = _on_host((arrays, np.asarray(targets), np.asarray(weights, np.float32)))

    def epoch_order(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(samples), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def gather(rows):
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

    batches = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_order)
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return batches, -(-samples // batch_size)


def judging_pipeline(arrays, targets=None, batch_size=256):
    """Batches in row order, of inputs alone or of (inputs, targets)."""
    import tensorflow as tf

    tensors = _on_host(arrays if targets is None else (arrays, np.asarray(targets)))
    return tf.data.Dataset.from_tensor_slices(tensors).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _on_host(structure):
    """Keep whole data sets in main memory where a GPU is present."""
    import tensorflow as tf

    with tf.device("CPU"):
        return tf.nest.map_structure(tf.constant, structure)
