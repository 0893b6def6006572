"""A run's results -> one self-contained HTML page, readable without network and without script."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from struct import unpack

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.baselines import Comparison, p_text
from training.evaluation import Result

# Sections of figures that come before the table per class, in this order; any other comes after it.
CURVES = "Training curves"
CONFUSION = "Confusion matrices"
PARTS = ("test", "validation", "train")  # the part that counts most stands first
CAVEATS = {
    "validation": "There is no test part; this one may have steered the training.",
    "train": "These samples were trained on: on new ones expect less.",
}
LISTED = 1000  # classes in the table; twenty thousand would make a page of 100 MB
FOLDED = 60  # classes beyond which their table is shown on a click
WIDE = 860  # pixels from which on a figure takes the whole width of the page


@dataclass(frozen=True)
class Term:
    """A figure of a result and how the page words it."""

    key: str
    name: str
    meaning: str
    percent: bool = True


TERMS = (
    Term("accuracy", "Accuracy", "share of the samples answered correctly"),
    Term("accuracy_known", "Accuracy, known classes", "leaves out samples of unknown classes"),
    Term("balanced_accuracy", "Balanced accuracy", "mean recall: every class weighs the same"),
    Term("macro_f1", "Macro F1", "mean F1 of the classes: rare classes weigh as much as common"),
    Term("log_loss", "Log loss", "mean −ln of the true class's probability: 0 is best", False),
    Term("ece", "ECE", "calibration error: mean gap between confidence and accuracy; 0 % is best"),
)


def write_report_page(
    path: Path,
    *,
    title: str,
    provenance: str,
    synthetic: bool,
    facts: dict[str, str],
    architecture: str,
    command: str,
    results: dict[str, Result],
    figures: dict[str, list[tuple[str, Path]]],
    audit: list[str],
    notes: list[str],
    baselines: Comparison | None = None,
) -> Path:
    """Write the report of one run.

    Args:
        path: the HTML file to write.
        title: heading of the page.
        provenance: where the data come from and under which terms.
        synthetic: whether the data were generated; the page then says so at the top.
        facts: model, preset, seed, data set, date, versions, duration, ... in order of display.
        architecture: the network's layers, as preformatted text.
        command: the command line that repeats the run.
        results: `train`, `validation` and `test`, or some of them, -> result.
        figures: section -> (caption, PNG) in order. A section called 'NAME: GROUP' becomes the tab
            'GROUP' of the section 'NAME', and shows one of its figures at a time.
        audit: findings on the data, one line each.
        notes: remarks on the run, one line each.
        baselines: simple classifiers on the same split, beside the network.

    Returns:
        The path.

    Raises:
        ValueError: there is no result.
    """
    if not results:
        raise ValueError("a report needs the result of at least one part")
    results = {part: results[part] for part in _ordered(results)}
    sections = _sections(figures)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            provenance=provenance,
            synthetic=synthetic,
            facts=facts,
            architecture=architecture,
            command=command,
            results=results,
            headline=next(iter(results)),
            caveat=CAVEATS.get(next(iter(results)), ""),
            terms=[term for term in TERMS if _is_telling(term, results)],
            before={name: sections.pop(name) for name in (CURVES, CONFUSION) if name in sections},
            after=sections,
            confusion=CONFUSION,
            listed=LISTED,
            folded=FOLDED,
            audit=audit,
            notes=notes,
            baselines=baselines,
        )
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def interval(bounds, in_percent: bool = True) -> str:
    """Two bounds as 'low–high'; fractions in percent with one decimal, without the sign."""
    low, high = (100 * bound if in_percent else bound for bound in bounds)
    digits = 1 if in_percent else 3
    upper = f"{high:.{digits}f}" if isfinite(high) else "∞"
    return f"{low:.{digits}f}–{upper}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval, "p_text": p_text}
    return environment


def _ordered(names) -> list[str]:
    """Test, validation, train, then any other name in the order given."""
    return sorted(names, key=lambda name: PARTS.index(name) if name in PARTS else len(PARTS))


def _is_telling(term: Term, results: dict[str, Result]) -> bool:
    """Accuracy on known classes repeats the accuracy where no sample is of an unknown class."""
    return term.key != "accuracy_known" or any(
        result.figures["accuracy_known"] != result.figures["accuracy"]
        for result in results.values()
    )


def _sections(figures: dict[str, list[tuple[str, Path]]]) -> dict[str, dict[str, list]]:
    """Section -> group (or '') -> list of pictures."""
    sections: dict[str, dict[str, list]] = {}
    for heading, entries in figures.items():
        name, _, group = heading.partition(": ")
        inlined = [_picture(caption, path) for caption, path in entries]
        sections.setdefault(name, {})[group] = inlined
    return {
        name: {group: groups[group] for group in _ordered(groups)}
        for name, groups in sections.items()
    }


def _picture(caption: str, path: Path) -> dict:
    """Caption, data URI and size; a page that knows the size does not jump while it loads."""
    png = Path(path).read_bytes()
    width, height = unpack(">II", png[16:24])  # PNG specification, section 11.2.2: IHDR
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return {
        "caption": caption,
        "source": source,
        "width": width,
        "height": height,
        "wide": width >= WIDE,
    }
