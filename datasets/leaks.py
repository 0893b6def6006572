"""The leak check: do the measurements name the place of collection, and thereby the class?

Where one class was found at each place, columns such as latitude tell the place and so the class,
and a network learns nothing about the specimens (paper 000, section 3.1). As there, a random forest
is trained on the columns alone, 80 % of the samples against 20 %: what identifies the place goes
until the rest no longer names more than 90 % of the classes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from datasets.base import Table, content_digest
from datasets.leak_report import ALONE, STRONG, LeakReport, PlaceLeak, Score

PLACES = ("site", "site_id", "locality", "location", "station", "plot", "population", "group")
TREES, FEW_TREES = 200, 50
HELD_OUT = 0.2
FEW = 3
OF_A_PLACE = 0.1  # spread within places over spread within classes
SAME_PLACE = 0.5  # share put to their own place from which columns identify it
CANDIDATES = 30
LARGEST_CHECK = 20_000_000  # samples x classes x square root of columns: some ten seconds


_latest: dict[str, LeakReport | None] = {}


def find_leaks(table: Table, seed: int = 0) -> LeakReport | None:
    """Look for measurements that name the place, or alone the class.

    The last answer is kept: a training asks before it begins and for its report.

    Args:
        table: with the modality `measurements` and its columns. A column of the frame that is
            called as in `PLACES` says where a sample was taken.
        seed: of the forests and of what is held out.

    Returns:
        The findings; None if the table has no measurements, or no two classes with three samples.
    """
    data = _Data.of(table, seed)
    if data is None:
        return None
    key = data.digest()
    if key not in _latest:
        _latest.clear()
        _latest[key] = _check(data)
    return _latest[key]


@dataclass(frozen=True)
class _Data:
    """Samples of known classes, with one measurement at least.

    Attributes:
        values: (samples, columns) float32, NaN for missing.
        targets: (samples,) class numbers.
        names: of the columns.
        coded: (columns,) whether a column is categorical.
        place: column that names the place, or None.
        places: (samples,) number of each sample's place, -1 for unknown.
        seed: of all that is random.
    """

    values: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    coded: np.ndarray
    place: str | None
    places: np.ndarray
    seed: int

    @classmethod
    def of(cls, table: Table, seed: int) -> _Data | None:
        if not table.columns or "measurements" not in table.modalities:
            return None
        frame, targets = table.frame, table.targets
        place = next((name for name in PLACES if name in frame), None)
        places = np.full(len(frame), -1)
        if place:
            places = pd.factorize(frame[place])[0]
        data = cls(
            np.asarray(table.modalities["measurements"], np.float32),
            targets,
            tuple(column.name for column in table.columns),
            np.array([bool(column.values) for column in table.columns]),
            place,
            places,
            seed,
        )
        measured = ~np.isnan(data.values).all(axis=1)
        data = data.take(np.flatnonzero((targets >= 0) & measured))
        if (np.bincount(data.targets) >= 3).sum() < 2:
            return None
        return data._bounded()

    def take(self, rows: np.ndarray) -> _Data:
        return replace(
            self, values=self.values[rows], targets=self.targets[rows], places=self.places[rows]
        )

    def _bounded(self) -> _Data:
        """The same, or of very many samples the same share of each class."""
        classes = len(np.unique(self.targets))
        work = len(self.targets) * classes * np.sqrt(len(self.names))
        if work <= LARGEST_CHECK:
            return self
        rng = np.random.default_rng(self.seed)
        return self.take(_share_of_each(self.targets, LARGEST_CHECK / work, rng, 2))

    def digest(self) -> str:
        arrays = (self.values, self.targets, self.coded, self.places)
        return " ".join(
            [*map(content_digest, arrays), *self.names, str(self.place), str(self.seed)]
        )

    def numbers(self, names: Sequence[str]) -> list[int]:
        return [self.names.index(name) for name in names]


def _check(data: _Data) -> LeakReport:
    rng = np.random.default_rng(data.seed)
    held = _share_of_each(data.targets, HELD_OUT, rng)
    kept = np.setdiff1d(np.arange(len(data.targets)), held)
    everything = list(range(len(data.names)))
    forest = _forest(data, kept, everything, data.targets, TREES)
    importances = forest.feature_importances_
    order = np.argsort(-importances, kind="stable")
    few = _forward_selection(data, kept, held, rng)
    chosen = data.values[:, data.numbers(few[-1][0])]
    report = LeakReport(
        samples=len(data.targets),
        classes=len(np.unique(data.targets)),
        columns=data.names,
        whole=_judge(forest, data, held, everything, data.targets),
        few=few,
        different=len(pd.DataFrame(chosen).drop_duplicates()),
        importances={data.names[j]: float(importances[j]) for j in order},
        place=data.place,
    )
    if data.place is None:
        return report
    if not _several_places(data).any():
        return replace(report, one_place_each=True)
    return replace(report, leak=_place_leak(data, kept, held))


def _place_leak(data: _Data, kept, held) -> PlaceLeak | None:
    """The columns that identify the place; as many as it takes until the rest is harmless."""
    fixed = [j for j in range(len(data.names)) if _is_of_the_place(data, j)]
    known = [rows[data.places[rows] >= 0] for rows in (kept, held)]

    def finds_place(columns, trees=FEW_TREES):
        return _score(data, *_measured(data, known, columns), columns, data.places, trees)

    def finds_class(columns, trees=FEW_TREES):
        return _score(data, *_measured(data, (kept, held), columns), columns, data.targets, trees)

    fixed.sort(key=lambda j: -finds_place([j], 1).accuracy)
    if (
        not fixed
        or finds_class(fixed).accuracy <= STRONG
        or finds_place(fixed).accuracy <= SAME_PLACE
    ):
        return None

    def rest_is_harmless(count):
        left = fixed[count:]
        if not left or finds_place(left).accuracy <= SAME_PLACE:
            return True
        # In a forest on all, weak columns may hide what those of the place tell by themselves.
        rest = [j for j in range(len(data.names)) if j not in fixed[:count]]
        return max(finds_class(left).accuracy, finds_class(rest, TREES).accuracy) <= STRONG

    # Fewer columns tell less, so that the first harmless rest can be found by halving.
    counts = range(1, len(fixed) + 1)
    dropped = fixed[: counts[bisect_left(counts, True, key=rest_is_harmless)]]
    rest = [j for j in range(len(data.names)) if j not in dropped]
    return PlaceLeak(
        place=data.place,
        places=len(np.unique(data.places[data.places >= 0])),
        single=_places_with_one_class(data),
        columns=tuple(data.names[j] for j in dropped),
        identified=finds_place(dropped, TREES),
        alone=finds_class(dropped, TREES),
        remaining=tuple(data.names[j] for j in rest),
        without=finds_class(rest, TREES) if rest else None,
        other_places=_at_other_places(data),
    )


def _is_of_the_place(data: _Data, column: int) -> bool:
    """Whether a column is much the same all over a place, and differs within a class.

    Looked at are classes found at several places. A measure of the specimen varies within one of
    their places as within the class; what belongs to the place does not.
    """
    values = data.values[:, column]
    rows = np.flatnonzero(_several_places(data) & ~np.isnan(values))
    frame = pd.DataFrame(
        {"value": values[rows], "place": data.places[rows], "class": data.targets[rows]}
    ).astype({"value": float})
    spread = _share_of_others if data.coded[column] else _deviation
    within_places, within_classes = (spread(frame, by) for by in (["place"], ["class"]))
    return within_classes > 0 and within_places < OF_A_PLACE * within_classes


def _deviation(frame: pd.DataFrame, by: list[str]) -> float:
    """Standard deviation within groups, pooled."""
    groups = frame.groupby(by)["value"]
    freedom = len(frame) - groups.ngroups
    squares = (frame["value"] - groups.transform("mean")) ** 2
    return float(np.sqrt(squares.sum() / freedom)) if freedom > 0 else 0.0


def _share_of_others(frame: pd.DataFrame, by: list[str]) -> float:
    """Share of the rows whose value is not their group's most frequent one."""
    largest = frame.groupby([*by, "value"]).size().groupby(by).max().sum()
    return 1 - float(largest) / len(frame) if len(frame) else 0.0


