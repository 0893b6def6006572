"""A small run of TripletClassifier and a table of specimens, for the tests that ask one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets.synthetic import snails
from models.snails.triplet_classifier import TripletClassifier
from tests.small_models import tiny_backbone

ASKED = 4


@pytest.fixture(scope="module", name="trained")
def fixture_trained(tmp_path_factory):
    table = snails.load(160)
    kept = [label for label, count in table.counts().items() if count >= 12]
    rows = np.flatnonzero(table.frame["label"].isin(kept))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.pretrained.build_backbone", tiny_backbone)
        patch.setattr("models.artefact.write_report", lambda *_: None)
        options = TripletClassifier.Options(image_size=32, epochs=1)
        model = TripletClassifier(options, tmp_path_factory.mktemp("out"), "run")
        model.split_table(replace(table.take(rows), labels=tuple(kept)))
        model.createArchitecture()
        model.prepareModel()
        model.train()
        model.save()
    return model


@pytest.fixture(scope="module", name="specimens")
def fixture_specimens(trained, tmp_path_factory):
    """Some of the training specimens as a user's table."""
    folder = tmp_path_factory.mktemp("specimens")
    table = trained.table.take(trained.splits.train[:ASKED])
    cells = pd.DataFrame({"image": [f"{key}.png" for key in table.frame["key"]]})
    for place, column in enumerate(table.columns):
        values = table.modalities["measurements"][:, place]
        cells[column.name] = [
            "" if np.isnan(value) else column.values[int(value)] if column.values else value
            for value in values
        ]
    cells.to_csv(folder / "specimens.csv", index=False)
    for name, image in zip(cells["image"], table.modalities["image"], strict=True):
        Image.fromarray(image).save(folder / name)
    return folder
