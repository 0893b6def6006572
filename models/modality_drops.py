"""What each modality is worth to a network of several."""

from __future__ import annotations

from training.evaluation import permutation_drops


def modality_drops(model) -> dict[str, float]:
    """What the test accuracy of a trained NNModel loses when one of its modalities is shuffled.

    Returns:
        Modality -> accuracy lost, as a share; nothing of a model of one, or without a test part.
    """
    if len(model.inputs) < 2 or "test" not in model.splits.parts():
        return {}
    table = model.table.take(model.splits.test)
    arrays = model.fitted(table)
    return permutation_drops(model.probabilities, arrays, table.targets, model.options.seed)
