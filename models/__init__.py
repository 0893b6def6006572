"""The zoo: every model by its name, imported only when it is asked for."""

import os
import platform
from importlib import import_module

from datasets.errors import InputError

if platform.machine() in ("x86_64", "AMD64"):
    # TensorFlow does so by itself where there is AVX-512. Elsewhere training is 1.6 to 2.1 times as
    # fast with it (`benchmarks/convolutions.py`). It must be said before TensorFlow is imported.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# GPU memory is taken as it is needed, not all of it at once.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

MODELS = {
    "NN1": "models.emotion.nn1:NN1",
    "NN2": "models.emotion.nn2:NN2",
    "FinalNN": "models.emotion.final_nn:FinalNN",
    "Net96": "models.clownfish.net96:Net96",
    "TransferCNN": "models.clownfish.transfer_cnn:TransferCNN",
    "TripletClassifier": "models.snails.triplet_classifier:TripletClassifier",
    "MultiViewClassifier": "models.species.multi_view_classifier:MultiViewClassifier",
    "MelDCNN": "models.music.mel_dcnn:MelDCNN",
    "TransferMLP": "models.music.transfer_mlp:TransferMLP",
}


def model_class(name: str) -> type:
    """The class of a model of the zoo.

    Raises:
        InputError: no model has that name.
    """
    for known, place in MODELS.items():
        if known.lower() == name.lower():
            module, attribute = place.split(":")
            return getattr(import_module(module), attribute)
    raise InputError(f"no model is called '{name}': take one of {', '.join(MODELS)}")
