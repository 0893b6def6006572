"""How the synthetic snails are related: a random tree, and what evolves along it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

ROOT_AGE, YOUNGEST = 5.0, 0.4  # million years: the oldest and at least the youngest common ancestor
# Genera, and the family that is named after each if it is the first of its family.
GENERA = {
    "Bistrenia": "Bistreniidae",
    "Izvorella": "Izvorellidae",
    "Studenia": "Studeniidae",
    "Vrelina": "Vrelinidae",
}
FAMILIES = 2
EPITHETS = (
    *("ardena", "belisa", "corvana", "delmira", "elvana", "fiorena", "gradina"),
    *("helvira", "istrana", "jelova", "karlena", "lumera", "mirena", "nerova"),
    *("oradna", "pelusa", "quirana", "rosalda", "selvana", "tarvisa", "ulmera"),
)


@dataclass(frozen=True)
class Kinship:
    """Species and how long ago they had a common ancestor.

    Attributes:
        names: of the species, sorted.
        genera: genus of each.
        families: family of each.
        ages: (species, species), million years since the last common ancestor of two.
        clades: species that descend from each common ancestor, from the youngest ancestor on.
        newick: the tree, branch lengths in million years.
    """

    names: tuple[str, ...]
    genera: tuple[str, ...]
    families: tuple[str, ...]
    ages: np.ndarray
    clades: tuple[tuple[int, ...], ...]
    newick: str

    def evolve(self, traits: int, rng: np.random.Generator) -> np.ndarray:
        """Traits by Brownian motion from 0 at the root, (species, traits), variance 1 at the tips.

        Two species share the motion up to their last common ancestor, which is their covariance.
        """
        shared = 1 - self.ages / self.ages.max()
        return np.linalg.cholesky(shared) @ rng.normal(size=(len(self.names), traits))

    def turned(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Two or three species whose common ancestor's shell came to turn the other way."""
        small = [clade for clade in self.clades if 2 <= len(clade) <= 3]
        return small[rng.integers(len(small))]


@dataclass(frozen=True)
class _Lineage:
    members: tuple[int, ...]
    age: float  # of their last common ancestor
    newick: str  # without the branch above

    def up_to(self, age: float) -> str:
        return f"{self.newick}:{age - self.age:.4f}"


def _ancestors(species: int, rng: np.random.Generator) -> np.ndarray:
    """Ages of the common ancestors, youngest first, if lineages split at a constant rate (Yule)."""
    waits = rng.exponential(1 / np.arange(species, 1, -1))
    since = np.cumsum(waits) / waits.sum()
    return np.round(YOUNGEST + (ROOT_AGE - YOUNGEST) * since, 4)


def _merge(lineages: list[_Lineage], age: float, rng: np.random.Generator) -> _Lineage:
    """Two lineages, any two with the same chance, meet in their ancestor; they leave the list."""
    second, first = sorted(rng.choice(len(lineages), 2, replace=False), reverse=True)
    left, right = lineages.pop(second), lineages.pop(first)
    joint = f"({left.up_to(age)},{right.up_to(age)})"
    return _Lineage(left.members + right.members, age, joint)


def _named(lineages: list[_Lineage], names: Iterable[str]) -> dict[int, str]:
    """Species -> name of the lineage that it belongs to."""
    return {
        tip: name for lineage, name in zip(lineages, names, strict=True) for tip in lineage.members
    }


def grow(rng: np.random.Generator) -> Kinship:
    """Grow a tree; its four and its two oldest clades are the genera and the families."""
    epithets, tips = rng.permutation(EPITHETS), range(len(EPITHETS))
    lineages = [_Lineage((tip,), 0.0, f"<{tip}>") for tip in tips]
    ages, clades, genera, families = np.zeros((len(tips), len(tips))), [], {}, {}
    for age in _ancestors(len(tips), rng):
        if len(lineages) == len(GENERA):
            genera = _named(lineages, GENERA)
        if len(lineages) == FAMILIES:
            types = [GENERA[min(genera[tip] for tip in line.members)] for line in lineages]
            families = _named(lineages, types)
        joint = _merge(lineages, age, rng)
        lineages.append(joint)
        clades.append(joint.members)
        within = np.ix_(joint.members, joint.members)
        ages[within] = np.where(ages[within], ages[within], age)
    np.fill_diagonal(ages, 0)

    names = [f"{genera[tip]} {epithets[tip]}" for tip in tips]
    newick = lineages[0].newick
    for tip in tips:
        newick = newick.replace(f"<{tip}>", names[tip].replace(" ", "_"))
    order = sorted(tips, key=names.__getitem__)
    return Kinship(
        names=tuple(names[tip] for tip in order),
        genera=tuple(genera[tip] for tip in order),
        families=tuple(families[tip] for tip in order),
        ages=ages[np.ix_(order, order)],
        clades=tuple(tuple(sorted(order.index(tip) for tip in clade)) for clade in clades),
        newick=f"{newick};",
    )
