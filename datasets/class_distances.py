"""How far apart classes are by kinship: from a matrix, from a tree, or from taxonomic columns."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.errors import InputError

NEWICK_SUFFIXES = (".nwk", ".newick", ".tree", ".tre")
SYMMETRY = 1e-6  # relative; printed distances are rounded
_DELIMITERS = ",;\t"
_NEXUS = "#nexus"


def read_class_distances(path, labels: Sequence[str]) -> np.ndarray:
    """Distances of classes from a file: a Newick tree or a CSV matrix.

    The suffix decides, `.csv` or one of `NEWICK_SUFFIXES`; else the content: a tree begins with a
    parenthesis or a comment in brackets.

    Args:
        path: of the file.
        labels: class names in index order.

    Returns:
        (classes, classes) float64, symmetric, not negative, in the unit of the file.

    Raises:
        InputError: see `from_csv` and `from_newick`.
    """
    suffix = Path(path).suffix.lower()
    if suffix in NEWICK_SUFFIXES:
        return from_newick(path, labels)
    if suffix != ".csv" and _text(path).lstrip().lower().startswith(("(", "[", _NEXUS)):
        return from_newick(path, labels)
    return from_csv(path, labels)


def from_csv(path, labels: Sequence[str]) -> np.ndarray:
    """Distances from a square table: names in its first row and in its first column.

    Separated by commas, semicolons or tabs; the rows may stand in another order than the columns.
    Names that are no label are passed over. A label is looked for as it is written, then without
    regard to case, and with underscores as spaces.

    Args:
        path: of the file, UTF-8.
        labels: class names in index order.

    Returns:
        (classes, classes) float64, as `read_class_distances`.

    Raises:
        InputError: no such file, no square matrix, a cell without a distance, a label that is
            missing or found twice, distances that are negative, asymmetric or all zero, or a
            diagonal that is not.
    """
    names, matrix = _square(path)
    _check_matrix(matrix, names, path)
    places = _places(names, labels, path, "row")
    return _told_apart(matrix[np.ix_(places, places)], path)


def from_newick(path, labels: Sequence[str]) -> np.ndarray:
    """Distances along a tree: the sum of the branch lengths from tip to tip.

    In a tree with branch lengths in time this is twice the age of the last common ancestor. Tips
    that are no label are passed over. Labels are looked for as by `from_csv`.

    Args:
        path: of a Newick file with one tree, UTF-8.
        labels: class names in index order.

    Returns:
        (classes, classes) float64, as `read_class_distances`.

    Raises:
        InputError: no such file, no Newick tree, a branch without a length or with a negative one,
            two tips of one name, a label that is missing or found twice, or all distances zero.
    """
    tree = _tree(path)
    clades, depths = _walk(tree.root, path)
    tips = [clade for clade in clades if not clade.clades]
    names = [(tip.name or "").strip() for tip in tips]
    _refuse_repeated(names, path, "tip")
    places = _places(names, labels, path, "tip")
    wanted = {id(tips[place]): index for index, place in enumerate(places)}
    return _told_apart(_tip_distances(clades, depths, wanted), path)


def from_taxonomy(frame: pd.DataFrame, labels: Sequence[str], ranks: Sequence[str]) -> np.ndarray:
    """Distances by the number of ranks up to the lowest common one.

    For ranks (family, genus): 1 within a genus, 2 within a family, 3 otherwise. Two classes have a
    rank in common if its names are equal and no coarser rank differs, so that an epithet which
    occurs in two genera makes no kin. A name that is missing for some samples of a class is that of
    its other samples; missing for all of them, it is in common with nobody, and the next coarser
    rank counts. A column that repeats the labels is no rank.

    Args:
        frame: with a column `label` and the ranks.
        labels: class names in index order.
        ranks: columns, from coarse to fine.

    Returns:
        (classes, classes) float64.

    Raises:
        InputError: there is no rank, a column or a class is missing, or samples of one class
            differ in a rank.
    """
    for rank in ranks:
        if rank not in frame:
            known = ", ".join(map(str, frame.columns))
            raise InputError(f"--ranks: the table has no column '{rank}'; it has {known}")
    ranks = [rank for rank in ranks if (frame[rank].astype(str) != frame["label"]).any()]
    if not ranks:
        raise InputError(
            "kinship of classes: the table has no taxonomic column beside the label: name some by "
            "--ranks, or give a matrix or a tree by --distances"
        )
    distances = np.full((len(labels), len(labels)), float(len(ranks) + 1))
    agrees = np.ones(distances.shape, bool)
    by_label = frame.groupby("label", sort=False)
    for steps, rank in zip(range(len(ranks), 0, -1), ranks, strict=True):
        names = _rank_names(by_label, labels, rank)
        known = names != ""
        equal = names[:, None] == names
        distances[agrees & equal & known & known[:, None]] = steps
        agrees &= equal | ~known | ~known[:, None]
    np.fill_diagonal(distances, 0)
    return distances


def _rank_names(by_label, labels, rank) -> np.ndarray:
    """(classes,) name of each class at a rank, '' where it is missing."""
    names = []
    for label in labels:
        if label not in by_label.groups:
            raise InputError(f"kinship of classes: the table has no sample of class '{label}'")
        values = by_label.get_group(label)[rank].dropna().astype(str).str.strip()
        values = sorted(set(values) - {""})
        if len(values) > 1:
            raise InputError(
                f"kinship of classes: samples of '{label}' differ in '{rank}' ('{values[0]}' and "
                f"'{values[1]}'): correct the table, or leave '{rank}' out of --ranks"
            )
        names.append(values[0] if values else "")
    return np.array(names)


def _text(path) -> str:
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such file: give a CSV matrix or a Newick tree")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as such") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _square(path) -> tuple[list[str], np.ndarray]:
    """Names and matrix of a table, its rows in the order of its columns."""
    (_, head), *rows = _rows(path)
    names = [name.strip() for name in head[1:]]
    found = {row[0].strip(): row[1:] for _, row in rows}
    _refuse_repeated(names, path, "column")
    _refuse_repeated([row[0].strip() for _, row in rows], path, "row")
    for line, row in rows:
        if len(row) != len(head):
            raise InputError(
                f"{path}, line {line}: {len(row) - 1} distances, but {len(names)} columns: every "
                "row needs its name and one distance for each column"
            )
    odd = sorted(set(names) ^ set(found))
    if odd:
        here, there = ("columns", "rows") if odd[0] in names else ("rows", "columns")
        raise InputError(
            f"{path} is not square: '{odd[0]}' is among the {here} and not among the {there}: give "
            "every name a row and a column"
        )

    def distances(row):
        cells = zip(names, found[row], strict=True)
        return [_distance(cell, path, row, column) for column, cell in cells]

    return names, np.array([distances(row) for row in names])


def _rows(path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    text = _text(path)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}: repair the table") from None
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise InputError(
            f"{path} holds no matrix: give class names in the first row and the first column, and "
            "distances between"
        )
    return rows


def _distance(cell: str, path, row: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = f"'{cell.strip()}'" if cell.strip() else "an empty cell"
        raise InputError(
            f"{path}: row '{row}', column '{column}' holds {what}: a distance is a finite number "
            "with a decimal point"
        )
    return value


def _check_matrix(matrix: np.ndarray, names: list[str], path) -> None:
    def refuse(wrong, problem, advice):
        row, column = np.argwhere(wrong)[0]
        there, back = matrix[row, column], matrix[column, row]
        where = f"{path}: row '{names[row]}', column '{names[column]}'"
        raise InputError(f"{where}: {problem.format(there=there, back=back)}: {advice}")

    if (matrix < 0).any():
        refuse(matrix < 0, "{there:g} is negative", "a distance is zero or more")
    own = np.diag(np.diag(matrix))
    if own.any():
        refuse(own != 0, "{there:g} on the diagonal", "a class is at distance zero from itself")
    differing = np.abs(matrix - matrix.T) > SYMMETRY * np.maximum(matrix, matrix.T)
    if differing.any():
        refuse(differing, "{there:g}, but {back:g} the other way", "make the matrix symmetric")


def _told_apart(distances: np.ndarray, path) -> np.ndarray:
    if len(distances) > 1 and not distances.any():
        raise InputError(
            f"{path}: all classes are at distance zero from each other, which tells nothing: give "
            "distances above zero"
        )
    return (distances + distances.T) / 2


def _refuse_repeated(names: list[str], path, kind: str) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: {count} {kind}s are named '{name}': every name stands once")


def _places(names: list[str], labels: Sequence[str], path, kind: str) -> list[int]:
    """Where each label stands among the names."""
    alike: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        alike.setdefault(_normal(name), []).append(place)
    exact = {name: place for place, name in enumerate(names)}
    places: dict[int, str] = {}
    for label in labels:
        found = [exact[label]] if label in exact else alike.get(_normal(label), [])
        if not found:
            raise InputError(
                f"{path} has no {kind} for class '{label}': add it, or leave the class out"
            )
        taken = places.get(found[0])
        if len(found) > 1 or taken is not None:
            both = [names[place] for place in found[:2]] if len(found) > 1 else [taken, label]
            raise InputError(
                f"{path}: '{both[0]}' and '{both[1]}' cannot be told apart for class '{label}': "
                "write the names as the labels are"
            )
        places[found[0]] = label
    return list(places)


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _tree(path):
    from Bio.Phylo import NewickIO

    text = _text(path)
    if text.lstrip().lower().startswith(_NEXUS):
        raise InputError(f"{path} is a NEXUS file: export the tree as Newick")
    try:
        trees = list(NewickIO.Parser.from_string(text).parse())
    except (NewickIO.NewickError, ValueError) as error:
        raise InputError(f"{path} is no Newick tree: {' '.join(str(error).split())}") from None
    if len(trees) != 1 or not trees[0].root.clades:
        what = f"{len(trees)} trees" if len(trees) > 1 else "no tree"
        raise InputError(f"{path} holds {what}: give one Newick tree, such as ((A:1,B:1):2,C:3);")
    return trees[0]


def _walk(root, path) -> tuple[list, dict[int, float]]:
    """All clades, parents first and branch by branch, and their distances from the root.

    Trees can be deeper than Python recurses.
    """
    clades, depths, waiting = [], {id(root): 0.0}, [root]
    while waiting:
        clade = waiting.pop()
        clades.append(clade)
        for child in clade.clades:
            depths[id(child)] = depths[id(clade)] + _length(child, path)
            waiting.append(child)
    return clades, depths


def _length(clade, path) -> float:
    length = clade.branch_length
    if length is not None and math.isfinite(length) and length >= 0:
        return length
    where = f"the branch to '{clade.name}'" if clade.name else "an inner branch"
    problem = "has no length" if length is None else f"has the length {length:g}"
    raise InputError(
        f"{path}: {where} {problem}: kinship needs a tree whose branches all have lengths of zero "
        "or more, such as ((A:1,B:1):2,C:3);"
    )


def _tip_distances(clades, depths, wanted: dict[int, int]) -> np.ndarray:
    """(tips, tips) along the tree; `wanted` says which tips, by id, and where they stand."""
    distances = np.zeros((len(wanted), len(wanted)))
    below: dict[int, np.ndarray] = {}
    for clade in reversed(clades):
        tips = np.array([wanted[id(clade)]] if id(clade) in wanted else [], np.int64)
        for child in clade.clades:
            other = below.pop(id(child))
            common = 2 * depths[id(clade)]
            distances[np.ix_(tips, other)] = distances[np.ix_(other, tips)] = common
            tips = np.concatenate([tips, other])
        below[id(clade)] = tips
    own = np.array([depths[key] for key, _ in sorted(wanted.items(), key=lambda pair: pair[1])])
    distances = np.maximum(own[:, None] + own - distances, 0)
    np.fill_diagonal(distances, 0)
    return distances
