"""A network of one layer, for tests of what happens around a training."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from PIL import Image

from datasets import load_table
from models.base import NNModel
from models.inputs import ImageInput
from models.options import Options, option
from training.phases import Phase


@dataclass(frozen=True)
class TinyOptions(Options):
    PRESETS = {"paper": {"epochs": 1, "batch_size": 16, "split_rule": "shuffled"}}
    REAL_DATA = "folders"
    DEMONSTRATION = "faces"

    learning_rate: float = option("of Adam", 0.01, above=0.0)


class Tiny(NNModel):
    """One dense layer on 8 x 8 pixels."""

    Options = TinyOptions
    inputs = (ImageInput(8, 8),)

    def loadData(self):  # noqa: N802
        self.split_table(load_table(self.options.data, self.options.data_dir, ("image",)))

    def createArchitecture(self):  # noqa: N802
        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        answer = layers.Dense(len(self.table.labels), activation="softmax", name="probabilities")
        features = layers.Flatten(name="features")(layers.Rescaling(1 / 255)(image))
        outputs = {"features": features, "embedding": features, "probabilities": answer(features)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):  # noqa: N802
        options = self.options
        optimizer = keras.optimizers.Adam(options.learning_rate)
        self.phases = (Phase("training", options.epochs, options.batch_size, optimizer),)


def write_pictures(folder, counts):
    """Class folders of noise that is dark, `light` or `striped`; returns the folder."""
    rng = np.random.default_rng(0)
    for label, count in counts.items():
        (folder / label).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 120, (16, 16)) + 100 * (label == "light")
            pixels[::2] += 60 * (label == "striped")
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder
