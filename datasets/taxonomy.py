"""A tree of taxa: their names and parents, rank by rank, and what follows from these."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import NamedTuple

import numpy as np

from datasets.errors import InputError

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
ROOT = "root"
HYBRID = "×"
# The sign stands before a word, with or without a space; the letter x in its place stands alone.
_HYBRID_SIGN = re.compile(rf"(?:^|(?<=\s))(?:[xX]\s+|{HYBRID}\s*)(?=\S)")


def normal_name(text: str) -> str:
    """A name in Unicode's normal form C, white space squeezed, a hybrid's sign as `× `."""
    squeezed = " ".join(unicodedata.normalize("NFC", text).split())
    return _HYBRID_SIGN.sub(f"{HYBRID} ", squeezed)


class Node(NamedTuple):
    """A taxon by its place in a taxonomy.

    Attributes:
        depth: 0 for the root, 1 for the coarsest rank.
        index: among the taxa of that depth.
    """

    depth: int
    index: int


ROOT_NODE = Node(0, 0)


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Taxa of several ranks under one root.

    The leaves, taxa of the finest rank, stand in the order of a network's classes. Taxa of the
    other ranks are sorted by lineage, so that each has its leaves together in `order`.

    Depth is counted as in the text of paper 001, section 5: root 0, coarsest rank 1, and so
    kingdom 1 and species 7 where there are seven ranks (spec 001, 1b).

    Attributes:
        ranks: from coarse to fine.
        names: of the taxa, rank by rank.
        parents: rank by rank (taxa,) int, the index of each taxon's parent in the rank above;
            zeros for the coarsest. This is t_d of paper 001, section 3.2.
    """

    ranks: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    parents: tuple[np.ndarray, ...]

    def __post_init__(self):
        if not len(self.ranks) == len(self.names) == len(self.parents) > 0:
            raise ValueError(
                f"{len(self.ranks)} ranks, names of {len(self.names)}, parents of "
                f"{len(self.parents)}"
            )
        above = 1
        for depth, (rank, names, parents) in enumerate(self._by_rank(), 1):
            if len(names) != len(parents) or not np.array_equal(np.unique(parents), range(above)):
                raise ValueError(f"{rank}: the parents of {len(names)} taxa are not {above} taxa")
            if depth < len(self.ranks) and (np.diff(parents) < 0).any():
                raise ValueError(f"{rank}: the taxa are not sorted by their parents")
            above = len(names)
        if len(set(self.leaves)) < len(self.leaves):
            raise ValueError(f"two leaves of rank {self.ranks[-1]} have one name")

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the finest rank, in class order."""
        return self.names[-1]

    @cached_property
    def ancestors(self) -> np.ndarray:
        """(ranks + 1, leaves) index of each leaf's ancestor at every depth, the root's first."""
        table = np.zeros((len(self.ranks) + 1, len(self.leaves)), np.int64)
        table[-1] = np.arange(len(self.leaves))
        for depth in range(len(self.ranks), 1, -1):
            table[depth - 1] = self.parents[depth - 1][table[depth]]
        return table

    @cached_property
    def order(self) -> np.ndarray:
        """(leaves,) leaf indices sorted by lineage; leaves of one parent in class order."""
        return np.argsort(self.parents[-1], kind="stable")

    @cached_property
    def bounds(self) -> tuple[np.ndarray, ...]:
        """For every depth but the last, (taxa + 1,): taxon i has `order[bounds[i]:bounds[i+1]]`."""
        return tuple(
            np.searchsorted(row[self.order], np.arange(row.max() + 2))
            for row in self.ancestors[:-1]
        )

    @cached_property
    def first_children(self) -> tuple[np.ndarray, ...]:
        """For every depth but the last, (taxa,) place of each one's first child among the next.

        The leaves are taken in `order`; the children of one taxon stand together.
        """
        last = len(self.ranks) - 1
        return tuple(
            np.searchsorted(parents[self.order] if depth == last else parents, np.unique(parents))
            for depth, parents in enumerate(self.parents)
        )

    def depth_of(self, rank: str) -> int:
        """The depth of a rank, from 1.

        Raises:
            InputError: there is no such rank.
        """
        lower = [known.casefold() for known in self.ranks]
        if rank.strip().casefold() not in lower:
            raise InputError(f"there is no rank '{rank}': the ranks are {', '.join(self.ranks)}")
        return lower.index(rank.strip().casefold()) + 1

    def translate(self, indices, source: str, target: str) -> np.ndarray:
        """Labels of one rank as labels of a coarser one (paper 001, section 3.2).

        Args:
            indices: of taxa of the rank `source`, any shape; -1, for unknown, stays -1.
            source: a rank.
            target: the same or a coarser rank.

        Raises:
            InputError: there is no such rank.
            ValueError: the target is finer than the source.
        """
        start, stop = self.depth_of(source), self.depth_of(target)
        if stop > start:
            raise ValueError(f"a {source} is not of one {target}: translate to a coarser rank")
        indices = np.asarray(indices, np.int64)
        known = indices >= 0
        found = np.where(known, indices, 0)
        for depth in range(start, stop, -1):
            found = self.parents[depth - 1][found]
        return np.where(known, found, -1)

    def children(self, node: Node) -> np.ndarray:
        """Indices, at the next depth, of the taxa right below a node; none below a leaf."""
        if node.depth == len(self.ranks):
            return np.array([], np.int64)
        return np.flatnonzero(self.parents[node.depth] == node.index)

    def leaves_below(self, node: Node) -> np.ndarray:
        """Class indices of a node's leaves, sorted by lineage; a leaf's is its own."""
        if node.depth == len(self.ranks):
            return np.array([node.index])
        start, stop = self.bounds[node.depth][node.index : node.index + 2]
        return self.order[start:stop]

    def leaf_counts(self, depth: int) -> np.ndarray:
        """(taxa,) number of leaves under every taxon of a depth."""
        if depth == len(self.ranks):
            return np.ones(len(self.leaves), np.int64)
        return np.diff(self.bounds[depth])

    def path(self, node: Node) -> tuple[Node, ...]:
        """The node and its ancestors, from the coarsest rank down; empty for the root."""
        found = []
        while node.depth:
            found.append(node)
            node = Node(node.depth - 1, int(self.parents[node.depth - 1][node.index]))
        return tuple(reversed(found))

    def common_ancestor(self, nodes: Iterable[Node]) -> Node:
        """The deepest node that is above all of these, or one of them; the root of none."""
        paths = [self.path(node) for node in nodes]
        last = ROOT_NODE
        for step in zip(*paths, strict=False):
            if len(set(step)) > 1:
                break
            last = step[0]
        return last

    def name(self, node: Node) -> str:
        return self.names[node.depth - 1][node.index] if node.depth else ROOT

    def rank(self, node: Node) -> str:
        return self.ranks[node.depth - 1] if node.depth else ROOT

    def lineage(self, leaf: int) -> tuple[str, ...]:
        """Names from the coarsest rank down to a leaf."""
        return self._lineage(Node(len(self.ranks), leaf))

    def find(self, name: str, rank: str | None = None) -> Node:
        """The taxon of a name, in capital letters or not.

        Args:
            name: a name; `rank:name` and `parent/name` tell homonyms apart.
            rank: of the taxon; None for any.

        Raises:
            InputError: there is no such taxon, or there are several.
        """
        told, above, last = self._parts(name, rank)
        alike = self._by_name.get(last.casefold(), [])
        depth = self.depth_of(told) if told else None
        found = [node for node in alike if depth in (None, node.depth) and self._is_in(node, above)]
        found = [node for node in found if self.name(node) == last] or found
        if len(found) == 1:
            return found[0]
        if found:
            keys = " or ".join(self._key(node, found) for node in found)
            raise InputError(f"'{name}' is the name of {len(found)} taxa: write {keys}")
        kind = told or "taxon"
        raise InputError(f"there is no {kind} '{name}': {self._advice(last, depth, alike)}")

    def to_json(self) -> dict:
        """The taxonomy as plain lists, for a saved run."""
        return {
            "ranks": list(self.ranks),
            "names": [list(names) for names in self.names],
            "parents": [parents.tolist() for parents in self.parents],
        }

    @classmethod
    def from_json(cls, values: dict) -> Taxonomy:
        return cls(
            tuple(values["ranks"]),
            tuple(map(tuple, values["names"])),
            tuple(np.array(parents, np.int64) for parents in values["parents"]),
        )

    def _by_rank(self):
        return zip(self.ranks, self.names, self.parents, strict=True)

    @cached_property
    def _by_name(self) -> dict[str, list[Node]]:
        """Nodes by their names in small letters and in normal form."""
        found: dict[str, list[Node]] = {}
        for depth, names in enumerate(self.names, 1):
            for index, name in enumerate(names):
                found.setdefault(normal_name(name).casefold(), []).append(Node(depth, index))
        return found

    def _parts(self, name: str, rank: str | None) -> tuple[str | None, list[str], str]:
        """Rank, names of taxa above, and the name itself, out of `rank:above/name`."""
        text = normal_name(name)
        if text.casefold() in self._by_name:  # it may hold these signs itself
            return rank, [], text
        head, sign, rest = text.partition(":")
        if rank is None and sign:
            rank, text = head, rest
        *above, last = (part.strip() for part in text.split("/"))
        return rank, above, last

    def _lineage(self, node: Node) -> tuple[str, ...]:
        return tuple(self.name(step) for step in self.path(node))

    def _is_in(self, node: Node, above: list[str]) -> bool:
        if not above:
            return True
        lineage = {name.casefold() for name in self._lineage(node)[:-1]}
        return all(name.casefold() in lineage for name in above)

    def _key(self, node: Node, rivals: list[Node]) -> str:
        """The shortest way to write a node that fits none of its rivals."""
        lineage = self._lineage(node)
        others = [
            self._lineage(rival) for rival in rivals if rival.depth == node.depth and rival != node
        ]
        length = 1
        while length < len(lineage) and any(
            other[-length:] == lineage[-length:] for other in others
        ):
            length += 1
        return f"{self.rank(node)}:{'/'.join(lineage[-length:])}"

    def _advice(self, name: str, depth: int | None, alike: list[Node]) -> str:
        if alike:
            return f"write {' or '.join(self._key(node, alike) for node in alike)}"
        near = self._by_name
        if depth is not None:
            near = [key for key, nodes in near.items() if depth in (node.depth for node in nodes)]
        close = get_close_matches(name.casefold(), list(near), 3)
        if not close:
            ranks = self.ranks if depth is None else [self.ranks[depth - 1]]
            return f"give the name of a taxon of rank {', '.join(ranks)}"
        names = [self.name(self._by_name[key][0]) for key in close]
        return f"did you mean {' or '.join(names)}?"
