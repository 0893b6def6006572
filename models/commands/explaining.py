"""`predict --explain`: a sheet and numbers that say why a run answers so."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from datasets.errors import InputError
from datasets.landmarks import IBUG_PARTS
from datasets.observations import BOX_VIEW
from datasets.picture_files import read_picture
from datasets.spectrograms import MelSettings
from models import model_class
from models.commands.asking import Asked, raw_inputs
from models.commands.parser import percent
from models.commands.whole_files import unwritable, whole_file
from models.explanation.anatomy import View
from models.explanation.attribution import area_of_half, summed_patches
from models.explanation.explain import Explanation, explain
from models.explanation.means import means_of
from models.explanation.slopes import check_backend
from models.runs import read_json
from training import reports

LEAST_FRAMES, BANDS = 5, 8  # of a patch: a tenth of a second, mel bands
ACROSS = 48  # patches of a recording at most
MARKED, LISTED = 5, 10  # patches of a recording that are outlined, and that stand in the JSON


class Explainer:
    """Explains what a run answers.

    Args:
        folder: of the run.
        to: folder that the sheets go to; it is made where it is not there.

    Raises:
        InputError: gradients cannot be had, or no folder can be made there.
    """

    def __init__(self, folder: Path, to: Path):
        check_backend()
        if to.exists() and not to.is_dir():
            raise InputError(f"--to {to} is a file: name a folder for the sheets")
        metadata = read_json(folder, "metadata.json")
        self.folder, self.to = folder, to
        self.model = model_class(metadata["model"]).loadModel(folder)
        self.means = means_of(self.model, folder)
        self.records = {record.name: record for record in self.model.inputs}
        self._taken = set()  # names of sheets

    def explain_all(self, asked: Asked, predictions: list[dict]) -> None:
        """Draw a sheet for each sample, and add an `explanation` to its prediction.

        Args:
            asked: the samples.
            predictions: of `predict`, one for each sample, with at least one of `top`.
        """
        raw, names = raw_inputs(self.model.inputs, asked), self._files(asked.names)
        bar = tqdm(predictions, "explaining", file=sys.stderr, disable=len(predictions) < 2)
        for row, prediction in enumerate(bar):
            sample = {name: np.asarray(values[row])[None] for name, values in raw.items()}
            arrays = {name: record.fit(sample) for name, record in self.records.items()}
            arrays = {name: keras.ops.convert_to_numpy(value) for name, value in arrays.items()}
            target = self.model.labels.index(_explained_class(prediction))
            found = explain(self.model, arrays, target, self.means)
            sheet = Sample(self, asked, row, arrays, found, prediction)
            prediction["explanation"] = {
                "file": str(self._draw(sheet.sheet(), self.to / names[row])),
                **sheet.to_json(),
            }

    def picture_of(self, key: str) -> np.ndarray | None:
        """The picture of a training sample, if it still lies where the run was trained from."""
        place = self.model.options.data_dir
        if place is None:
            return None
        folder = Path(place).expanduser()
        path = (folder.parent if folder.is_file() else folder) / key
        try:
            return read_picture(str(path)) if path.is_file() else None
        except ValueError:
            return None

    def _files(self, names: list[str]) -> list[str]:
        """A file name for each sample: its own, and a number where several are called the same."""
        found = []
        for name in names:
            stem = Path(name).stem or "sample"
            number, file = 1, f"{stem}.explained.png"
            while file in self._taken:
                number += 1
                file = f"{stem}-{number}.explained.png"
            self._taken.add(file)
            found.append(file)
        return found

    def _draw(self, sheet: reports.Sheet, path: Path) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, "--to", error) from None
        with whole_file(path, "--to") as draft:
            reports.plot_explanation(sheet, draft)
        return path


class Sample:
    """One explained answer, as a sheet and as JSON.

    Args:
        explainer: of the run.
        asked: all samples.
        row: which of them this is.
        arrays: its fitted inputs, name -> (1, ...).
        found: why the class that is explained.
        prediction: of `predict`.
    """

    def __init__(self, explainer, asked, row, arrays, found: Explanation, prediction: dict):
        self.explainer, self.arrays, self.found = explainer, arrays, found
        self.prediction, self.name = prediction, asked.names[row]
        self.images = {"image": asked.images[row]} if asked.images else {}
        self.images |= {name: images[row] for name, images in asked.views.items()}
        self.box = asked.boxes[row] if asked.boxes else None

    def sheet(self) -> reports.Sheet:
        """What is drawn of it."""
        found, prediction = self.found, self.prediction
        others = [
            f"{one['label']}: {percent(one['probability'])}"
            for one in prediction["top"]
            if one["label"] != prediction["label"]
        ]
        lines = [f"probability {percent(prediction['probability'])}"]
        if others:
            lines.append(f"then {', '.join(others)}")
        if prediction["label"] != found.label:
            lines.append(f"explained is the most probable class: {found.label}")
        lines.append(Path(self.name).name)
        folder = self.explainer.folder
        nearest = [
            reports.Near(
                one["label"], one["key"], one["distance"], self.explainer.picture_of(one["key"])
            )
            for one in prediction["nearest"]
        ]
        return reports.Sheet(
            title=" ".join(("Answer:", *self._rank(), prediction["label"])),
            lines=lines,
            pictures=list(self._pictures()),
            face=self._face(),
            bars=self._bars(),
            sound=self._sound(),
            weights=found.weights,
            nearest=nearest,
            notes=[*self._notes(), f"{folder.parent.name}/{folder.name}"],
        )

    def to_json(self) -> dict:
        """The numbers; what a model has no input for is left out."""
        found = self.found
        numbers = {"class": found.label}
        if found.pictures:
            numbers["pictures"] = [
                self._picture_numbers(one, seen)
                for one, seen in zip(found.pictures, self._pictures(), strict=True)
            ]
        if found.points:
            numbers["landmarks"] = _rounded(found.points.values)
            numbers["parts_of_the_face"] = _rounded(_face_parts(found.points.values))
        if found.columns:
            numbers["contributions"] = [
                {
                    "column": one.column.name,
                    "value": _value(one),
                    "contribution": _rounded(one.contribution),
                    "against_class_mean": _rounded(one.against_class_mean),
                }
                for one in found.columns
            ]
        if found.sound:
            numbers["patches"] = [self._patch_numbers(*place) for place in self._strongest(LISTED)]
            numbers["segments"] = _rounded(found.sound.probabilities)
        if found.weights:
            numbers |= {"weights": _rounded(found.weights), "shares": _rounded(found.shares)}
        if found.baseline:
            numbers["against_the_mean_of"] = found.baseline
        return numbers

    def _pictures(self) -> Iterator[reports.SeenPicture]:
        views = [one.view for one in self.found.pictures]
        for one in self.found.pictures:
            image = self.images[one.view.picture]
            inner = [view for view in views if view.picture == "image" and view.share < 1]
            box = None
            if one.view.share == 1 and one.view.picture == "image":
                box = self._extent(inner[0]) if inner else self._asked_box(image)
            left, top, right, bottom = self._extent(one.view)
            title = one.view.picture.replace("_", " ").replace("image", "picture")
            if one.view.share < 1:
                title = f"{title}, centre"
                x, y = max(0, int(left)), max(0, int(top))
                image = image[y : math.ceil(bottom), x : math.ceil(right)]
                left, top, right, bottom = left - x, top - y, right - x, bottom - y
            if len(views) > 1:
                title = f"{title}: {percent(one.share)}"
            yield reports.SeenPicture(title, image, one.heat, (left, top, right, bottom), box)

    def _extent(self, view: View) -> tuple[float, float, float, float]:
        """What a view sees, in pixels of the picture."""
        height, width = self.images[view.picture].shape[:2]
        seen = self.explainer.records[view.picture].seen(height, width)
        x, y = (seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2
        across, down = (view.share * (seen[end] - seen[end - 2]) / 2 for end in (2, 3))
        return x - across, y - down, x + across, y + down

    def _asked_box(self, image) -> tuple | None:
        """The box that the run looks at, in pixels of the picture as it is drawn."""
        if self.box is None or BOX_VIEW not in self.images or np.isnan(self.box).any():
            return None
        with Image.open(self.name) as whole:
            scale = min(image.shape[:2]) / min(whole.size)  # pictures are made smaller when read
        return tuple(scale * side for side in self.box)

    def _picture_numbers(self, one, seen: reports.SeenPicture) -> dict:
        row, column = np.unravel_index(one.heat.argmax(), one.heat.shape)
        left, top, right, bottom = self._extent(one.view)
        height, width = one.heat.shape
        return {
            "input": one.view.picture,
            "share_of_its_sides": one.view.share,
            "share": _rounded(one.share),
            "strongest_at": [
                round(left + (column + 0.5) / width * (right - left), 1),
                round(top + (row + 0.5) / height * (bottom - top), 1),
            ],
            "half_of_it_on": _rounded(area_of_half(one.heat)),
        }

    def _face(self) -> reports.SeenFace | None:
        points = self.found.points
        if points is None:
            return None
        image = self.images["image"]
        frame = self.explainer.records["landmarks"].frame
        size = np.array([image.shape[1], image.shape[0]])
        places = self.arrays["landmarks"][0] * size / frame
        return reports.SeenFace(image, places, points.values, _face_parts(points.values))

    def _bars(self) -> reports.Bars | None:
        columns = self.found.columns
        if not columns:
            return None
        return reports.Bars(
            [f"{one.column.name}: {_shown(one)}" for one in columns],
            [one.contribution for one in columns],
            [one.against_class_mean for one in columns],
            ("measurements, against the mean of all", "against the mean of its class"),
        )

    def _sound(self) -> reports.HeardSound | None:
        sound = self.found.sound
        if sound is None:
            return None
        settings = MelSettings(self.explainer.records["waveform"].rate)
        return reports.HeardSound(
            self.arrays["waveform"][0],
            settings.frequencies(),
            settings.hop / settings.rate,
            self._patches(),
            self._patch,
            self._strongest(MARKED),
            sound.probabilities,
            sound.hop,
            2 * sound.hop,
        )

    @property
    def _patch(self) -> tuple[int, int]:
        """Frames and bands of a patch."""
        return max(LEAST_FRAMES, math.ceil(len(self.found.sound.heat) / ACROSS)), BANDS

    def _patches(self) -> np.ndarray:
        return summed_patches(self.found.sound.heat, *self._patch)

    def _strongest(self, count: int) -> list[tuple[int, int]]:
        """Places of the patches that speak most for the answer."""
        patches = self._patches()
        order = np.argsort(-patches, axis=None)[:count]
        places = zip(*np.unravel_index(order, patches.shape), strict=True)
        return [(int(time), int(band)) for time, band in places if patches[time, band] > 0]

    def _patch_numbers(self, time: int, band: int) -> dict:
        settings = MelSettings(self.explainer.records["waveform"].rate)
        frame, hertz = settings.hop / settings.rate, settings.frequencies()
        across, up = self._patch
        last = min(len(hertz), (band + 1) * up) - 1
        return {
            "seconds": [round(time * across * frame, 3), round((time + 1) * across * frame, 3)],
            "hertz": [round(float(hertz[band * up]), 1), round(float(hertz[last]), 1)],
            "contribution": _rounded(float(self._patches()[time, band])),
        }

    def _rank(self) -> tuple[str, ...]:
        """The rank of a taxon that is answered; nothing before its name where there is none."""
        rank = self.prediction.get("rank")
        return (rank,) if rank and rank != self.prediction["label"] else ()

    def _notes(self) -> list[str]:
        """What the numbers mean."""
        notes = []
        if self.found.baseline:
            notes.append(f"Contributions are measured against the mean of {self.found.baseline}.")
        if self.found.columns and all(math.isnan(one.value) for one in self.found.columns):
            notes.append("It came without measurements: their training means stand in.")
        return notes


def _explained_class(prediction: dict) -> str:
    """The class that is answered; of a taxon or of "other", the most probable one."""
    if "path" in prediction:
        return prediction["path"][-1]["taxon"]
    return prediction["top"][0]["label"]


def _face_parts(values: np.ndarray) -> dict[str, float]:
    return {
        part.replace("_", " "): float(values[where].sum()) for part, where in IBUG_PARTS.items()
    }


def _value(one):
    """The value of a measurement, for JSON: a number, a category, or None where it is missing."""
    if math.isnan(one.value):
        return None
    return one.column.values[int(one.value)] if one.column.values else _rounded(one.value)


def _shown(one) -> str:
    value = _value(one)
    if value is None:
        return "missing"
    return value if isinstance(value, str) else f"{value:.4g}"


def _rounded(value):
    """Floats of any container with six significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [_rounded(one) for one in value]
    return None if value is None else float(f"{value:.6g}")
