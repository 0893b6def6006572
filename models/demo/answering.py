"""Answers about uploads: of one sample with its reasons, of many as a table."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image

from datasets.errors import InputError
from datasets.observations import BOX, BOX_VIEW
from models.commands.asking import Asked, asked_in_pieces, read_asked
from models.commands.explaining import Explainer
from models.commands.predict import AskedRun, answer_table
from models.demo.uploads import Clock, Limits, kinds_of, receive, without_places

PIECE = 16  # files that are answered between two looks at the clock
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


@dataclass(frozen=True)
class OneAnswer:
    """What is said about one sample.

    Attributes:
        prediction: as `run.py predict --explain --json` gives it.
        sheet: its explanation, drawn.
        pictures: (picture, caption) of the nearest training specimens whose picture is there.
        unmeasured: whether the run takes measurements and none were given.
        undetected: whether its landmarks were read in a picture in which no face was detected.
    """

    prediction: dict
    sheet: Image.Image
    pictures: list[tuple[Image.Image, str]]
    unmeasured: bool
    undetected: bool


@dataclass
class ManyAnswers:
    """What is said about a batch.

    Attributes:
        table: one row per answer.
        broken: a line for each file that could not be read.
        unmeasured: how many came without measurements that the run takes.
        undetected: in how many no face was detected, where the run reads landmarks in one.
        is_cut: whether the time was over before the last file.
    """

    table: pd.DataFrame
    broken: list[str] = field(default_factory=list)
    unmeasured: int = 0
    undetected: int = 0
    is_cut: bool = False


class Answerer:
    """A saved run that answers about uploads; no two requests at a time.

    Args:
        arguments: of the command line, see `models.commands.predict.AskedRun`.
        limits: what one request may cost.
        folder: for what is uploaded and drawn; nothing is written anywhere else.
    """

    def __init__(self, arguments: argparse.Namespace, limits: Limits, folder: Path):
        self.run = AskedRun(arguments)
        self.limits, self.folder = limits, folder
        self.explainer = Explainer(self.run.folder, folder / "sheets")
        records = {record.name: record for record in self.run.records}
        self.hears = "waveform" in records
        self.further = [name for name in records if name.startswith("image_") and name != BOX_VIEW]
        self.takes_box = BOX_VIEW in records
        self.columns = records["measurements"].columns if "measurements" in records else ()

    def one(self, files: dict[str, Path], row: list[str], box: tuple | None) -> OneAnswer:
        """The answer for one sample.

        Args:
            files: view -> upload; the first view is `image`, or `waveform`.
            row: its measurements as they were typed, '' where missing.
            box: x_min, y_min, x_max and y_max in pixels; None where none was given.

        Raises:
            InputError: something is missing, or cannot be read.
        """
        with TemporaryDirectory(dir=self.folder) as place:
            asked = self._read_one(files, row, box, Path(place))
            if asked.broken:
                raise InputError(asked.broken[0])
            predictions = self.run.answers(asked)
            self.explainer.explain_all(asked, predictions)
            unmeasured, undetected = bool(asked.unmeasured()), bool(asked.undetected)
        found = predictions[0]
        kept = [(self.explainer.picture_of(one["key"]), one) for one in found["nearest"]]
        pictures = [
            (Image.fromarray(picture.squeeze()), caption(one))
            for picture, one in kept
            if picture is not None
        ]
        file = Path(found["explanation"].pop("file"))
        sheet = Image.open(io.BytesIO(file.read_bytes()))
        file.unlink()
        return OneAnswer(found, sheet, pictures, unmeasured, undetected)

    def many(self, uploads: list[Path], told: Callable[[int], None]) -> ManyAnswers:
        """The answers for a batch.

        Args:
            uploads: pictures or recordings, tables with their pictures, or archives of them.
            told: is called with the number of answers so far.

        Raises:
            InputError: see `models.demo.uploads.receive`; or nothing can be read.
        """
        clock, predictions, found = Clock(self.limits.seconds), [], ManyAnswers(pd.DataFrame())
        with TemporaryDirectory(dir=self.folder) as place:
            inputs = receive(uploads, Path(place), self.hears, self.limits)
            for asked in asked_in_pieces(inputs, self.run.records, most=PIECE):
                if clock.is_over:
                    found.is_cut = True
                    break
                predictions += self.run.answers(asked)
                found.broken += [without_places(line) for line in asked.broken]
                found.unmeasured += asked.unmeasured()
                found.undetected += asked.undetected
                told(len(predictions))
            if not predictions:
                raise InputError(f"nothing could be read: {(found.broken or ['no time'])[0]}")
            found.table = _harmless(answer_table(predictions), place)
        return found

    def _read_one(self, files: dict[str, Path], row, box, place: Path) -> Asked:
        for view in ("waveform" if self.hears else "image", *self.further):
            if not files.get(view):
                raise InputError(f"{view.replace('_', ' ')}: nothing was given; drop a file there")
        names = {}
        for view, upload in files.items():
            if upload.suffix.lower() not in kinds_of(self.hears):
                raise InputError(
                    f"{upload.name} is none of {', '.join(kinds_of(self.hears))}: choose another "
                    "file; several, tables and archives go into the batch"
                )
            (place / view).mkdir()
            receive([upload], place / view, self.hears, Limits(self.limits.megabytes, 1))
            names[view] = f"{view}/{upload.name}"
        sheet = {view: name for view, name in names.items() if not self.hears}
        if self.further and self.takes_box:
            if box is None:
                raise InputError("box: none was given; type x_min, y_min, x_max, y_max in pixels")
            sheet |= dict(zip(BOX, box, strict=True))
        name = "observations.csv"
        if any(cell.strip() for cell in row):
            name = "specimens.csv"
            sheet |= dict(zip((column.name for column in self.columns), row, strict=True))
        elif not self.further:
            file = str(place / next(iter(names.values())))
            return read_asked([file], self.run.records, box if self.takes_box else None)
        with (place / name).open("w", newline="") as stream:
            csv.writer(stream).writerows((sheet.keys(), sheet.values()))
        return read_asked([str(place / name)], self.run.records)


def caption(nearest: dict) -> str:
    """Class and distance of a training specimen."""
    return f"{nearest['label']}, distance {nearest['distance']:.2f}"


def _harmless(table: pd.DataFrame, place: str) -> pd.DataFrame:
    """The answers without our folders, and without cells that a spreadsheet would compute."""

    def cell(value):
        if not isinstance(value, str):
            return value
        value = without_places(value.replace(f"{place}/", ""))
        return f"'{value}" if value.startswith(_FORMULA) else value

    return table.map(cell)
