"""What the columns of a user's table are for: label, ranks, measurements, and the rest.

Told by the user, or inferred from the names and the cells (design, section 4). Every decision is a
line that can be printed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from datasets.columns import Column
from datasets.errors import InputError
from datasets.images import PICTURE_SUFFIXES
from datasets.own_data import PART_NAMES
from datasets.sheets import Sheet

RANKS = (
    "kingdom",
    "phylum",
    "class",
    "order",
    "family",
    "subfamily",
    "tribe",
    "genus",
    "subgenus",
    "species",
)
LABELS = ("label", "class", "target", "category")
SITES = ("site", "locality", "location", "station")
PARTS = ("part", "split", "set", "subset")
IDS = ("id", "number", "no", "nr", "index", "row", "specimen", "sample", "key", "(no name)")
_VIEW = re.compile(r"image_(\d+)")
_YEARS = (1500, 2200)


@dataclass(frozen=True)
class Roles:
    """What the user says about the columns; None leaves it to be inferred.

    Attributes:
        label: the column that is learnt.
        measurements: names separated by commas; `none` for no measurements, `all` for those that
            would be inferred.
        ranks: taxonomic columns from coarse to fine, separated by commas.
        group: a column; specimens with the same value of it are never split.
    """

    label: str | None = None
    measurements: str | None = None
    ranks: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Decision:
    """What the columns of a sheet are for.

    Attributes:
        image: column with the path of the picture.
        label: column that is learnt; None where no label is needed and none was found.
        ranks: taxonomic columns from coarse to fine.
        measurements: columns of numbers, or of text as categories, in their order.
        part: column with the part that each specimen was assigned to; None for none.
        group: column that groups the specimens; None for none.
        views: columns with the paths of further pictures, `image_2` and so on, in their order.
        lines: how all this was decided, for people.
    """

    image: str
    label: str | None
    ranks: tuple[str, ...]
    measurements: tuple[str, ...]
    part: str | None
    group: str | None
    views: tuple[str, ...]
    lines: tuple[str, ...]


def decide(
    sheet: Sheet,
    roles: Roles,
    columns: tuple[Column, ...] | None = None,
    measured: bool = True,
    judged: bool = False,
    need_label: bool = True,
    pictures_only: bool = False,
) -> Decision:
    """Tell what each column is for.

    Args:
        sheet: the table.
        roles: what the user says.
        columns: the measurements of a trained run; they count instead of what the roles say.
        measured: whether measurements are wanted at all.
        judged: whether the specimens are only judged, which needs neither ranks nor group.
        need_label: whether a table without a label is refused.
        pictures_only: whether the data set knows no measurements, and reads further views.

    Raises:
        InputError: a column that is named or needed is not there, or cannot be what it should be.
    """
    names = list(sheet.cells)
    lines: list[str] = []
    if judged:
        roles = _without_absent(roles, names, lines)
    image = _image(sheet)
    ranks = _ranks(sheet, roles)
    label = _label(sheet, roles, ranks, need_label)
    part, group = _part(sheet), _named(sheet, roles.group, "--group")
    views = _views(names)
    taken = {image, label, part, group, *ranks, *views}
    reasons: dict[str, str] = {}
    if pictures_only or not measured or roles.measurements == "none":
        chosen, how = [], "none"
    elif columns is not None:
        chosen, how = _of_run(sheet, columns), "those of the run"
    elif roles.measurements in (None, "all"):
        chosen, reasons = _inferred(sheet, label, taken)
        how = "the columns of numbers" if chosen else "none, for no column holds numbers"
    else:
        chosen, how = _told(sheet, roles.measurements, (image, label)), "as told"
    lines += _lines(sheet, label, ranks, part, group)
    if not pictures_only:
        lines += _measurement_lines(sheet, chosen, how, reasons)
        lines += [f"{name}: a further view, which this data set does not read" for name in views]
    return Decision(image, label, ranks, tuple(chosen), part, group, views, tuple(lines))


def ranks_to(decision: Decision) -> tuple[str, ...]:
    """The ranks down to that of the label; none where the label is no rank."""
    if decision.label not in decision.ranks:
        return ()
    return decision.ranks[: decision.ranks.index(decision.label) + 1]


def ranks_above_label(frame: pd.DataFrame, told: str | None = None) -> tuple[str, ...]:
    """Taxonomic columns that are coarser than the label, from coarse to fine.

    Args:
        frame: of a datasets.base.Table.
        told: the columns, separated by commas; None for those with customary names.
    """
    ranks = _split(told) if told else _customary(list(frame.columns))
    for place, name in enumerate(ranks):
        if name in frame and frame[name].eq(frame["label"]).all():
            return tuple(ranks[:place])
    return tuple(ranks)


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _named(sheet: Sheet, name: str | None, flag: str) -> str | None:
    """The column of a name, checked."""
    if name is None or name.strip() in sheet.cells:
        return None if name is None else name.strip()
    raise InputError(
        f"{flag} {name}: {sheet.where} has no such column{_hint(name, sheet.cells)}; it has "
        f"{some(sheet.cells)}"
    )


def _hint(name: str, names: Iterable[str]) -> str:
    lower = {known.lower(): known for known in names}
    close = get_close_matches(name.strip().lower(), list(lower), 1)
    return f" (did you mean '{lower[close[0]]}'?)" if close else ""


def _without_absent(roles: Roles, names: Collection[str], lines: list[str]) -> Roles:
    """The roles without ranks and group that a table which is only judged lacks."""
    ranks, group = roles.ranks, roles.group
    for told, what in ((ranks, "ranks"), (group, "group")):
        gone = [name for name in _split(told or "") if name not in names]
        if gone:
            lines.append(f"{what}: {some(gone)} is not in this table, and judging needs no {what}")
    if group is not None and group.strip() not in names:
        group = None
    if ranks is not None:
        ranks = ",".join(name for name in _split(ranks) if name in names)
    return Roles(roles.label, roles.measurements, ranks, group)


def first_named(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The column with the first of some customary names, in capital letters or not."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in wanted if name in lower), None)


def _image(sheet: Sheet) -> str:
    found = first_named(sheet.cells, ("image", "image_1"))
    if found is not None:
        return found
    alike = [
        name
        for name, cells in sheet.cells.items()
        if cells.str.lower().str.endswith(PICTURE_SUFFIXES).mean() > 0.5
    ]
    hint = f"call the column '{alike[0]}' so" if alike else f"it has {some(sheet.cells)}"
    raise InputError(f"{sheet.where} has no column 'image' with the paths of the pictures: {hint}")


def _views(names: Iterable[str]) -> tuple[str, ...]:
    found = {name: _VIEW.fullmatch(name.lower()) for name in names}
    numbers = {name: int(view[1]) for name, view in found.items() if view and int(view[1]) > 1}
    return tuple(sorted(numbers, key=numbers.get))


def _customary(names: list[str], numeric: Collection[str] = ()) -> list[str]:
    lower = {name.lower(): name for name in names if name not in numeric}
    found = [lower[rank] for rank in RANKS if rank in lower]
    if "order" not in lower and "family" not in lower:
        found = [name for name in found if name.lower() != "class"]
    return found


def _ranks(sheet: Sheet, roles: Roles) -> tuple[str, ...]:
    if roles.ranks is not None:
        return tuple(_named(sheet, name, "--ranks") for name in _split(roles.ranks))
    # Numbers under these two names are an order of rows and codes of a class.
    numeric = [
        name
        for name in sheet.cells
        if name.lower() in ("order", "class") and sheet.numbers[name].kind == "number"
    ]
    return tuple(_customary(list(sheet.cells), numeric))


def _label(sheet: Sheet, roles: Roles, ranks: tuple[str, ...], needed: bool) -> str | None:
    if roles.label is not None and (needed or roles.label.strip() in sheet.cells):
        return _named(sheet, roles.label, "--label")
    found = ranks[-1] if ranks else first_named(sheet.cells, LABELS)
    if found is None and needed:
        raise InputError(
            f"{sheet.where} has no column to learn: call one 'species' or 'label', or name it by "
            f"--label; it has {some(sheet.cells)}"
        )
    return found


def _part(sheet: Sheet) -> str | None:
    """The column of parts; one that holds something else altogether is none."""
    name = first_named(sheet.cells, PARTS)
    if name is None:
        return None
    cells = sheet.cells[name].str.lower()
    known = cells.isin(PART_NAMES).to_numpy()
    odd = np.flatnonzero(~known & (cells != "").to_numpy())
    if known.any() and len(odd):
        raise InputError(
            f"{sheet.where}, row {sheet.rows[odd[0]]}, column '{name}': "
            f"'{sheet.cells[name].iloc[odd[0]]}' is no part: use train, validation or test, or "
            "rename the column"
        )
    return name if known.any() else None


def _of_run(sheet: Sheet, columns: tuple[Column, ...]) -> list[str]:
    for column in columns:
        if column.name not in sheet.cells:
            raise InputError(
                f"{sheet.where} lacks the column '{column.name}', which the run was trained on"
                f"{_hint(column.name, sheet.cells)}: add it, empty where nothing was measured"
            )
    return [column.name for column in columns]


def _told(sheet: Sheet, told: str, forbidden: tuple) -> list[str]:
    names = [_named(sheet, name, "--measurements") for name in _split(told)]
    for name in names:
        if name in forbidden:
            raise InputError(f"--measurements: '{name}' is no measurement: leave it out")
        if sheet.numbers[name].kind == "empty":
            raise InputError(
                f"--measurements: the column '{name}' of {sheet.where} is empty: leave it out"
            )
    if not names:
        raise InputError("--measurements is empty: name columns, or say none")
    return names


def _inferred(sheet: Sheet, label: str | None, taken: Collection[str]):
    """The measurements, and of each other column why it is none."""
    reasons = {}
    for name in sheet.cells:
        if name not in taken:
            reasons[name] = _no_measurement(sheet, name, label)
    chosen = [name for name, reason in reasons.items() if reason is None]
    return chosen, {name: reason for name, reason in reasons.items() if reason}


def _no_measurement(sheet: Sheet, name: str, label: str | None) -> str | None:
    """Why a column is not taken for a measurement; None where it is one."""
    numbers, lower = sheet.numbers[name], name.lower()
    if numbers.kind == "empty":
        return "empty"
    if lower in SITES:
        return "a place"
    if lower in LABELS:
        return "may be the label once more"
    if numbers.kind == "text":
        return "text"
    if not numbers.are_whole:
        return None
    words = re.split(r"[\s_.-]+", lower)
    if words[-1] == "id" or (lower in IDS or words[0] in IDS) and _differ(numbers.values):
        return "numbers of specimens"
    if "year" in words and _YEARS[0] <= numbers.values.min() <= numbers.values.max() <= _YEARS[1]:
        return "years"
    if label is not None and _is_code(sheet.cells[name], sheet.cells[label]):
        return "a code of the label"
    return None


def _differ(values: np.ndarray) -> bool:
    return len(np.unique(values)) == len(values)


def _is_code(cells: pd.Series, label: pd.Series) -> bool:
    """Whether each value goes with one class and each class, of several specimens, with one."""
    pairs = pd.DataFrame({"cell": cells, "label": label}).drop_duplicates()
    classes = label.nunique()
    return len(pairs) == classes == pairs["cell"].nunique() and 1 < classes < len(cells)


def _lines(sheet, label, ranks, part, group) -> list[str]:
    lines = []
    if label is not None:
        classes = sheet.cells[label][sheet.cells[label] != ""].nunique()
        lines.append(f"label: {label}, {classes:,} classes")
    if ranks:
        lines.append(f"ranks, from coarse to fine: {', '.join(ranks)}")
        lines += _straddling(sheet, label, ranks)
    if part is not None:
        lines.append(f"parts: {part}")
    if group is not None:
        lines.append(f"group: {group}, never split")
    return lines


def _straddling(sheet, label, ranks) -> list[str]:
    """What to say where one name stands for classes of several genera: a lone epithet does."""
    if label not in ranks[1:]:
        return []
    above = ranks[ranks.index(label) - 1]
    homes = sheet.cells[[label, above]].drop_duplicates()
    homes = homes[(homes != "").all(axis=1)]
    doubled = sorted(set(homes[label][homes[label].duplicated()]))
    if not doubled:
        return []
    return [f"  one class, though it stands under more than one {above}: {some(doubled)}"]


def _measurement_lines(sheet, chosen, how, reasons) -> list[str]:
    count = f"{len(chosen)}, {some(chosen)}; {how}" if chosen else how
    lines = [f"measurements: {count}"]
    texts = [name for name in chosen if sheet.numbers[name].kind == "text"]
    if texts:
        lines.append(f"  of these, text as categories: {some(texts)}")
    if reasons:
        listed = some([f"{name} ({reason})" for name, reason in reasons.items()], 12)
        lines.append(f"kept beside the measurements and not fed to the network: {listed}")
    return lines


def some(names: Iterable[str], most: int = 8) -> str:
    """Names separated by commas; of many the first."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
