"""Raw samples that an export is tried on: those of the run, and what else a user may feed."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.errors import InputError
from models.inputs import ImageInput, LandmarkInput, WaveformInput

MOST = 16  # samples of the run that are compared
SECONDS = 10  # of each recording
SIZES = ((187, 251), (640, 480))  # height and width of further pictures


@dataclass(frozen=True)
class Samples:
    """Raw inputs of a run, input name -> (batch, ...).

    Attributes:
        about: what they are, in words.
        trials: batches to compare answers to; the first holds samples as they are.
        timed: in words -> a batch of one.
    """

    about: str
    trials: tuple[dict, ...]
    timed: dict[str, dict]

    @property
    def first(self) -> dict:
        """A batch of one."""
        return _alone(self.trials[0])


def samples_of(run: Path, records: tuple) -> Samples:
    """Samples that a run keeps of its own data, and what else may be fed to it, made from them.

    Args:
        run: folder of the run.
        records: of its inputs.

    Raises:
        InputError: the run's examples cannot be read.
    """
    raw, about = _stored(run, records)
    trials, timed = [raw, _alone(raw)], [_alone(raw)]
    if any(isinstance(one, ImageInput) for one in records):
        resized = [_resized(raw, *size) for size in SIZES]
        trials += [*resized, _recoloured(resized[0])]
        timed.append(_alone(resized[-1]))
        about += ", as they are, in two other sizes, and with colour taken or given"
    if "measurements" in raw:
        trials.append(_with_gaps(raw))
        about += ", with all and with half of their measurements"
    if "waveform" in raw:
        trials += [_cut(raw), _cut(_alone(raw))]
        about += ", in several lengths, alone and together"
    return Samples(about, tuple(trials), {_extent(one, records): one for one in timed})


def _stored(run: Path, records: tuple) -> tuple[dict, str]:
    """Samples of the part that the run was judged on last; without them, made-up ones."""
    path = run / "examples.npz"
    if not path.is_file():
        rng = np.random.default_rng(0)
        made = {one.name: _made_up(one, rng) for one in records}
        return made, f"{MOST} made-up inputs (the run's examples.npz is not there)"
    try:
        with np.load(path) as stored:
            raw = {one.name: stored[one.name][:MOST] for one in records}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}): restore it from a copy, or remove it"
        ) from None
    for record in records:
        if isinstance(record, WaveformInput):
            raw[record.name] = raw[record.name][:, : SECONDS * record.rate]
    return raw, f"{len(next(iter(raw.values())))} samples of the run's own data (examples.npz)"


def _made_up(record, rng: np.random.Generator) -> np.ndarray:
    if isinstance(record, ImageInput):
        return rng.integers(0, 256, (MOST, record.height, record.width, 3), np.uint8)
    if isinstance(record, LandmarkInput):
        return np.float32(rng.random((MOST, record.points, 2)) * record.frame)
    if isinstance(record, WaveformInput):
        return np.float32(rng.normal(0, 0.1, (MOST, 3 * record.rate)))
    values = [len(column.values) for column in record.columns]
    index = rng.integers(0, np.maximum(values, 1), (MOST, len(values)))
    return np.where(values, index, rng.normal(size=index.shape)).astype(np.float32)


def _alone(raw: dict) -> dict:
    return {name: values[:1] for name, values in raw.items()}


def _resized(raw: dict, height: int, width: int) -> dict:
    """The pictures in another size, landmarks along with them."""
    found = dict(raw)
    for name in _pictures(raw):
        images = [Image.fromarray(one.squeeze()).resize((width, height)) for one in raw[name]]
        found[name] = np.stack(images).reshape(len(images), height, width, -1)
    if "landmarks" in raw:
        scale = width / raw["image"].shape[2], height / raw["image"].shape[1]
        found["landmarks"] = raw["landmarks"] * np.float32(scale)
    return found


def _recoloured(raw: dict) -> dict:
    """Coloured pictures in grey, grey ones in colour."""
    found = dict(raw)
    for name in _pictures(raw):
        first = raw[name][..., :1]
        grey = raw[name].shape[-1] == 1
        found[name] = np.concatenate([first, first // 2, 255 - first], -1) if grey else first
    return found


def _pictures(raw: dict) -> list[str]:
    return [name for name in raw if name.startswith("image")]


def _with_gaps(raw: dict) -> dict:
    missing = np.random.default_rng(0).random(raw["measurements"].shape) < 0.5
    return raw | {"measurements": np.where(missing, np.float32(np.nan), raw["measurements"])}


def _cut(raw: dict) -> dict:
    """Recordings that end at different places, behind which there is NaN; a lone one is shorter."""
    sound = raw["waveform"]
    sound = sound[:, : max(1, sound.shape[1] * 2 // 3)].copy()
    for row, end in zip(sound, np.linspace(sound.shape[1], 1, len(sound)).astype(int), strict=True):
        row[end:] = np.nan
    return {"waveform": sound}


def _extent(raw: dict, records: tuple) -> str:
    """What a sample is, in words: `48x48 pixels, landmarks`."""
    words = []
    for record in records:
        shape = raw[record.name].shape
        if isinstance(record, ImageInput):
            words.append(f"{shape[2]}x{shape[1]} pixels")
        elif isinstance(record, WaveformInput):
            words.append(f"{shape[1] / record.rate:.1f} s of sound")
        else:
            words.append(record.name)
    return ", ".join(words)
