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
    """What a model's own module, or else the package of its family, says as `ABOUT`, if it does."""
    own, family = model.__module__, model.__module__.rpartition(".")[0]
    found = (getattr(import_module(name), "ABOUT", None) for name in (own, family) if name)
    return next((about for about in found if about), None)
