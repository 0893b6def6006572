"""How far a run's confidence can be relied on: figures, sentences and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training import reports
from training.calibration import (
    calibration_figures,
    rejection_figures,
    reliability,
    risk_coverage,
)


def certainty(run) -> dict:
    """`calibration` of every part and `rejection` of the part that is judged last.

    Where no share of right answers was asked for, that of the validation part is the target, so
    that nothing is rejected and the figures say what there is.

    Args:
        run: models.artefact.Run.
    """
    part = run.splits.parts()[-1]
    target = run.options["reject_at"] or run.results["validation"].figures["accuracy"]
    return {
        "calibration": {
            name: calibration_figures(run.calibration, run.probabilities[name], _targets(run, name))
            for name in run.splits.parts()
        },
        "rejection": {"part": part}
        | rejection_figures(
            run.calibration,
            target,
            run.probabilities[part],
            _targets(run, part),
            run.other_probabilities,
        ),
    }


def rejection_lines(run) -> list[str]:
    """What the figures of `certainty` mean."""
    found = certainty(run)
    calibration, figures = found["calibration"], found["rejection"]
    part = figures["part"]
    errors = calibration[part]
    lines = [
        f"Calibration: temperature {errors['temperature']:.2f}; calibration error of the {part} "
        f"part {100 * errors['ece_before']:.1f} % before and {100 * errors['ece_after']:.1f} % "
        "after it."
    ]
    if run.options["reject_at"]:
        lines.append(rejection_line(figures))
    if "auroc" in figures:
        lines.append(
            f"A sample of a known class is more confident than one of no class with a chance of "
            f"{100 * figures['auroc']:.1f} % (AUROC, {figures['n_other']} samples of no class)."
        )
    return lines


def rejection_line(figures: dict) -> str:
    """One sentence about `training.calibration.rejection_figures`."""
    target = f"{100 * figures['target']:.4g} %"
    if figures["threshold"] is None:
        return (
            f"No confidence reaches {target} right answers on the validation part: every answer is "
            "'other'. Ask for less."
        )
    line = f"For {target} right answers, those below a confidence of {figures['threshold']:.3f} "
    line += "become 'other'"
    if "share_answered" in figures:
        line += f": {100 * figures['share_answered']:.1f} % are answered"
    if figures.get("accuracy_answered") is not None:
        line += f", {100 * figures['accuracy_answered']:.1f} % of them rightly"
    if "other_rejected" in figures:
        line += f"; of the {figures['n_other']} samples of no class "
        line += f"{100 * figures['other_rejected']:.1f} % become 'other'"
    return line + "."


def draw_certainty(run, folder: Path) -> list[tuple[str, Path]]:
    """Reliability, accuracy against share answered, and the confidences of known and other."""
    part = run.splits.parts()[-1]
    targets, probabilities = _targets(run, part), run.probabilities[part]
    correct = probabilities.argmax(axis=1) == targets
    confidence = run.calibration.confidences(probabilities)
    figures = certainty(run)["rejection"]
    coverage, accuracy, _ = risk_coverage(confidence, correct)
    chosen = None
    if figures["threshold"] is not None and figures.get("accuracy_answered") is not None:
        chosen = figures["share_answered"], figures["accuracy_answered"]
    drawn = [
        (
            f"Reliability on the {part} part, before and after the temperature",
            reports.plot_reliability(
                reliability(probabilities.max(axis=1), correct),
                reliability(confidence, correct),
                folder / "reliability.png",
                part,
            ),
        ),
        (
            f"Accuracy on what is answered, {part} part",
            reports.plot_risk_coverage(
                coverage, accuracy, folder / "coverage.png", chosen=chosen, title=part
            ),
        ),
    ]
    if run.other_probabilities is not None:
        path = reports.plot_scores(
            confidence,
            run.calibration.confidences(run.other_probabilities),
            np.nan if figures["threshold"] is None else figures["threshold"],
            folder / "confidences.png",
            part,
        )
        drawn.append(("Confidence of known classes and of others", path))
    return drawn


def _targets(run, part: str) -> np.ndarray:
    return run.table.targets[run.splits[part]]
