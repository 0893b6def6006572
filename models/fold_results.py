"""What cross-validations and single runs answered, read from disk, and how they compare.

The runs of a cross-validation are ordinary runs, `OUT/MODEL/RUN-fold1` and so on; what they say
together lies in `OUT/cross_validation/MODEL/RUN/`. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.errors import InputError
from models.runs import CROSS_VALIDATIONS, PREDICTIONS, SUMMARY, find_run, read_json
from training.evaluation import wilson_interval
from training.statistics import corrected_resampled_t, mcnemar_exact, mean_over_runs, paired_t

WHAT_FITS = "train both with the same data, --folds (or --split-rule), --group and --seed"


@dataclass(frozen=True)
class FoldResult:
    """What one run answered on its test part (on the validation part where it has no other).

    Attributes:
        folder: of the run.
        part: the part.
        n_train: number of training samples.
        answers: one row per sample with `digest`, `key`, `label` and `answer`, in the order of
            digest and key, so that the rows of two runs on the same samples correspond.
    """

    folder: Path
    part: str
    n_train: int
    answers: pd.DataFrame

    @property
    def right(self) -> np.ndarray:
        """Whether each sample was answered rightly, (samples,) bool."""
        return (self.answers["label"] == self.answers["answer"]).to_numpy()

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


@dataclass(frozen=True)
class Results:
    """A cross-validation, or a single run, under the name that the user gave it.

    Attributes:
        name: as given.
        folder: of the summary, or of the run.
        is_single: whether it is a single run.
        folds: one per run, in the order of the folds.
    """

    name: str
    folder: Path
    is_single: bool
    folds: tuple[FoldResult, ...]

    @property
    def accuracies(self) -> list[float]:
        return [fold.accuracy for fold in self.folds]

    def figures(self) -> dict:
        """Mean accuracy with Student's interval over folds, and the pooled one with Wilson's."""
        mean, right = mean_over_runs(self.accuracies), np.concatenate([f.right for f in self.folds])
        low, high = wilson_interval(right.sum(), len(right))
        return {
            "folds": len(self.folds),
            "mean": {"accuracy": mean.mean, "low": mean.low, "high": mean.high},
            "pooled": {
                "accuracy": float(right.mean()),
                "low": low,
                "high": high,
                "right": int(right.sum()),
                "n": len(right),
            },
        }


def fold_run(run: str, fold: int) -> str:
    """The name of the run that tests one fold."""
    return f"{run}-fold{fold}"


def summary_folder(out: Path, model: str, run: str) -> Path:
    """Where a cross-validation says what its runs have found."""
    return Path(out, CROSS_VALIDATIONS, model, run)


def find_results(name: str, out: Path) -> Results:
    """A cross-validation, or else a single run.

    Args:
        name: the folder of a cross-validation, a folder that holds some (the newest counts),
            `MODEL/RUN` or `MODEL`; or what `models.runs.find_run` takes.
        out: where runs lie.

    Raises:
        InputError: nothing of that name is there, or a run of it keeps no answers.
    """
    for place in (Path(name).expanduser(), Path(out, CROSS_VALIDATIONS, name)):
        inside = [path.parent for path in place.glob(f"*/{SUMMARY}")]
        if (place / SUMMARY).is_file():
            return _cross_validation(name, place)
        if inside:
            newest = max(inside, key=lambda path: read_json(path, SUMMARY)["finished"])
            return _cross_validation(name, newest)
    folder = find_run(name, out)
    return Results(name, folder, True, (read_fold(folder),))


def _cross_validation(name: str, folder: Path) -> Results:
    runs = read_json(folder, SUMMARY)["runs"]
    out = folder.absolute().parents[2]
    return Results(name, folder, False, tuple(read_fold(out / run) for run in runs))


def read_fold(folder: Path) -> FoldResult:
    """The answers of one run.

    Raises:
        InputError: the run is not whole, or was made before answers were kept.
    """
    split, path = read_json(folder, "split.json"), Path(folder, PREDICTIONS)
    part = "test" if "test" in split else "validation"
    try:
        # A class may be called None or NA.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): runs of an earlier version keep no answers; train "
            f"again with: {read_json(folder, 'metadata.json')['command']}"
        ) from None
    answers = table.loc[table["part"] == part, ["key", "label", "answer"]]
    if answers["key"].tolist() != split[part]["keys"]:
        raise InputError(f"{path} does not fit split.json beside it: restore it from a copy")
    answers = answers.assign(digest=split[part]["digests"])
    answers = answers.sort_values(["digest", "key"], kind="stable", ignore_index=True)
    return FoldResult(Path(folder), part, len(split["train"]["keys"]), answers)


def check_same_samples(one: Results, other: Results) -> None:
    """Make sure that two results judge the same samples, fold by fold.

    Raises:
        InputError: they do not.
    """
    if one.folder.resolve() == other.folder.resolve():
        raise InputError(f"{one.name} and {other.name} are the same: {one.folder}; name two")
    if (one.is_single, len(one.folds)) != (other.is_single, len(other.folds)):
        raise InputError(
            f"{one.name} has {_extent(one)}, and {other.name} has {_extent(other)}: {WHAT_FITS}"
        )
    for number, (a, b) in enumerate(zip(one.folds, other.folds, strict=True), start=1):
        where = "" if one.is_single else f" in fold {number}"
        samples = [fold.answers[["digest", "label"]] for fold in (a, b)]
        if a.part != b.part or not samples[0].equals(samples[1]):
            raise InputError(
                f"{one.name} and {other.name} were judged on other samples{where} "
                f"({len(a.answers)} {a.part} and {len(b.answers)} {b.part} samples): {WHAT_FITS}"
            )


def _extent(results: Results) -> str:
    return "a single run" if results.is_single else f"{len(results.folds)} folds"


def compared(one: Results, other: Results) -> dict:
    """Whether two results differ: `other` minus `one`, with paired tests.

    Returns:
        `difference`, of the mean accuracies; `paired_t` and `corrected_resampled_t`, each with
        `statistic` and `p` (None for single runs, which have no folds), the latter with the
        `test_to_train` that it was given, the larger of the two; and `mcnemar` on the answers of
        all folds, with the interval of the difference on these.

    Raises:
        InputError: they were not judged on the same samples.
    """
    check_same_samples(one, other)
    differences = np.subtract(other.accuracies, one.accuracies)
    found = {
        "a": one.name,
        "b": other.name,
        "difference": float(differences.mean()),
        "differences": differences.tolist(),
        "paired_t": None,
        "corrected_resampled_t": None,
    }
    if not one.is_single:
        ratio = max(_test_to_train(one), _test_to_train(other))
        corrected = asdict(corrected_resampled_t(differences, ratio))
        found["paired_t"] = asdict(paired_t(differences))
        found["corrected_resampled_t"] = corrected | {"test_to_train": ratio}
    pooled = [np.concatenate([fold.right for fold in results.folds]) for results in (one, other)]
    return found | {"mcnemar": asdict(mcnemar_exact(*pooled))}


def points_interval(mcnemar: dict) -> str:
    """The interval of `compared`'s difference, in points: `-0.04 to +1.54`."""
    return f"{100 * mcnemar['low']:+.2f} to {100 * mcnemar['high']:+.2f}"


def _test_to_train(results: Results) -> float:
    tested = sum(len(fold.answers) for fold in results.folds)
    return tested / sum(fold.n_train for fold in results.folds)
