"""Recipes: the tables of the papers as data, theirs beside ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of a table: a model with its options.

    Attributes:
        name: as it stands in the table.
        model: name of the model.
        options: option -> value; what is not named keeps its preset value.
        uses: option -> name of the row whose run, of the same seed, is its value; or names of
            several, whose runs it takes with commas between. It is left out with any of them.
        paper: part -> accuracy that the paper states, where it does: in percent, or as (right
            answers, samples).
        classes: least number of classes that the data need; with fewer the row is left out.
        full: further options under --full.
        only_full: whether the row stands in the table under --full alone.
        in_quick: whether the row stands in the table under --quick as well.
        some: whether the row makes do with those of the rows it uses that are in the table.
    """

    name: str
    model: str
    options: dict = field(default_factory=dict)
    uses: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    paper: dict[str, float | tuple[int, int]] = field(default_factory=dict)
    classes: int = 0
    full: dict = field(default_factory=dict)
    only_full: bool = False
    in_quick: bool = True
    some: bool = False

    def used(self, option: str) -> tuple[str, ...]:
        """Names of the rows whose runs are the value of an option."""
        names = self.uses[option]
        return (names,) if isinstance(names, str) else names

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of all rows that are trained before it."""
        return tuple(name for option in self.uses for name in self.used(option))


@dataclass(frozen=True)
class Recipe:
    """One table.

    Attributes:
        title: what the table shows, and where it stands in the paper.
        rows: in the order in which they are trained.
        seeds: each row is trained once for each; not used where there are folds.
        differs: why ours and theirs differ on the same kind of data, as far as it is known.
        findings: "module:function" from (row name -> seed -> run folder) to lines that stand below
            the table.
        drawn: "module:function" from the same and a folder to lines that show what it has drawn
            there; "" for nothing.
        compared: names of rows whose curves are drawn together.
        quick: options of every row under --quick, which also takes the first seed alone.
        one_table: whether all rows learn from the same table, which is then read only once; rows
            that it does not allow are left out.
        folds: of a cross-validation, each of which takes the place of a seed; 0 for none.
        shared: options of every row, unless --full is said.
        full: options of every row under --full, the paper's own size.
        demonstration: in place of `shared` on the demonstration set; None for the same.
    """

    title: str
    rows: tuple[Row, ...]
    differs: str
    findings: str
    seeds: tuple[int, ...] = (0,)
    drawn: str = ""
    compared: tuple[str, ...] = ()
    quick: dict = field(default_factory=dict)
    one_table: bool = False
    folds: int = 0
    shared: dict = field(default_factory=dict)
    full: dict = field(default_factory=dict)
    demonstration: dict | None = None

    @property
    def repetitions(self) -> tuple[int, ...]:
        """The seeds, or the numbers of the folds."""
        return tuple(range(1, self.folds + 1)) or self.seeds


def recipe_names() -> list[str]:
    """The recipes there are: one module each in this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
