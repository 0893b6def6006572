"""A training that is killed, or whose disk is full, loses nothing; two cannot write one folder."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import run
from datasets.errors import InputError
from models import drafts
from models.artefact import load_network
from tests.tiny_model import Tiny, write_pictures
from training.callbacks import StopOnNaN

ROOT = Path(__file__).resolve().parents[1]
WORDS = ["--model", "Tiny", "--run", "it", "--epochs", "40", "--batch-size", "4", "--seed", "3"]


@pytest.fixture(scope="module", name="pictures")
def fixture_pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), {"light": 40, "striped": 40})


def begun(pictures, out, *words, limit=None):
    command = [sys.executable, "-m", "tests.tiny_command", *WORDS, "--data-dir", str(pictures)]

    def bound():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [*command, "--out", str(out), *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=bound if limit else None,
    )


def weights_of(out):
    return Tiny.loadModel(out / "Tiny" / "it").model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_training_that_is_killed_at_random_times_comes_to_the_same(pictures, tmp_path, seed):
    whole = begun(pictures, tmp_path / "whole")
    start = time.monotonic()
    assert whole.wait(300) == 0, whole.stderr.read()
    took, rng, kills = time.monotonic() - start, random.Random(seed), 0
    while not (tmp_path / "killed" / "Tiny" / "it").exists():
        resume = ["--resume"] * drafts.draft_folder(tmp_path / "killed", "Tiny", "it").exists()
        process = begun(pictures, tmp_path / "killed", *resume)
        try:  # the later ones have the time that they need
            process.wait(took * (rng.uniform(0.3, 1.1) + kills / 8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0, process.stderr.read()
    assert kills
    for one, other in zip(
        weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed"), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_training_goes_on_later(pictures, tmp_path):
    """Files may grow to so many bytes only, which the network's last file exceeds."""
    process = begun(pictures, tmp_path, limit=20_000)
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 2
    last = told.strip().splitlines()[-1]
    assert last.startswith("error: ") and "go on with: " in last and last.endswith("--resume")
    assert "Traceback" not in told
    again = begun(pictures, tmp_path, "--resume")
    assert again.wait(300) == 0, again.stderr.read()
    assert weights_of(tmp_path)


def test_a_draft_is_held_by_one_process(tmp_path):
    config = {"epochs": 1}
    draft = drafts.open_draft(tmp_path, "Tiny", "it", config, False)
    other = (
        "from pathlib import Path; from models import drafts; "
        f"drafts.open_draft(Path({str(tmp_path)!r}), 'Tiny', 'it', {config}, True)"
    )
    done = subprocess.run([sys.executable, "-c", other], cwd=ROOT, capture_output=True, text=True)
    assert "InputError: another process trains Tiny/it: wait for it" in done.stderr
    drafts.release(draft)
    done = subprocess.run([sys.executable, "-c", other], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # and what has ended, however, holds nothing
    assert drafts.open_draft(tmp_path, "Tiny", "it", config, True) == draft
    drafts.drop_draft(draft)
    assert not draft.exists()


def test_a_draft_that_a_kill_left_without_its_options_is_begun_anew(tmp_path):
    draft = drafts.draft_folder(tmp_path, "Tiny", "it")
    draft.mkdir(parents=True)
    assert drafts.open_draft(tmp_path, "Tiny", "it", {"epochs": 1}, False) == draft
    assert (draft / "config.json").exists()
    with pytest.raises(InputError, match="an interrupted training of Tiny/it"):
        drafts.open_draft(tmp_path, "Tiny", "it", {"epochs": 1}, False)
    drafts.release(draft)


@pytest.mark.parametrize(
    ("at_once", "said"),
    [(1, r"batch 3 \(samples 9 to 12 "), (2, r"batches 3 to 4 \(samples 9 to 16 ")],
)
def test_a_loss_that_is_no_number_names_its_batch(at_once, said):
    inputs = np.ones((24, 2), np.float32)
    inputs[9, 1] = np.nan
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse", steps_per_execution=at_once)
    with pytest.raises(ArithmeticError, match=f"nan in epoch 1, {said}"):
        network.fit(
            inputs, np.ones(24), batch_size=4, shuffle=False, verbose=0, callbacks=[StopOnNaN(4)]
        )


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
    from training import callbacks

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    path = tmp_path / "best.weights.h5"
    callbacks._write_weights(network, path)
    before = path.read_bytes()

    def full(self, place):
        Path(place).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(keras.Sequential, "save_weights", full)
    with pytest.raises(OSError, match="No space left"):
        callbacks._write_weights(network, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_picture_that_went_away_is_one_line(tmp_path, monkeypatch, capsys):
    def broken(*_):
        said = "{{node}} InputError: a.png is gone: restore it, or start again\nTraceback ..."
        raise tf.errors.UnknownError(None, None, said)

    monkeypatch.setattr("models.commands.train._go_through_the_steps", broken)
    assert run.main(["--model", "NN1", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: a.png is gone: restore it, or start again; interrupted before")

    monkeypatch.setattr("models.commands.train._go_through_the_steps", lambda *_: {}["x"])
    with pytest.raises(KeyError):
        run.main(["--model", "NN1", "--out", str(tmp_path)])


def test_a_network_of_another_version_is_one_line(tmp_path):
    (tmp_path / "metadata.json").write_text('{"versions": {"keras": "3.0.0"}}')
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"with Keras 3.0.0 .* use its SavedModel, or train"):
        load_network(tmp_path)
