"""Two processes that train one network on JAX (extra `backends`)."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models.artefact import read_history
from models.runs import read_json
from tests.tiny_model import write_pictures

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return write_pictures(folder, {"dark": 30, "light": 25, "striped": 20})


def started(pictures, out, *words, number=1, index=0, port=0, **environment):
    """A process that trains."""
    told = {"KERAS_BACKEND": "jax"} | environment
    if number > 1:
        names = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
        values = (f"127.0.0.1:{port}", str(number), str(index))
        told |= dict(zip((f"KERAS_DISTRIBUTION_{name}" for name in names), values, strict=True))
        words = (*words, "--distribute", "hosts")
    command = ["train", "--model", "Tiny", "--data-dir", str(pictures), "--out", str(out)]
    command += ["--run", "run", "--epochs", str(EPOCHS), "--batch-size", "15", *words]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tiny_command", *command],
        cwd=ROOT, env=os.environ | told, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def both(pictures, out, *words, stops=(0, 0)):
    """Exit codes and what two processes print."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [
        started(pictures, out, *words, number=2, index=index, port=port, STOP_AFTER=str(stop))
        for index, stop in enumerate(stops)
    ]
    told = [one.communicate(timeout=600) for one in pair]
    return [one.returncode for one in pair], told


def weights(out):
    network = keras.models.load_model(out / "Tiny" / "run" / "model.keras").get_layer("network")
    return np.concatenate([value.ravel() for value in network.get_weights()])


@pytest.fixture(scope="module")
def alone(pictures, tmp_path_factory):
    """The runs' folder of one process."""
    out = tmp_path_factory.mktemp("alone")
    one = started(pictures, out)
    told = one.communicate(timeout=600)
    assert one.returncode == 0, told
    return out


def test_two_processes_come_to_what_one_comes_to(pictures, alone, tmp_path):
    codes, told = both(pictures, tmp_path)
    assert codes == [0, 0], told
    np.testing.assert_allclose(weights(tmp_path), weights(alone), atol=1e-5)
    one, two = (read_history(out / "Tiny" / "run") for out in (alone, tmp_path))
    # Batches of 15, 15, 15 and 7 are shared out as 16, 16, 16 and 8: the last weighs 8 of 56 in a
    # loss in place of 7 of 52, and of each batch one sample counts twice in an accuracy.
    for figure, most in (("loss", 5e-3), ("val_loss", 5e-3), ("accuracy", 4 / 56)):
        np.testing.assert_allclose(two[figure], one[figure], atol=most)
    assert [path.name for path in (tmp_path / "Tiny").iterdir()] == ["run"]
    (device,) = read_json(tmp_path / "Tiny" / "run", "metadata.json")["devices"]
    assert device["processes"] == device["devices"] == 2
    assert "accuracy" in told[0][0] and "accuracy" not in told[1][0]


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_other_and_both_go_on(pictures, alone, tmp_path, killed):
    stops = [0, 0]
    stops[killed] = 2
    codes, told = both(pictures, tmp_path, stops=stops)
    assert codes[killed] == -9 and codes[1 - killed] not in (0, None), told
    assert "start them again with --resume" in told[1 - killed][1], told
    assert not (tmp_path / "Tiny" / "run").exists()
    codes, told = both(pictures, tmp_path, "--resume")
    assert codes == [0, 0], told
    np.testing.assert_allclose(weights(tmp_path), weights(alone), atol=1e-5)