def _several_places(data: _Data) -> np.ndarray:
    """(samples,) whether a sample's place is known and its class was found at others too."""
    known = data.places >= 0
    pairs = pd.DataFrame({"class": data.targets[known], "place": data.places[known]})
    counts = pairs.groupby("class")["place"].nunique()
    return known & np.isin(data.targets, counts.index[counts > 1])


def _places_with_one_class(data: _Data) -> int:
    known = data.places >= 0
    classes = pd.Series(data.targets[known]).groupby(data.places[known]).nunique()
    return int((classes == 1).sum())


def _at_other_places(data: _Data) -> Score | None:
    """By all columns, where of every class with several places a fifth of them is held out."""
    rng = np.random.default_rng(data.seed)
    known = np.flatnonzero(data.places >= 0)
    places, first = np.unique(data.places[known], return_index=True)
    held_places = places[_share_of_each(data.targets[known][first], HELD_OUT, rng)]
    held = known[np.isin(data.places[known], held_places)]
    kept = np.setdiff1d(known, held)
    held = held[np.isin(data.targets[held], data.targets[kept])]
    if not len(held):
        return None
    return _score(data, kept, held, list(range(len(data.names))), data.targets, TREES)


def _forward_selection(data: _Data, kept, held, rng) -> tuple:
    """The best column, with it the best second, ...; chosen on a part of what is kept."""
    choosing = kept[_share_of_each(data.targets[kept], HELD_OUT, rng)]
    growing = np.setdiff1d(kept, choosing)
    chosen, found, candidates = [], [], list(range(len(data.names)))
    while candidates and len(chosen) < FEW:
        merits = [
            _score(data, growing, choosing, [*chosen, j], data.targets, 1).accuracy
            for j in candidates
        ]
        order = np.argsort(-np.array(merits), kind="stable")
        chosen.append(candidates[order[0]])
        candidates = [candidates[place] for place in order[1 : CANDIDATES + 1]]
        score = _score(data, kept, held, chosen, data.targets, FEW_TREES)
        found.append((tuple(data.names[j] for j in chosen), score))
        if score.accuracy > ALONE:
            break
    return tuple(found)


