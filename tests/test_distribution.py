"""Precision, and several devices of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from datasets.errors import InputError
from models.artefact import load_savedmodel
from models.emotion.nn1 import NN1
from models.options import same_training
from models.runs import read_json
from models.steps import StepOrderError
from tests import device_steps
from tests.tiny_model import Tiny, write_pictures
from training import distribution
from training.distribution import Device, chosen_precision, setting_text
from training.processes import DeviceError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def as_before():
    yield
    distribution.begin("float32", "none")


@pytest.mark.parametrize(
    ("capability", "policy"),
    [(0, "float32"), (6, "float32"), (7, "mixed_float16"), (8, "mixed_bfloat16")],
)
def test_auto_takes_what_the_device_gains_by(capability, policy):
    assert chosen_precision("auto", Device("GPU", capability)) == policy
    assert chosen_precision("float32", Device("GPU", capability)) == "float32"


def test_a_cpu_trains_in_float32_unless_told_otherwise():
    found = distribution.begin("auto", "none")
    assert (found.device, found.devices, found.precision) == ("CPU", 1, "float32")
    assert not distribution.gains_nothing()
    assert distribution.begin("mixed_bfloat16", "none").precision == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert distribution.gains_nothing()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_trained_in_half_the_bits_is_saved_in_float32(
    precision, tmp_path, undrawn, monkeypatch
):
    seen = []
    train = keras.Model.fit

    def watched(model, *words, **keywords):
        seen.append((model.layers[-1].compute_dtype, type(model.optimizer).__name__))
        return train(model, *words, **keywords)

    monkeypatch.setattr(keras.Model, "fit", watched)
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_pictures(folder, {"dark": 12, "light": 12, "striped": 12})
    model = Tiny(Tiny.Options(data_dir=str(folder), precision=precision), tmp_path / "out", "run")
    for step in (model.loadData, model.createArchitecture, model.prepareModel, model.train):
        step()
    half = precision.removeprefix("mixed_")
    scaled = "LossScaleOptimizer" if half == "float16" else "Adam"
    assert seen == [(half, scaled)]
    model.save()

    loaded = Tiny.loadModel(model.folder)
    kinds = {layer.compute_dtype for layer in loaded.model._flatten_layers()}
    assert kinds == {"float32"}
    raw = {"image": np.full((2, 16, 16, 1), 90, np.uint8)}
    expected = model.predict(raw)["probabilities"]
    assert expected.dtype == np.float32
    np.testing.assert_allclose(loaded.predict(raw)["probabilities"], expected, atol=1e-6)
    network = load_savedmodel(model.folder)
    serving = network.serve(raw)["probabilities"].numpy()
    np.testing.assert_allclose(serving, expected, atol=1e-6)
    (device,) = read_json(model.folder, "metadata.json")["devices"]
    assert device == {
        "backend": "tensorflow", "device": "CPU", "devices": 1, "processes": 1,
        "precision": precision,
    }  # fmt: skip
    assert setting_text(device) in (model.folder / "README.md").read_text()


def test_answers_are_float32_while_a_network_trains_in_half_the_bits(small_nn1):
    model = NN1(NN1.Options(precision="mixed_bfloat16"))
    with pytest.raises(StepOrderError):
        _ = model.table
    model.seed_weights()
    model.table = type("Labels", (), {"labels": ("a", "b")})
    model.createArchitecture()
    outputs = model.model.output
    assert outputs["probabilities"].dtype == "float32"
    assert outputs["features"].dtype == "bfloat16"


@pytest.mark.slow  # it trains four networks in two processes
def test_two_devices_come_to_what_one_comes_to():
    done = subprocess.run(
        [sys.executable, "-m", "tests.device_steps"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == device_steps.TRAININGS.keys()
    for task, figures in found.items():
        assert figures["devices"] == [1, 2]
        assert figures["moved"] > 0.1, task
        assert figures["weights"] < 1e-4, task
        assert max(figures["losses"], figures["answers"]) < 1e-4, task


def test_what_a_backend_cannot_do_is_said():
    with pytest.raises(DeviceError, match="KERAS_BACKEND=jax"):
        distribution.begin("auto", "hosts")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--precision", "half"], "--precision half: take one of"),
        (["--distribute", "hosts"], "KERAS_BACKEND=jax"),
        (["--distribute", "hosts", "--folds", "3"], "--fold"),
    ],
)
def test_mistakes_are_one_line(words, expected, tmp_path):
    from models.commands.train import run

    with pytest.raises(InputError, match=expected):
        run(["--model", "NN2", "--out", str(tmp_path), *words])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "backend, expected", [("pytorch", "take one of tensorflow, jax, torch"), ("", "take one of")]
)
def test_an_unknown_backend_is_named(backend, expected):
    done = subprocess.run(
        [sys.executable, "run.py", "list"],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 2
    assert expected in done.stderr and len(done.stderr.splitlines()) == 1


def test_gpu_memory_is_taken_as_it_is_needed():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_training_may_go_on_on_another_device():
    one = NN1.Options().to_json()
    other = NN1.Options(precision="mixed_bfloat16", distribute="auto").to_json()
    assert same_training(one, other)
    earlier = {name: one[name] for name in one.keys() - {"precision", "distribute"}}
    assert same_training(earlier, one)  # of a version without these options
    votes, weights = (NN1.Options(**told).to_json() for told in ({"votes": False}, {"width": 8}))
    assert same_training({name: one[name] for name in one.keys() - {"votes"}}, votes)
    assert not same_training({name: one[name] for name in one.keys() - {"width"}}, weights)
    assert not same_training(one, NN1.Options(seed=1).to_json())
