"""How deep a run may answer: what it keeps for that, thresholds from its validation part, figures.

Paper 001, sections 3.3 and 5: a threshold is chosen on one part of the pictures for a target
accuracy, and accuracy and depth are stated for the other part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.errors import InputError
from datasets.taxonomy import Node, Taxonomy
from models.runs import read_json
from models.species.specificity import Best, best_taxa, correctness, depths, figures
from models.species.thresholds import RULES, Threshold
from training.evaluation import wilson_interval

TAXONOMY, KEPT = "taxonomy.json", "specificity.npz"
TARGET = 0.9  # paper 001, section 5
RULE = "binary-search"
LARGEST = 25_000_000  # probabilities of leaves that a run keeps, 100 MB; start nodes need them


@dataclass(frozen=True)
class Answered:
    """The most probable taxon of every rank for the pictures of a part.

    Attributes:
        best: of the pictures.
        right: (pictures, ranks + 1) whether the answer of each depth is right.
    """

    best: Best
    right: np.ndarray

    def at(self, threshold: float, taxonomy: Taxonomy) -> dict:
        """What a threshold does to these pictures, as plain values.

        Returns:
            `accuracy`, `depth` and `depth_table1` of `models.species.specificity.figures`; `n`,
            pictures; `interval`, Wilson's 95 % of the accuracy; and `answers`, rank -> `n`, answers
            of that rank, and `accuracy`, the share of right ones among them.
        """
        depth = depths(self.best, threshold)
        hits = self.right[np.arange(len(depth)), depth]
        answers = {}
        for place in np.unique(depth).tolist():
            inside = depth == place
            answers[taxonomy.rank(Node(place, 0))] = {
                "n": int(inside.sum()),
                "accuracy": float(hits[inside].mean()),
            }
        return {
            **figures(self.best, self.right, threshold),
            "n": len(hits),
            "interval": list(wilson_interval(hits.sum(), len(hits))),
            "answers": answers,
        }

    def by_rank(self, taxonomy: Taxonomy) -> dict[str, dict]:
        """Rank -> `accuracy` of its most probable taxon, over all pictures; `interval` and `n`."""
        found = {}
        for depth, rank in enumerate(taxonomy.ranks, 1):
            hits = self.right[:, depth]
            bounds = wilson_interval(hits.sum(), len(hits))
            found[rank] = {
                "accuracy": float(hits.mean()),
                "interval": list(bounds),
                "n": len(hits),
            }
        return found


@dataclass(frozen=True)
class Validation:
    """What a run has answered on its validation part, which all its thresholds come from.

    Attributes:
        taxonomy: of the run.
        answered: from the root.
        targets: (pictures,) true leaves.
        leaves: (pictures, leaves) probabilities; None of a run that has too many to keep.
    """

    taxonomy: Taxonomy
    answered: Answered
    targets: np.ndarray
    leaves: np.ndarray | None

    @classmethod
    def read(cls, folder: Path) -> Validation:
        """Of a saved run with a taxonomy.

        Raises:
            InputError: what the run keeps is missing or cannot be read.
        """
        taxonomy, path = read_taxonomy(folder), Path(folder, KEPT)
        try:
            with np.load(path) as kept:
                answered = _stored(kept, "validation", taxonomy)
                leaves = kept.get("validation_leaves")
                return cls(taxonomy, answered, kept["validation_targets"], leaves)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} cannot be read ({error}): restore it from a copy, or repeat the run"
            ) from None

    def threshold(
        self,
        target: float,
        rule: str = RULE,
        confidence: float | None = None,
        within: Sequence[Node] = (),
    ) -> Threshold:
        """The threshold of a target accuracy.

        Args:
            target: share of right answers wanted.
            rule: of `models.species.thresholds.RULES`.
            confidence: of the promise, for the rule `conformal`; None for its default.
            within: start nodes; then only the validation pictures of these taxa count.

        Raises:
            InputError: the target cannot be reached or promised, or there is nothing to choose a
                threshold from.
        """
        answered = self._within(within) if within else self.answered
        told = {} if confidence is None else {"confidence": confidence}
        return RULES[rule](answered.best, answered.right, target, self.taxonomy, **told)

    def _within(self, nodes: Sequence[Node]) -> Answered:
        names = ", ".join(self.taxonomy.name(node) for node in nodes)
        if self.leaves is None:
            raise InputError(
                f"the run has more than {LARGEST:,} validation probabilities and keeps none of "
                f"them, so no threshold can be chosen within {names}: give one by --threshold"
            )
        below = np.concatenate([self.taxonomy.leaves_below(node) for node in nodes])
        inside = np.isin(self.targets, below)
        if not inside.any():
            raise InputError(
                f"no validation picture of the run is of {names}, so no threshold can be chosen "
                "there: name a larger taxon, or give a threshold by --threshold"
            )
        best = best_taxa(self.leaves[inside], self.taxonomy, nodes)
        return Answered(best, correctness(best, self.targets[inside], self.taxonomy))


@dataclass(frozen=True)
class RunSpecificity:
    """How deep a finished run answers.

    Attributes:
        validation: which the thresholds come from.
        part: name of the part that is judged last; `validation` where there is no other.
        judged: of that part.
    """

    validation: Validation
    part: str
    judged: Answered

    @classmethod
    def of(cls, run) -> RunSpecificity:
        """Of a models.artefact.Run that has a taxonomy."""
        targets = {part: run.table.targets[run.splits[part]] for part in run.splits.parts()}
        taxonomy, part = run.taxonomy, run.splits.parts()[-1]
        answered = {}
        for name in ("validation", part):
            if name not in answered:
                best = best_taxa(run.probabilities[name], taxonomy)
                answered[name] = Answered(best, correctness(best, targets[name], taxonomy))
        leaves = run.probabilities["validation"]
        validation = Validation(
            taxonomy,
            answered["validation"],
            targets["validation"],
            leaves.astype(np.float32) if leaves.size <= LARGEST else None,
        )
        return cls(validation, part, answered[part])

    @property
    def taxonomy(self) -> Taxonomy:
        return self.validation.taxonomy

    @cached_property
    def by_rule(self) -> dict[str, Threshold | str]:
        """Rule -> its threshold for `TARGET`, or why there is none."""
        found = {}
        for rule in RULES:
            try:
                found[rule] = self.validation.threshold(TARGET, rule)
            except InputError as error:
                found[rule] = str(error)
        return found

    def write(self, folder: Path) -> None:
        """Write `taxonomy.json`, and `specificity.npz` with what thresholds need later on."""
        text = json.dumps(self.taxonomy.to_json(), indent=1, ensure_ascii=False)
        Path(folder, TAXONOMY).write_text(text, encoding="utf-8")
        arrays = {"validation_targets": self.validation.targets.astype(np.int32)}
        for part, answered in {
            "validation": self.validation.answered,
            self.part: self.judged,
        }.items():
            arrays[f"{part}_nodes"] = answered.best.nodes
            arrays[f"{part}_probabilities"] = answered.best.probabilities
            arrays[f"{part}_right"] = answered.right
        if self.validation.leaves is not None:
            arrays["validation_leaves"] = self.validation.leaves
        np.savez_compressed(Path(folder, KEPT), **arrays)

    def to_json(self) -> dict:
        """What `metrics.json` holds: `ranks`, part -> rank -> figures, and `specificity`."""
        parts = {"validation": self.validation.answered, self.part: self.judged}
        return {
            "ranks": {part: answered.by_rank(self.taxonomy) for part, answered in parts.items()},
            "specificity": {"part": self.part, "target": TARGET}
            | {"rules": {rule: self._figures(found) for rule, found in self.by_rule.items()}},
        }

    def _figures(self, found: Threshold | str) -> dict:
        if isinstance(found, str):
            return {"threshold": None, "reason": found}
        return self.judged.at(found.value, self.taxonomy) | threshold_json(found.value, found)

    def lines(self) -> list[str]:
        """The accuracy of every rank, and a line of Table 1 by every rule."""
        ranks = self.judged.by_rank(self.taxonomy).items()
        listed = ", ".join(
            f"{rank} {100 * found['accuracy']:.1f} % ({_bounds(found['interval'])})"
            for rank, found in ranks
        )
        lines = [f"Accuracy by rank, {self.part} part: {listed}."]
        for rule, found in self.to_json()["specificity"]["rules"].items():
            if found["threshold"] is None:
                lines.append(f"No answers of fitting depth by {rule}: {found['reason']}.")
            else:
                lines.append(
                    specificity_line(found, self.taxonomy.ranks, f" to the {self.part} part")
                )
        return lines


def threshold_json(value: float, chosen: Threshold | None, within: Sequence[str] = ()) -> dict:
    """A threshold and where it comes from, as plain values.

    Args:
        value: the threshold.
        chosen: by a rule; None where somebody gave the value.
        within: names of start nodes.
    """
    return {
        "threshold": value,
        "target": chosen and chosen.target,
        "rule": chosen and chosen.rule,
        "promise": chosen and chosen.promise,
        "calibration_pictures": chosen and chosen.pictures,
        "within": list(within),
    }


def specificity_line(found: dict, ranks: Sequence[str], judged: str = "") -> str:
    """One sentence about `Answered.at` and `threshold_json`, in both conventions of paper 001.

    Args:
        found: what both of them say.
        ranks: from coarse to fine.
        judged: what the answers are about, such as ' to the test part'.
    """
    where = f" within {', '.join(found['within'])}" if found["within"] else ""
    if found["target"] is None:
        asked = f"a threshold of {found['threshold']:.3f}{where}"
    else:
        asked = (
            f"{100 * found['target']:.4g} % right answers{where} (threshold "
            f"{found['threshold']:.3f} by {found['rule']}, from {found['calibration_pictures']:,} "
            "validation pictures)"
        )
    answers = ", ".join(f"{one['n']:,} {rank}" for rank, one in reversed(found["answers"].items()))
    line = (
        f"Answers as deep as they are sure, for {asked}: {100 * found['accuracy']:.1f} % "
        f"({_bounds(found['interval'])}) of {found['n']:,} answers{judged} are right, at a mean "
        f"depth of {found['depth']:.2f}, where {ranks[0]} is 1 and {ranks[-1]} {len(ranks)} "
        f"({found['depth_table1']:.2f} where the root is 1, as in Table 1 of paper 001); they name "
        f"{answers}"
    )
    return line + (f"; {found['promise']}." if found["promise"] else ".")


def read_taxonomy(folder: Path) -> Taxonomy | None:
    """The taxonomy of a saved run; None if it has none.

    Raises:
        InputError: the file is no taxonomy.
    """
    path = Path(folder, TAXONOMY)
    if not path.is_file():
        return None
    try:
        return Taxonomy.from_json(read_json(folder, TAXONOMY))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no taxonomy ({error}): restore it from a copy") from None


def read_answered(folder: Path, part: str) -> Answered:
    """What a saved run has answered on its validation or test part."""
    with np.load(Path(folder, KEPT)) as kept:
        return _stored(kept, part, read_taxonomy(folder))


def _stored(kept, part: str, taxonomy: Taxonomy) -> Answered:
    best = Best(taxonomy.common_ancestor(()), kept[f"{part}_nodes"], kept[f"{part}_probabilities"])
    return Answered(best, kept[f"{part}_right"])


def _bounds(interval) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}"
