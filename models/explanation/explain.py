"""All that explains one answer, whichever network gave it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from datasets.columns import Column
from models.explanation.attribution import shares_of
from models.explanation.means import FEATURES, LANDMARKS, MEASUREMENTS, Means
from models.explanation.pictures import PictureMap, picture_maps
from models.explanation.sounds import SoundMap, sound_map
from models.explanation.vectors import (
    Fusion,
    PointContributions,
    by_column,
    encoder_of,
    point_contributions,
)


@dataclass(frozen=True)
class ColumnContribution:
    """What one measurement adds to the score of a class.

    Attributes:
        column: of the table.
        value: in its own unit, or an index of the column's values; NaN where missing.
        contribution: against the mean of all training specimens: what speaks for the class.
        against_class_mean: against the mean of the class: what is unusual for it; None where the
            class has no mean.
    """

    column: Column
    value: float
    contribution: float
    against_class_mean: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a network gives a sample this class.

    All contributions are to the score of the class (`models.explanation.slopes`), positive where
    they speak for it.

    Attributes:
        label: the class.
        pictures: a map for each view of a picture; none of a model that sees none.
        points: of landmarks; None without.
        columns: of measurements; none without.
        sound: of a recording; None without.
        weights: modality, or network that hears, -> signed contribution, where there are several.
        baseline: whose means the contributions are measured against.
    """

    label: str
    pictures: list[PictureMap] = field(default_factory=list)
    points: PointContributions | None = None
    columns: list[ColumnContribution] = field(default_factory=list)
    sound: SoundMap | None = None
    weights: dict[str, float] = field(default_factory=dict)
    baseline: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """How much each modality weighed, 0 to 1, whether for the answer or against it."""
        return shares_of(self.weights)


def explain(model, arrays: dict, target: int, means: Means) -> Explanation:
    """Explain why a sample is of one class.

    Args:
        model: NNModel, loaded or trained.
        arrays: fitted inputs, name -> (1, ...).
        target: index of the class.
        means: of the run.
    """
    network, anatomy = model.model, model.anatomy
    records = {record.name: record for record in model.inputs}
    found = {"label": model.labels[target]}
    if "waveform" in records:
        found["sound"] = sound_map(network, arrays, target)
        arrays = {"waveform": found["sound"].segments}
    if "image" in records:
        found["pictures"] = picture_maps(network, anatomy, arrays, target)
    if LANDMARKS in records:
        face = means.all(LANDMARKS)
        found["points"] = point_contributions(network, arrays, target, face)
        found["baseline"] = means.of
    if anatomy.parts:
        fusion = Fusion(network, anatomy.parts, arrays)
        joined = fusion.contributions(target, fusion.parted(means.all(FEATURES)))
        found |= {"weights": joined.weights, "baseline": means.of}
        if MEASUREMENTS in records:
            found["columns"] = _columns(model, fusion, joined, arrays, target, means)
    return Explanation(**found)


def _columns(model, fusion, joined, arrays, target, means) -> list[ColumnContribution]:
    """Contributions of the measurements, the largest first."""
    columns = next(one.columns for one in model.inputs if one.name == MEASUREMENTS)
    encoder = encoder_of(model.model)
    found = by_column(joined.parts[MEASUREMENTS], encoder, columns)
    usual = means.of_class(MEASUREMENTS, target)
    unusual = [None] * len(columns)
    if usual is not None:
        against = fusion.contributions(target, {MEASUREMENTS: usual}).parts[MEASUREMENTS]
        unusual = by_column(against, encoder, columns).tolist()
    values = np.asarray(arrays[MEASUREMENTS])[0]
    rows = zip(columns, values.tolist(), found.tolist(), unusual, strict=True)
    return sorted(
        (ColumnContribution(*row) for row in rows), key=lambda one: -abs(one.contribution)
    )
