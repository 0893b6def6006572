"""Learning-rate schedules that Keras does not have ready-made."""

import keras


def drop_at(epoch: int, factor: float) -> keras.callbacks.LearningRateScheduler:
    """Multiply the learning rate by `factor` once, when the epoch of that index begins.

    Epochs are counted from 0, as in paper 004, listing 4: `drop_at(10, 0.2)` acts before the
    eleventh epoch, and the rate stays there.
    """

    def rate(index, current):
        return current * factor if index == epoch else current

    return keras.callbacks.LearningRateScheduler(rate)
