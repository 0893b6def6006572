"""What the leak check found, in figures and in sentences (see `datasets.leaks`)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass

STRONG = 0.9  # accuracy above which the measurements alone name the class; the paper's figure
ALONE = 0.95  # accuracy that no few columns should reach
CLASSES_PER_COLUMN = 5  # with fewer, a column that tells them apart is nothing unusual
LISTED = 40


@dataclass(frozen=True)
class Score:
    """Share of the samples held out that a forest names rightly, of `n`."""

    accuracy: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.accuracy:.1f} % (n = {self.n})"


@dataclass(frozen=True)
class PlaceLeak:
    """What columns that are the same all over a place give away.

    Attributes:
        place: column of the table that names the place.
        places: number of different ones.
        single: number of those with one class.
        columns: that identify the place, the most telling first.
        identified: share of the samples held out that these columns put to their own place.
        alone: of the class, by these columns alone.
        remaining: the other columns.
        without: of the class, by the other columns; None if there are none.
        other_places: of the class, by all columns, at places that were held out whole; None where
            no class has two places.
    """

    place: str
    places: int
    single: int
    columns: tuple[str, ...]
    identified: Score
    alone: Score
    remaining: tuple[str, ...]
    without: Score | None
    other_places: Score | None

    def line(self) -> str:
        """The finding in one sentence or a few."""
        many, classes = len(self.columns) > 1, f"{self.single} of them with one class"
        if self.single == self.places:
            classes = "each with one class"
        text = (
            f"{_joined(self.columns)} {'identify' if many else 'identifies'} the {self.place} "
            f"({self.places} of them, {classes}; found for {self.identified}) and thereby the "
            f"class: alone {'they name' if many else 'it names'} {self.alone}"
        )
        if self.other_places:
            text += f"; where whole places are held out, all columns name {self.other_places}"
        if not self.remaining:
            return text + ". No column remains: drop them with --measurements none."
        text += f". Without them the other columns name {self.without}: drop them with "
        if len(self.remaining) <= LISTED:
            return text + f"--measurements {shlex.quote(','.join(self.remaining))}"
        return text + f"--measurements and the names of the other {len(self.remaining)}."


@dataclass(frozen=True)
class LeakReport:
    """What the measurements alone tell about the class.

    Attributes:
        samples: number of samples looked at, those with measurements; of very large tables a part.
        classes: number of their classes.
        columns: names of the measurements.
        whole: by all columns.
        few: the best single column, the best pair that holds it, and so on until `ALONE` is
            reached: (names, score).
        different: how many different values, or pairs of them, the last of `few` takes.
        importances: column -> share in the forest's decisions (mean decrease of Gini impurity,
            Breiman 2001), the highest first. Columns with few values are underrated by it.
        place: the column that names the place, if there is one.
        leak: what identifies the place; None if nothing was found, or cannot be.
        one_place_each: whether every class was found at one place only, so that nothing can tell
            class from place.
    """

    samples: int
    classes: int
    columns: tuple[str, ...]
    whole: Score
    few: tuple[tuple[tuple[str, ...], Score], ...]
    different: int
    importances: dict[str, float]
    place: str | None = None
    leak: PlaceLeak | None = None
    one_place_each: bool = False

    @property
    def suspects(self) -> tuple[str, ...]:
        """Names of the columns that a person should look at."""
        if self.leak:
            return self.leak.columns
        return self.few[-1][0] if self._few_suffice() else ()

    def lines(self) -> list[str]:
        """The findings in plain sentences."""
        lines = [
            f"A random forest on the measurements alone ({_columns(len(self.columns))}) names the "
            f"class of {self.whole}, {self.classes} classes."
        ]
        if self.leak:
            return [*lines, self.leak.line()]
        if self._few_suffice():
            lines.append(self._few_line())
        if self.whole.accuracy > STRONG or self._few_suffice():
            lines.append(self._advice())
        return lines

    def to_json(self) -> dict:
        """The findings as lists, dictionaries, strings and numbers."""
        found = asdict(self)
        found["columns"] = list(self.columns)
        found["few"] = [{"columns": list(names), **asdict(score)} for names, score in self.few]
        if self.leak:
            for name in ("columns", "remaining"):
                found["leak"][name] = list(found["leak"][name])
        return found

    def _few_suffice(self) -> bool:
        names, score = self.few[-1]
        # A table that has few columns anyway says nothing by needing few.
        return (
            score.accuracy > ALONE
            and self.classes >= CLASSES_PER_COLUMN * len(names)
            and len(names) < len(self.columns)
        )

    def _few_line(self) -> str:
        names, score = self.few[-1]
        line = f"{_joined(names)} alone {'name' if len(names) > 1 else 'names'} {score}"
        if 2 * self.different < self.samples:
            line += f", with {self.different} different values among {self.samples} samples"
        return line + "."

    def _advice(self) -> str:
        if self.one_place_each:
            return (
                f"Each class comes from one {self.place} only: whether the measurements show the "
                "class or the place, these data cannot tell."
            )
        if self.place:
            return (
                f"No column that is the same all over a {self.place} explains this: the "
                "measurements themselves tell the classes apart."
            )
        return (
            "Whether they show the class or only where or when a sample was taken, a column that "
            "names the place would tell: name one 'site', or divide by it with --group."
        )


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
