"""What the simple baselines of a run look at: the network's own inputs, by the records' names.

A picture is seen as the pretrained backbone sees it before any training, or, where the network has
none, as a few grey pixels; measurements and landmarks are seen as they are; of a recording, the
mean and the deviation of each mel band.
"""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from datasets.images import Fit, fit_images
from datasets.picture_files import PictureFiles
from models.inputs import ImageInput
from training.baselines import Comparison, View, compare, p_text
from training.epochs import compute_in_pieces
from training.frozen_outputs import FROZEN_OUTPUTS

PLAIN = ("measurements", "landmarks")  # inputs that a regression can take as they stand
PIXELS = 16


def baseline_views(model, pipelines) -> tuple[View, ...]:
    """What simple classifiers see of the samples; to be taken before the backbone is fine-tuned.

    Args:
        model: NNModel, just before its training.
        pipelines: how to make batches (`training.phases.Pipelines`).

    Returns:
        Views of all parts that are needed.
    """
    rows = {part: model.splits[part] for part in _needed(model.splits)}
    views = [_plain(model.table, record.name, rows) for record in model.inputs if _is_plain(record)]
    views += [_heard(model.table, rows) for record in model.inputs if record.name == "waveform"]
    pictures = [record for record in model.inputs if isinstance(record, ImageInput)]
    if pictures:
        views.append(_seen(model, pictures, rows, pipelines))
    return tuple(views)


def compare_run(views, table, splits, probabilities: dict, seed: int) -> Comparison:
    """The simple baselines beside the network, on the part that is judged last.

    Args:
        views: of `baseline_views`.
        table, splits: the samples and which part each is in.
        probabilities: part -> (samples, classes), the network's answers.
        seed: of what is drawn.
    """
    part = splits.parts()[-1]
    targets = {name: table.targets[splits[name]] for name in _needed(splits)}
    return compare(views, targets, probabilities[part], table.labels, part, seed)


def baseline_lines(found: dict) -> list[str]:
    """The baselines in `metrics.json` as lines for the terminal, the verdict last."""
    return [
        *(
            f"{row['name']} {100 * row['accuracy']:.1f} %, the network "
            f"{100 * row['difference']:+.1f} points (p = {p_text(row['p'])})"
            for row in found["rows"]
        ),
        found["verdict"],
    ]


def _needed(splits) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("train", "validation", splits.parts()[-1])))


def _is_plain(record) -> bool:
    return record.name in PLAIN


def _plain(table, name: str, rows: dict) -> View:
    values = table.modalities[name]
    coded = tuple(place for place, column in enumerate(table.columns) if column.values)
    return View(
        name,
        {part: values[where].reshape(len(where), -1) for part, where in rows.items()},
        coded if name == "measurements" else (),
    )


def _heard(table, rows: dict) -> View:
    spectrograms = table.modalities["waveform"].spectrograms
    parts = {part: _band_figures(spectrograms[where]) for part, where in rows.items()}
    return View("mean spectra", parts, is_vector=True)


def _band_figures(spectrograms) -> np.ndarray:
    """(recordings, 2 * bands), mean and deviation of each band over the frames, in dB."""
    return np.stack([np.hstack([one.mean(axis=0), one.std(axis=0)]) for one in spectrograms])


def _seen(model, records, rows, pipelines) -> View:
    """Pictures as vectors; several pictures of a sample side by side."""
    columns = [model.table.modalities[record.name] for record in records]
    backbone = model.backbone
    if backbone is None or backbone.weights == "none":
        name, ways = f"pixels {PIXELS}x{PIXELS}", [_pixels(record) for record in records]
    else:
        name = f"frozen features of {backbone.name}"
        # Its own size, where the input is cut into views; any size has none.
        side = backbone.network.input.shape[1] or model.options.image_size
        ways = [
            frozen_features(replace(record, height=side, width=side), backbone, pipelines)
            for record in records
        ]
    return View(
        name,
        {
            part: np.hstack([way(column[where]) for way, column in zip(ways, columns, strict=True)])
            for part, where in rows.items()
        },
        is_vector=True,
    )


def _pixels(record):
    small = Fit(PIXELS, PIXELS, 1, record.crop, record.pad)

    def look(pictures):
        on_disk = isinstance(pictures, PictureFiles)
        seen = pictures.fitted(small) if on_disk else fit_images(pictures, small)
        return np.asarray(seen, np.float32).reshape(len(pictures), -1)

    return look


def frozen_features(record, backbone, pipelines):
    """Pictures -> averages of the backbone's feature map, some at a time."""
    image = keras.Input(record.fitted_shape, name="image")
    pooled = keras.ops.mean(backbone.network(backbone.preprocess(image)), axis=(1, 2))
    extractor = keras.Model({"image": image}, {"features": pooled})

    def fit(stored):
        return {"image": record.fitted(stored["image"])}

    def look(pictures):
        stored, names = {"image": pictures}, ("features",)
        how = FROZEN_OUTPUTS.compute
        return compute_in_pieces(extractor, stored, fit, pipelines, names, how)["features"]

    return look
