"""Mixup: samples of a batch blended with each other, and so their targets.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv
1710.09412), section 2. Runs inside tf.data, so on every backend of Keras.
"""

from __future__ import annotations


def mixed(inputs: dict, targets, weights, alpha: float, seed):
    """A batch in which every sample is blended with the one before it.

    Args:
        inputs: name -> (batch, ...); where one of two values is NaN, the other one stands alone.
        targets: (batch, classes) float32, the share of each class.
        weights: (batch,) float32, what each sample counts in the loss.
        alpha: of the Beta distribution that the shares are drawn from, above 0; the larger of the
            two shares is a sample's own, so that its augmentation stays its own.
        seed: (2,) integers; the same ones give the same shares.

    Returns:
        The blended inputs as float32, targets and weights.
    """
    import tensorflow as tf

    pairs = tf.random.stateless_gamma((tf.shape(targets)[0], 2), seed, alpha)
    # Of a small alpha both draws may be too small for a float32.
    share = pairs[:, 0] / tf.maximum(tf.reduce_sum(pairs, axis=1), 1e-30)
    share = tf.maximum(share, 1 - share)

    def blend(values):
        values = tf.cast(values, tf.float32)
        mine = tf.reshape(share, [-1] + [1] * (len(values.shape) - 1))
        other = tf.roll(values, 1, axis=0)
        both = mine * values + (1 - mine) * other
        alone = tf.where(tf.math.is_nan(values), other, values)
        return tf.where(tf.math.is_nan(both), alone, both)

    return {name: blend(column) for name, column in inputs.items()}, blend(targets), blend(weights)
