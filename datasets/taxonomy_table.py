"""A taxonomy from the columns of a table, checked: gaps, two parents, homonyms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.column_roles import some
from datasets.errors import InputError
from datasets.taxonomy import Taxonomy, normal_name


@dataclass(frozen=True)
class TaxonomyReading:
    """What the rows of a table say about taxa.

    Attributes:
        taxonomy: of the rows that are kept.
        targets: (rows,) leaf of each row; -1 where it is discarded or none of the classes.
        discarded: a row for each discarded one, in the order of the table: `row` (its label in the
            index), `reason`, and the ranks as they stood there, '' where empty. Paper 001,
            section 4, discards "unusual taxonomy".
        notes: what people should know, in lines.
    """

    taxonomy: Taxonomy
    targets: np.ndarray
    discarded: pd.DataFrame
    notes: tuple[str, ...]


def from_frame(
    frame: pd.DataFrame,
    ranks: Sequence[str],
    labels: Sequence[str] | None = None,
    strict: bool = True,
    where: str = "the table",
) -> TaxonomyReading:
    """The taxonomy of a table with one row per picture or per leaf.

    Names are compared in normal form (`normal_name`). A rank that is empty in all rows is dropped.
    A taxon above the finest rank is known by its lineage, so homonyms are different taxa. A leaf is
    known by its name alone, so it must have one lineage.

    Args:
        frame: its columns hold names; None, NaN and blanks are empty.
        ranks: columns from coarse to fine; the last one holds the leaves.
        labels: leaves in class order; leaves that are not among them are left out. None for all
            leaves, sorted by name.
        strict: whether a gap or a second lineage is refused. Else the rows with gaps are
            discarded, and of a leaf with several lineages all but the most frequent one, the first
            by name of equally frequent ones.
        where: the table, for messages.

    Raises:
        InputError: a column or a class is missing, no row is left; if strict, a rank is empty in a
            row, or a leaf has two lineages.
    """
    ranks, codes, names, notes = _columns(frame, ranks, where)
    gaps = codes < 0
    complete = np.flatnonzero(~gaps.any(axis=1))
    if strict and len(complete) < len(frame):
        raise _gap(frame, ranks, gaps, where)
    if not len(complete):
        raise InputError(f"{where} has no row with all of {', '.join(ranks)}: fill them in")
    rows = _Lineages.of(codes[complete])
    kept = rows.most_frequent()
    if strict and not kept.all():
        raise _two_parents(frame.index[complete], ranks, names, rows, kept, where)
    classes = _classes(names[-1], rows.table[:, -1], labels, ranks[-1], where, notes)
    used = kept & (classes.of_name[rows.table[:, -1]] >= 0)
    taxonomy = _build(ranks, names, rows.table[used], classes)
    notes += _homonyms(taxonomy)
    targets = np.full(len(frame), -1)
    targets[complete] = np.where(used, classes.of_name[rows.table[:, -1]], -1)[rows.ids]
    reasons = np.full(len(frame), "", object)
    _explain_gaps(reasons, gaps, ranks)
    lost = ~kept[rows.ids]
    reasons[complete[lost]] = _reasons(ranks, names, rows, kept)[rows.ids[lost]]
    discarded = _discarded(frame, ranks, codes, names, reasons)
    if len(discarded):
        notes.append(f"{len(discarded):,} of {_counted(len(frame))} discarded")
    return TaxonomyReading(taxonomy, targets, discarded, tuple(notes))


def _columns(frame, ranks, where) -> tuple[list[str], np.ndarray, list[list[str]], list[str]]:
    """Ranks that are not empty, (rows, ranks) int32 codes, names by code, and notes."""
    absent = [rank for rank in ranks if rank not in frame]
    if absent or not len(ranks):
        what = f"no column '{absent[0]}'" if absent else "no rank"
        raise InputError(f"{where} has {what}: it has {some(map(str, frame.columns))}")
    if not len(frame):
        raise InputError(f"{where} has no row: add a row per taxon or per picture")
    coded = {rank: _coded(frame[rank]) for rank in ranks}
    filled = [rank for rank, (_, names) in coded.items() if names]
    if ranks[-1] not in filled:
        raise InputError(f"{where}: the column '{ranks[-1]}' is empty: it holds the classes")
    notes = [f"rank {rank} is empty and left out" for rank in ranks if rank not in filled]
    codes = np.stack([coded[rank][0] for rank in filled], axis=1)
    return filled, codes, [coded[rank][1] for rank in filled], notes


def _coded(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """(rows,) places among the sorted names, -1 where empty, and the names."""
    raw, uniques = pd.factorize(column)
    texts = [normal_name(str(value)) for value in uniques]
    names = sorted(set(texts) - {""})
    places = {name: place for place, name in enumerate(names)}
    # An empty cell has the code -1 and so meets the last of these.
    return np.array([*(places.get(text, -1) for text in texts), -1], np.int32)[raw], names


@dataclass(frozen=True)
class _Lineages:
    """The distinct rows of a table.

    Attributes:
        ids: (rows,) which one each row is.
        table: (lineages, ranks) codes, sorted from coarse to fine.
        counts: (lineages,) number of rows.
    """

    ids: np.ndarray
    table: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray) -> _Lineages:
        ids = np.zeros(len(codes), np.int64)
        for column in codes.T:
            ids = np.unique(ids * (int(column.max()) + 1) + column, return_inverse=True)[1]
        _, first, counts = np.unique(ids, return_index=True, return_counts=True)
        return cls(ids, codes[first], counts)

    def most_frequent(self) -> np.ndarray:
        """(lineages,) bool, whether it is the one that counts for its leaf."""
        leaves = self.table[:, -1]
        best = np.lexsort((-self.counts, leaves))
        kept = np.zeros(len(leaves), bool)
        kept[best[np.unique(leaves[best], return_index=True)[1]]] = True
        return kept

    def rival(self, kept: np.ndarray) -> np.ndarray:
        """(lineages,) the kept lineage of the same leaf."""
        winners = np.flatnonzero(kept)
        of_leaf = np.zeros(self.table[:, -1].max() + 1, np.int64)
        of_leaf[self.table[winners, -1]] = winners
        return of_leaf[self.table[:, -1]]


@dataclass(frozen=True)
class _Classes:
    """Names in class order, and the class of each name of the finest rank, -1 for none."""

    labels: tuple[str, ...]
    of_name: np.ndarray


def _classes(names, present, labels, rank, where, notes) -> _Classes:
    present = np.unique(present)
    of_name = np.full(len(names), -1)
    if labels is None:
        of_name[present] = np.arange(len(present))
        return _Classes(tuple(names[place] for place in present), of_name)
    places = {names[place]: place for place in present}
    for index, label in enumerate(labels):
        place = places.get(normal_name(str(label)))
        if place is None:
            raise InputError(f"{where} has no row for the class '{label}': add its {rank}'s taxa")
        if of_name[place] >= 0:
            raise InputError(f"the classes '{labels[of_name[place]]}' and '{label}' are one {rank}")
        of_name[place] = index
    if len(present) > len(labels):
        strange = [names[place] for place in present if of_name[place] < 0]
        notes.append(f"{len(strange):,} {rank} of {where} are none of the classes: {some(strange)}")
    return _Classes(tuple(map(str, labels)), of_name)


def _build(ranks, names, table: np.ndarray, classes: _Classes) -> Taxonomy:
    """The tree of the distinct lineages (lineages, ranks), sorted from coarse to fine."""
    taxa, parents = [], []
    above = np.zeros(len(table), np.int64)
    for place in range(len(ranks) - 1):
        keys = above * len(names[place]) + table[:, place]
        _, first, here = np.unique(keys, return_index=True, return_inverse=True)
        taxa.append(tuple(names[place][code] for code in table[first, place]))
        parents.append(above[first])
        above = here
    leaf_parents = np.empty(len(classes.labels), np.int64)
    leaf_parents[classes.of_name[table[:, -1]]] = above
    return Taxonomy(tuple(ranks), (*taxa, classes.labels), (*parents, leaf_parents))


def _homonyms(taxonomy: Taxonomy) -> list[str]:
    notes = []
    for depth, rank in enumerate(taxonomy.ranks[1:-1], 2):
        above, names = taxonomy.names[depth - 2 : depth]
        parents = taxonomy.parents[depth - 1]
        homes: dict[str, dict[str, None]] = {}
        for name, parent in zip(names, parents, strict=True):
            homes.setdefault(name, {})[above[parent]] = None
        # Two parents of one name are themselves noted, at their rank.
        found = [f"{name} ({', '.join(of)})" for name, of in homes.items() if len(of) > 1]
        if found:
            notes.append(f"{rank}: homonyms, each taken as a taxon per parent: {some(found)}")
    return notes


def _gap(frame, ranks, gaps, where) -> InputError:
    row, place = np.argwhere(gaps)[0]
    total = int(gaps.any(axis=1).sum())
    more = f" ({total:,} such rows)" if total > 1 else ""
    return InputError(
        f"{where}, row {frame.index[row]}: the rank '{ranks[place]}' is empty{more}: fill it in, "
        "or leave the row out"
    )


def _two_parents(index, ranks, names, rows, kept, where) -> InputError:
    lost = np.flatnonzero(~kept)
    one = lost[rows.counts[lost].argmax()]
    rank, first, second = _difference(ranks, names, rows, rows.rival(kept)[one], one)
    leaf = names[-1][rows.table[one, -1]]
    leaves = len(np.unique(rows.table[lost, -1]))
    more = f" ({leaves:,} {ranks[-1]} are like this)" if leaves > 1 else ""
    return InputError(
        f"{where}, row {index[(rows.ids == one).argmax()]}: {ranks[-1]} '{leaf}' stands under two "
        f"of rank {rank}, {first} and {second}{more}: correct the rows, or give different "
        f"{ranks[-1]} different names"
    )


def _difference(ranks, names, rows, winner: int, loser: int) -> tuple[str, str, str]:
    """The finest rank in which two lineages of a leaf differ, and what rows say of it."""
    place = int(np.flatnonzero(rows.table[winner] != rows.table[loser])[-1])
    return ranks[place], *(
        f"'{names[place][rows.table[one, place]]}' ({_counted(rows.counts[one])})"
        for one in (winner, loser)
    )


def _counted(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _reasons(ranks, names, rows, kept) -> np.ndarray:
    """(lineages,) why a lineage is discarded; '' for those that are kept."""
    reasons = np.full(len(kept), "", object)
    rivals = rows.rival(kept)
    for one in np.flatnonzero(~kept):
        rank, first, second = _difference(ranks, names, rows, rivals[one], one)
        reasons[one] = f"{rank} is {second}, but mostly {first}"
    return reasons


def _explain_gaps(reasons: np.ndarray, gaps: np.ndarray, ranks) -> None:
    """Write the coarsest empty rank of every row that has one."""
    for place in reversed(range(len(ranks))):
        reasons[gaps[:, place]] = f"{ranks[place]} is empty"


def _discarded(frame, ranks, codes, names, reasons) -> pd.DataFrame:
    rows = np.flatnonzero(reasons != "")
    columns = {"row": frame.index[rows], "reason": reasons[rows]}
    for place, rank in enumerate(ranks):
        texts = np.array([*names[place], ""], object)
        columns[rank] = texts[codes[rows, place]]
    return pd.DataFrame(columns)
