"""How deep to answer: flags that `evaluate` and `predict` share, and what they mean for a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.base import Table
from datasets.errors import InputError
from datasets.taxonomy import Node, Taxonomy
from models.commands.parser import Parser, share
from models.species.run_specificity import RULE, Answered, Validation, read_taxonomy, threshold_json
from models.species.specificity import best_taxa
from models.species.thresholds import RULES, Threshold
from models.species.true_taxa import true_taxa

FLAGS = {
    "target_accuracy": "--target-accuracy",
    "threshold": "--threshold",
    "rule": "--rule",
    "confidence": "--confidence",
    "within": "--within",
}


@dataclass(frozen=True)
class Depth:
    """How deep to answer.

    Attributes:
        taxonomy: of the run.
        within: start nodes.
        value: the threshold; 0 where none was asked for, so that every answer is a leaf.
        chosen: where it comes from; None if the user gave it.
    """

    taxonomy: Taxonomy
    within: tuple[Node, ...]
    value: float
    chosen: Threshold | None

    def to_json(self) -> dict:
        """Threshold, target, rule, what it promises, and the start nodes."""
        within = [self.taxonomy.name(node) for node in self.within]
        return threshold_json(self.value, self.chosen, within)


def taxa_figures(folder: Path, table: Table, probabilities, depth: Depth | None) -> dict:
    """What a run with a taxonomy says about a table, as `evaluate` prints it; {} of another run.

    Args:
        folder: of the run.
        table: samples, with the labels of the run.
        probabilities: (samples, classes) of the run.
        depth: how deep to answer; None for no answers of other ranks than the last.

    Returns:
        `ranks`, rank -> `accuracy` of its most probable taxon over all samples, `interval` and `n`;
        and with a depth `specificity`, see `models.species.run_specificity.Answered.at`; with start
        nodes also `outside`, samples of other taxa, about which every answer is wrong.
    """
    taxonomy = depth.taxonomy if depth else read_taxonomy(folder)
    if taxonomy is None:
        return {}
    truth = true_taxa(table, taxonomy)
    found = {"ranks": _answered(probabilities, taxonomy, truth).by_rank(taxonomy)}
    if depth:
        answered = _answered(probabilities, taxonomy, truth, depth.within)
        found["specificity"] = answered.at(depth.value, taxonomy) | depth.to_json()
    if depth and depth.within:
        inside = [truth[:, node.depth] == node.index for node in depth.within]
        found["specificity"]["outside"] = int((~np.any(inside, axis=0)).sum())
    return found


def _answered(probabilities, taxonomy, truth, within=()) -> Answered:
    best = best_taxa(probabilities, taxonomy, within)
    return Answered(best, best.nodes == truth)


def add_depth_flags(parser: Parser) -> None:
    parser.add_argument(
        "--target-accuracy",
        type=share,
        metavar="P",
        help="answer the deepest taxon that is sure enough for this share of right answers: the "
        "threshold on its probability comes from the run's validation part",
    )
    parser.add_argument(
        "--rule",
        choices=tuple(RULES),
        help=f"how the threshold is chosen (default {RULE}); conformal keeps the target with a "
        "stated probability",
    )
    parser.add_argument(
        "--confidence",
        type=share,
        metavar="C",
        help="probability that --rule conformal keeps the target (default 0.9)",
    )
    parser.add_argument(
        "--threshold", type=share, metavar="T", help="a threshold instead of a target accuracy"
    )
    parser.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="TAXON",
        help="it is known that the picture shows one of this taxon, such as Labridae or "
        "genus:Coris; may be repeated",
    )


def depth_asked(folder: Path, arguments) -> Depth | None:
    """What the flags ask of a run; None if they ask for nothing.

    Raises:
        InputError: the run has no taxonomy, the flags do not fit together, a taxon is not there, or
            the target is out of reach.
    """
    given = [flag for name, flag in FLAGS.items() if getattr(arguments, name)]
    if not given:
        return None
    taxonomy = read_taxonomy(folder)
    if taxonomy is None:
        raise InputError(
            f"{given[0]}: {folder} knows no taxonomy, so it answers at one depth only; "
            "--reject-at X answers 'other' where it is not sure"
        )
    _check_combination(arguments)
    within = tuple(taxonomy.find(name) for name in arguments.within)
    if arguments.target_accuracy is None:
        return Depth(taxonomy, within, arguments.threshold or 0.0, None)
    chosen = Validation.read(folder).threshold(
        arguments.target_accuracy, arguments.rule or RULE, arguments.confidence, within
    )
    return Depth(taxonomy, within, chosen.value, chosen)


def _check_combination(arguments) -> None:
    if arguments.reject_at:
        raise InputError(
            f"--reject-at answers 'other' where {FLAGS['target_accuracy']}, {FLAGS['threshold']} "
            f"and {FLAGS['within']} answer a coarser taxon: leave one of them out"
        )
    if arguments.target_accuracy and arguments.threshold:
        raise InputError(
            f"{FLAGS['target_accuracy']} chooses a threshold and {FLAGS['threshold']} gives one: "
            "leave one of them out"
        )
    if arguments.rule and not arguments.target_accuracy:
        raise InputError(f"--rule {arguments.rule} needs {FLAGS['target_accuracy']} P")
    if arguments.confidence and arguments.rule != "conformal":
        raise InputError(f"--confidence {arguments.confidence:g} belongs to --rule conformal")
    if arguments.confidence == 1:
        raise InputError("--confidence 1: nothing is certain; take a number below 1")
