"""Learning-rate schedules by epoch, so that a training can be gone on with at any of them."""

from math import cos, pi

import keras


def drop_at(epoch: int, factor: float) -> keras.callbacks.LearningRateScheduler:
    """Multiply the learning rate by `factor` once, when the epoch of that index begins.

    Epochs are counted from 0, as in paper 004, listing 4: `drop_at(10, 0.2)` acts before the
    eleventh epoch, and the rate stays there.
    """

    def rate(index, current):
        return current * factor if index == epoch else current

    return keras.callbacks.LearningRateScheduler(rate)


def drop_every(epochs: int, factor: float, start: float) -> keras.callbacks.LearningRateScheduler:
    """`start` times `factor` once more after every so many epochs (paper 003, section IV c)."""
    return keras.callbacks.LearningRateScheduler(lambda index: start * factor ** (index // epochs))


def cosine(
    peak: float, epochs: int, warm_up: float = 0.05
) -> keras.callbacks.LearningRateScheduler:
    """Up to `peak` in a straight line, then down to nothing along half a cosine.

    Source: Loshchilov and Hutter 2017, ICLR, section 3, without restarts.
    """
    rising = max(1, round(warm_up * epochs))

    def rate(index):
        if index < rising:
            return peak * (index + 1) / (rising + 1)
        return peak * 0.5 * (1 + cos(pi * (index - rising) / max(1, epochs - rising)))

    return keras.callbacks.LearningRateScheduler(rate)


def stepwise(stretches, epochs: int) -> keras.callbacks.LearningRateScheduler:
    """One rate after the other, each for its share of the epochs.

    Args:
        stretches: (rate, length) one after the other; lengths in any unit.
        epochs: that all of them fill together.
    """
    whole = sum(length for _, length in stretches)

    def rate(index):
        passed = (index + 0.5) / epochs * whole
        for value, length in stretches:
            if passed < length:
                return value
            passed -= length
        return stretches[-1][0]

    return keras.callbacks.LearningRateScheduler(rate)


def schedule(kind: str, rate: float, epochs: int, patience: int | None) -> tuple:
    """Callbacks for the learning rate and the end of a phase.

    Args:
        kind: `step`, a tenth of the rate every 7 epochs, `cosine`, or `constant`.
        rate: at the beginning, or at the peak.
        epochs: of the phase.
        patience: epochs without a lower validation loss after which it ends; None for no end.
    """
    found = ()
    if kind != "constant":
        found = (drop_every(7, 0.1, rate) if kind == "step" else cosine(rate, epochs),)
    if not patience:
        return found
    return *found, keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience)