def _share_of_each(targets: np.ndarray, share: float, rng, least: int = 1) -> np.ndarray:
    """Rows that make up a share of each class, `least` of them or more; never a whole class."""
    rows = []
    for index in np.unique(targets):
        own = rng.permutation(np.flatnonzero(targets == index))
        rows.append(own[: min(len(own) - 1, max(least, round(share * len(own))))])
    return np.sort(np.concatenate(rows))


def _measured(data: _Data, parts, columns) -> list[np.ndarray]:
    """Of each part the rows with a value in any of the columns: the others give nothing away."""
    known = ~np.isnan(data.values[:, columns]).all(axis=1)
    return [rows[known[rows]] for rows in parts]


def _score(data: _Data, kept, held, columns, targets, trees: int) -> Score:
    if not len(kept) or not len(held):
        return Score(0.0, 0)
    return _judge(_forest(data, kept, columns, targets, trees), data, held, columns, targets)


def _forest(data: _Data, rows, columns, targets, trees: int):
    """A forest, or one tree that sees every sample and every column."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    forest = DecisionTreeClassifier(random_state=data.seed)
    if trees > 1:
        forest = RandomForestClassifier(trees, random_state=data.seed)
    return forest.fit(data.values[np.ix_(rows, columns)], targets[rows])


def _judge(forest, data: _Data, rows, columns, targets) -> Score:
    right = forest.predict(data.values[np.ix_(rows, columns)]) == targets[rows]
    return Score(float(right.mean()), len(rows))
