"""The true taxa of samples, also of species that a run does not know."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from datasets.base import Table
from datasets.taxonomy import Node, Taxonomy, normal_name


def true_taxa(table: Table, taxonomy: Taxonomy) -> np.ndarray:
    """The true taxon of every sample at every depth.

    A sample of a known species has its lineage. One of an unknown species is placed by the table's
    columns of ranks, as deep as the taxonomy knows them: an answer "its genus" is right where the
    genus is known, and the species is wrong whatever is answered.

    Args:
        table: its labels are the leaves, in their order; columns of its frame that are called as
            ranks of the taxonomy hold names, where there are such.
        taxonomy: of the run.

    Returns:
        (samples, ranks + 1) int64, index of the taxon; -1 where the taxonomy lacks it, and in the
        whole row, the root included, where nothing of the sample is known.
    """
    targets = table.targets
    known = targets >= 0
    truth = np.where(known[:, None], taxonomy.ancestors.T[np.where(known, targets, 0)], -1)
    named = {str(name).strip().casefold(): name for name in table.frame.columns}
    ranks = [rank for rank in taxonomy.ranks if rank.casefold() in named]
    if known.all() or not ranks:
        return truth
    columns = [named[rank.casefold()] for rank in ranks]
    unknown = table.frame.loc[~known, columns].fillna("").reset_index(drop=True)
    places, finder = np.flatnonzero(~known), _Finder(taxonomy)
    for names, rows in unknown.groupby(columns, sort=False).indices.items():
        node = finder.deepest(dict(zip(ranks, names, strict=True)))
        if node is not None:
            steps = (Node(0, 0), *taxonomy.path(node))
            truth[places[rows], : len(steps)] = [step.index for step in steps]
    return truth


class _Finder:
    """Finds taxa by the names of a lineage."""

    def __init__(self, taxonomy: Taxonomy):
        self.taxonomy = taxonomy
        self.named = defaultdict(list)
        for depth, names in enumerate(taxonomy.names, 1):
            for index, name in enumerate(names):
                self.named[depth, _plain(name)].append(Node(depth, index))

    def deepest(self, names: dict[str, str]) -> Node | None:
        """The deepest taxon that fits a lineage, rank -> name or ''; None where none does."""
        taxonomy = self.taxonomy
        told = {taxonomy.depth_of(rank): _plain(name) for rank, name in names.items()}
        for depth in sorted(told, reverse=True):
            fitting = [
                node for node in self.named.get((depth, told[depth]), ()) if self._fits(node, told)
            ]
            if len(fitting) == 1:
                return fitting[0]
        return None

    def _fits(self, node: Node, told: dict[int, str]) -> bool:
        return all(
            told.get(step.depth, "") in ("", _plain(self.taxonomy.name(step)))
            for step in self.taxonomy.path(node)
        )


def _plain(name) -> str:
    return normal_name(str(name)).casefold()
