"""A run in another format: converted, held against the Keras model, timed, and only then written.

EXPORT/
  model.onnx, model.tflite, or model.xml with model.bin
  labels.json   class names in index order
  example.npz   one raw sample to try it on
  README.md     what to feed, a snippet, how far it agrees and how fast it is
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from datasets.errors import InputError
from models.artefact import load_savedmodel
from models.cards import render
from models.export_formats import OUTPUTS, Answer, Format
from models.export_samples import Samples, samples_of
from models.inputs import read_inputs
from models.portable import load_portable
from models.quiet import standard_error_closed
from models.runs import read_json

# What rounding may do: to a probability, and to an embedding in units of its largest value.
TOLERANCE = 1e-4
TURNS = 7
CALLS = 5  # in each turn
SECONDS = 10.0  # after which no further turn begins


@dataclass(frozen=True)
class Agreement:
    """How far an export is from the Keras model.

    Attributes:
        samples: how many answers were compared.
        about: what these samples are.
        probabilities: largest difference of a probability.
        embedding: largest difference of an embedding, in units of its largest value.
    """

    samples: int
    about: str
    probabilities: float
    embedding: float

    def is_close(self) -> bool:
        """Whether rounding may explain it; NaN is never close."""
        return self.probabilities <= TOLERANCE and self.embedding <= TOLERANCE


@dataclass(frozen=True)
class Latency:
    """How long answers to one sample take, in milliseconds: the medians of turns.

    Attributes:
        about: what the sample is.
        export, savedmodel, keras: of the three, asked in turn.
    """

    about: str
    export: float
    savedmodel: float
    keras: float


@dataclass(frozen=True)
class Export:
    """What was written, and what its card says."""

    folder: Path
    agreement: Agreement
    latencies: tuple[Latency, ...]


def export_run(run: Path, name: str, form: Format, folder: Path) -> Export:
    """Write a run to a new folder in another format, or nothing.

    Args:
        run: folder of a whole run.
        name: of the format, as the command line has it.
        form: the format.
        folder: where to; it must not exist.

    Raises:
        InputError: the network does not convert, the export answers differently, or nothing can be
            written there.
    """
    records = read_inputs(run)
    reference = keras.models.load_model(run / "model.keras", compile=False)
    samples = samples_of(run, records)
    draft = _draft(folder)
    try:
        answer = _converted(run, form, draft, samples)
        agreement = _agreement(reference, answer, samples, form)
        latencies = _latencies(run, reference, answer, samples)
        shutil.copy(run / "labels.json", draft)
        np.savez_compressed(draft / "example.npz", **samples.first)
        card = _card(run, name, form, records, agreement, latencies)
        (draft / "README.md").write_text(card, encoding="utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Export(folder, agreement, latencies)


def _draft(folder: Path) -> Path:
    """A hidden folder near the one wanted, to be renamed when it is whole."""
    there = next(path for path in folder.parents if path.exists())
    draft = there / f".{folder.name}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir()
    except OSError as error:
        raise InputError(
            f"nothing can be written to {there} ({error.strerror}): name another folder by --to"
        ) from None
    return draft


def _converted(run: Path, form: Format, draft: Path, samples: Samples) -> Answer:
    network = load_portable(run / "model.keras")
    network = keras.Model(network.input, {name: network.output[name] for name in OUTPUTS})
    network(samples.first)  # Keras exports nothing that was never called
    with _refusal(f"{run} does not convert to {form.title}"), standard_error_closed():
        form.write(network, draft / form.file)
        return form.open(draft / form.file)


@contextmanager
def _refusal(what: str):
    """One line for whatever a converter or a runtime comes across."""
    try:
        yield
    except Exception as error:
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        raise InputError(f"{what} ({reason}): nothing was written; use the SavedModel") from error


def _agreement(reference, answer: Answer, samples: Samples, form: Format) -> Agreement:
    differences = {name: 0.0 for name in OUTPUTS}
    count = 0
    for raw in samples.trials:
        # Not by `predict`, which would be traced anew for every size.
        expected = {name: np.asarray(value) for name, value in reference(raw).items()}
        with _refusal(f"{form.runtime} cannot run what it was converted to"):
            found = answer(raw)
        count += len(expected["probabilities"])
        for name in OUTPUTS:
            scale = 1.0 if name == "probabilities" else np.abs(expected[name]).max()
            apart = np.abs(found[name] - expected[name]).max() / scale
            differences[name] = max(differences[name], float(apart), key=_nan_last)
    agreement = Agreement(count, samples.about, **differences)
    if not agreement.is_close():
        raise InputError(
            f"the {form.title} export answers otherwise than the Keras model, by up to "
            f"{agreement.probabilities:.2g} of a probability and {agreement.embedding:.2g} of an "
            f"embedding, where {TOLERANCE:g} is allowed: nothing was written; use the SavedModel"
        )
    return agreement


def _nan_last(value: float) -> float:
    return float("inf") if np.isnan(value) else value


def _latencies(run: Path, reference, answer: Answer, samples: Samples) -> tuple[Latency, ...]:
    saved = load_savedmodel(run)
    predict = partial(reference.predict, verbose=0)
    ways = {"export": answer, "savedmodel": saved.serve, "keras": predict}
    return tuple(
        Latency(about, **_timed({way: partial(ask, raw) for way, ask in ways.items()}))
        for about, raw in samples.timed.items()
    )


def _timed(acts: dict[str, Callable]) -> dict[str, float]:
    """Median milliseconds of each act, in turns, as other work on the machine meets all alike."""
    for act in acts.values():
        act(), act()  # traced, and memory taken
    found, began = {name: [] for name in acts}, time.perf_counter()
    for turn in range(TURNS):
        if turn and time.perf_counter() - began > SECONDS:
            break
        for name, act in acts.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                act()
                found[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in found.items()}


def _card(run, name, form, records, agreement, latencies) -> str:
    packages = ("tensorflow", "keras", *form.packages.values())
    return render(
        "export.md.j2",
        run=f"{run.parent.name}/{run.name}",
        metadata=read_json(run, "metadata.json"),
        labels=read_json(run, "labels.json"),
        records=records,
        name=name,
        form=form,
        agreement=agreement,
        tolerance=TOLERANCE,
        latencies=latencies,
        cores=os.cpu_count(),
        processor=platform.machine(),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={package: version(package) for package in packages},
    )
