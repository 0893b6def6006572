"""Arrays -> tf.data: deterministic for a seed, gathered in parallel, prefetched.

Pictures on disk are read batch by batch, so that the memory does not grow with their number.
"""

from __future__ import annotations

import numpy as np

from datasets.face_augmentation import LandmarkAugmentation
from datasets.mixup import mixed
from datasets.picture_changes import apart
from datasets.picture_files import FittedFiles, PictureFiles
from datasets.pictures import Pictures
from datasets.recordings import Recordings
from datasets.spectrogram_excerpts import RandomExcerpt
from datasets.spectrograms import Spectrograms

# Of the inputs in one batch that is judged: what a network makes of them then stays in the cache of
# the processor, which halves the time.
_BATCH_BYTES = 4 * 2**20


def training_pipeline(
    arrays, targets, weights, batch_size, seed, epochs, first_epoch=0, augment=None, rows=None,
    mixup=0.0,
):  # fmt: skip
    """Batches of all epochs, one after the other.

    Order and chance of an epoch depend on the seed and the epoch's number alone, so that a training
    that goes on at `first_epoch` sees what an uninterrupted one would have seen.

    Args:
        arrays: input name -> array, Pictures, PictureFiles, FittedFiles, Spectrograms or Recordings
            (whose spectrograms are taken) with the samples along the first axis; those of many
            sizes need an `augment` that brings them to one. One K times as long as the targets
            holds K views of every sample, view after view; each epoch takes one of them for each
            sample at random.
        targets: (samples,) class indices, or (samples, classes) float32 shares of the classes.
        weights: (samples,) weight of each sample in the loss.
        batch_size: samples per batch; the last batch of an epoch may be smaller.
        seed: seeds the order of the samples and what the augmentation draws.
        epochs: number after the last epoch.
        first_epoch: number of the first epoch, counted from 0.
        augment: (sample, seed) -> sample, such as `datasets.augmentation.PictureAugmentation`; or
            what changes a batch at once, `LandmarkAugmentation` or `RandomExcerpt`.
        rows: (places,) which samples make up each of these epochs, in this order; a sample that
            stands there twice is changed by chance in two ways. Without it every sample comes once,
            shuffled.
        mixup: alpha of `datasets.mixup.mixed`, for targets that are shares; 0 for none.

    Returns:
        tf.data.Dataset of (inputs, targets, weights), and its number of batches per epoch.
    """
    import tensorflow as tf

    samples, places = len(targets), len(targets if rows is None else rows)
    views = len(next(iter(arrays.values()))) // samples
    columns = {name: _on_host(array) for name, array in arrays.items()}
    answers = _on_host(targets), _on_host(np.asarray(weights, np.float32))

    def epoch_order(epoch):
        if rows is None:
            order = tf.random.experimental.stateless_shuffle(tf.range(samples), seed=[seed, epoch])
            numbers = order
        else:
            order, numbers = tf.constant(rows, tf.int32), tf.range(places)
        stored = order
        if views > 1:
            drawn = tf.random.stateless_uniform((places,), [seed, epoch], 0, views, tf.int32)
            stored = order + samples * tf.gather(drawn, numbers)
        batches = tf.data.Dataset.from_tensor_slices((order, stored, numbers)).batch(batch_size)
        return batches.map(lambda *rows: (epoch, *rows))

    def gather(epoch, order, stored, numbers):
        inputs = _gather(columns, stored, numbers, augment, seed, epoch * places)
        batch = inputs, *(tf.gather(tensor, order) for tensor in answers)
        if not mixup:
            return batch
        first = epoch * places + tf.cast(numbers[0], tf.int64)
        draw = apart(tf.stack([tf.constant(seed, tf.int64), first]), "mixup")
        return mixed(*batch, mixup, draw)

    batches = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(epoch_order)
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return batches, -(-places // batch_size)


def judging_pipeline(arrays, targets=None, batch_size=256):
    """Batches in row order, of inputs alone or of (inputs, targets).

    Args:
        arrays: input name -> array, FittedFiles or Spectrograms with the samples along the first
            axis; of Spectrograms, the shorter ones of a batch end in NaN.
        targets: (samples,) class indices, or (samples, classes) shares; None for inputs alone.
        batch_size: samples per batch, fewer where they are large pictures.
    """
    import tensorflow as tf

    kinds = (FittedFiles, Spectrograms)
    lazy = [array for array in arrays.values() if isinstance(array, kinds)]
    batch_size = min(batch_size, *map(_fitting, arrays.values()))
    if lazy:
        return _read_in_order(arrays, targets, batch_size)
    tensors = {name: _on_host(array) for name, array in arrays.items()}
    tensors = tensors if targets is None else (tensors, _on_host(targets))
    return tf.data.Dataset.from_tensor_slices(tensors).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def view_pipeline(arrays, augment, seed, view, batch_size=64):
    """Batches in row order, of one random view of every sample; its number counts from 0."""

    samples = len(next(iter(arrays.values())))
    columns = {name: _on_host(array) for name, array in arrays.items()}
    return _by_rows(
        samples,
        batch_size,
        lambda rows: _gather(columns, rows, rows, augment, seed, view * samples),
    )


def _read_in_order(arrays, targets, batch_size):
    import tensorflow as tf

    columns = {name: _on_host(array) for name, array in arrays.items()}
    answers = None if targets is None else _on_host(targets)

    def read(rows):
        inputs = _gather(columns, rows, rows, None, 0, 0)
        return inputs if answers is None else (inputs, tf.gather(answers, rows))

    return _by_rows(len(next(iter(arrays.values()))), batch_size, read)


def _by_rows(samples, batch_size, make):
    """Batches in row order, each made of its row numbers."""
    import tensorflow as tf

    return (
        tf.data.Dataset.range(samples)
        .batch(batch_size)
        .map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _fitting(samples) -> int:
    """How many samples of an input make up a batch of bounded size."""
    shape = samples.fit.shape if isinstance(samples, FittedFiles) else samples.shape[1:]
    return max(1, _BATCH_BYTES // (4 * int(np.prod(shape))))


def _gather(columns, rows, numbers, augment, seed, offset):
    """The samples of these rows, each changed by chance, as its number says, where wanted."""
    import tensorflow as tf

    if augment is None:
        return {name: _samples(column, rows) for name, column in columns.items()}
    if isinstance(augment, RandomExcerpt):
        draws = tf.cast(offset, tf.int64) + tf.cast(numbers, tf.int64)
        return {
            name: _excerpts(column, augment, rows, seed, draws) for name, column in columns.items()
        }
    pairs = tf.stack([tf.cast(rows, tf.int64), tf.cast(numbers, tf.int64)], axis=1)

    def draw(number):
        return tf.stack([tf.constant(seed, tf.int64), tf.cast(offset, tf.int64) + number])

    if isinstance(augment, LandmarkAugmentation):
        batch = {name: _samples(column, rows) for name, column in columns.items()}
        return augment(batch, draw(pairs[0, 1]))

    def one(pair):
        sample = {name: _sample(column, pair[0]) for name, column in columns.items()}
        return augment(sample, draw(pair[1]))

    first = tf.data.Dataset.from_tensors(tf.constant([0, 0], tf.int64)).map(one).element_spec
    return tf.map_fn(one, pairs, fn_output_signature=first)


def _excerpts(column, excerpt, rows, seed, draws):
    """One stretch of each of these spectrograms; nothing else of them is read."""
    import tensorflow as tf

    def read(rows, draws):
        return excerpt.read(column, rows, seed, draws)

    found = tf.numpy_function(read, [rows, draws], tf.float32, stateful=False)
    return tf.ensure_shape(found, (None, excerpt.length, column.shape[-1]))


def _samples(column, rows):
    """The samples of these rows, which have one size."""
    import tensorflow as tf

    if isinstance(column, Spectrograms):
        batch = _reading(lambda rows: column[rows].padded(), rows, np.float32)
        return tf.ensure_shape(batch, (None, None, column.shape[-1]))
    if not isinstance(column, FittedFiles):
        return tf.gather(column, rows)
    batch = _reading(
        lambda rows: column.read(column.files[row] for row in rows), rows, column.dtype
    )
    return tf.ensure_shape(batch, (None, *column.fit.shape))


def _sample(column, row):
    import tensorflow as tf

    if isinstance(column, PictureFiles):
        return tf.ensure_shape(_reading(column.__getitem__, row, np.uint8), (None, None, None))
    if isinstance(column, FittedFiles):
        return tf.ensure_shape(_reading(column.__getitem__, row, column.dtype), column.fit.shape)
    if not isinstance(column, tuple):
        return column[row]
    pixels, starts, shapes = column
    shape = shapes[row]
    size = tf.reduce_prod(tf.cast(shape, tf.int64))
    return tf.reshape(tf.slice(pixels, [starts[row]], [size]), shape)


def _reading(read, rows, dtype):
    """What a function reads from disk for one row or for several, as a tensor."""
    import tensorflow as tf

    def on_host(rows):
        with tf.device("CPU"):
            return read(rows)

    # Nothing but the rows decides what is read, so that batches need not wait for each other.
    return tf.numpy_function(on_host, [rows], dtype, stateful=False)


def _on_host(array):
    """Keep whole data sets in main memory where a GPU is present, or leave them on disk."""
    import tensorflow as tf

    if isinstance(array, Recordings):
        return array.spectrograms
    if isinstance(array, (PictureFiles, FittedFiles, Spectrograms)):
        return array
    with tf.device("CPU"):
        if isinstance(array, Pictures):
            return tuple(map(tf.constant, (array.pixels, array.starts, array.shapes)))
        return tf.constant(array)
