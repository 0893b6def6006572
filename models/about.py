"""What the cards of a family's runs say: what it is for, what it is not for, and whom to cite."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class About:
    """What holds for every run of a family.

    Attributes:
        intended: what a run is made for, in sentences.
        unsuited: what it is not made for.
        ethics: what its use can do to people or animals, and how to avoid it.
        cite: BibTeX of the paper.
    """

    intended: str
    unsuited: str
    ethics: str
    cite: str


def about_of(model: type) -> About | None:
    """What the package of a model says about its family; None of a model outside of the zoo."""
    return getattr(import_module(model.__module__.rpartition(".")[0]), "ABOUT", None)
