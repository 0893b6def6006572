"""TransferMLP: which networks it uses, that it computes their features once, and its answers."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from datasets.errors import InputError
from datasets.splits import shuffled_split
from models.artefact import load_savedmodel
from models.base import PIPELINES
from models.music.mel_dcnn import MelDCNN
from models.music.segments import Segments
from models.music.transfer_mlp import TransferMLP
from models.runs import read_json, write_json
from models.savedmodel import write_savedmodel
from tests.tone_tracks import DENSE, RATE, make_small, tone_tracks
from training import frozen_outputs

FEW = {"epochs": 1, "batch_size": 32, "stored_views": 2, "width": 5}

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


def write_needed(folder, network, labels):
    """Of the networks none is needed, and each takes seconds."""
    if network.name != "MelDCNN":
        write_savedmodel(folder, network, labels)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setattr("models.artefact.write_savedmodel", write_needed)
        patch.setattr(MelDCNN.Options, "SYNTHETIC_RECOMMENDED", {"epochs": 1})
        patch.setitem(MelDCNN.prepareModel.__globals__["READOUT"], "epochs", 1)
        yield


@pytest.fixture(scope="module")
def table():
    return tone_tracks()


def transfer(table, out, run="run", **options):
    """With its data, before any network is looked for."""
    model = TransferMLP(TransferMLP.Options(**FEW | options), out, run)
    model.split_table(table)
    return model


def built(table, out, run="run", **options):
    model = transfer(table, out, run, **options)
    model.createArchitecture()
    return model


@pytest.fixture(scope="module")
def networks(table, tmp_path_factory):
    """A folder with one network of genres, `MelDCNN/genre`."""
    out = tmp_path_factory.mktemp("networks")
    model = MelDCNN(MelDCNN.Options(batch_size=32), out, "genre")
    model.split_table(table)
    model.createArchitecture()
    model.prepareModel()
    model.train()
    model.save()
    return out


@pytest.fixture(scope="module")
def trained(table, networks, tmp_path_factory):
    """On the features of two networks, one of which has to be trained first."""
    out = shutil.copytree(networks, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True)
    model = built(table, out, tasks="gs")
    model.before = {one.path: one.numpy() for one in model.model.weights}
    model.prepareModel()
    model.train()
    model.save()
    return model


def also(folder, name, **changes):
    """A copy of a run, some of whose options were others."""
    copy = shutil.copytree(folder, folder.parent / name)
    config = copy / "config.json"
    write_json(config, read_json(copy, "config.json") | changes)
    metadata = read_json(copy, "metadata.json")
    metadata["files"].pop("config.json")
    write_json(copy / "metadata.json", metadata | {"finished": "2999"})
    return copy


# --- which networks


def test_by_default_there_is_a_network_for_every_task_that_the_tracks_allow(
    table, networks, tmp_path, monkeypatch
):
    loaded = MelDCNN.loadModel(networks / "MelDCNN" / "genre")
    asked = []

    def note(model, branch_class, run, fits, **told):
        asked.append((run, told["tasks"]))
        return loaded

    monkeypatch.setattr("models.music.transfer_mlp.trained_branch", note)
    built(table, tmp_path)
    assert asked == [(None, task) for task in "gmdes"]
    asked.clear()
    built(replace(table, frame=table.frame.assign(subgenres="")), tmp_path)
    assert asked == [(None, task) for task in "gmde"]
    asked.clear()
    built(table, tmp_path, tasks="sg", sharing="shared")
    assert asked == [(None, "gs")]


def test_a_network_that_is_there_is_used_and_the_missing_one_is_trained(trained):
    used, new = trained.notes
    assert used.startswith("MelDCNN: uses the run ") and "MelDCNN/genre, made by" in used
    assert new == "MelDCNN: no run on this data and split with these options yet, trained a new one"
    runs = sorted(path.name for path in trained.out.glob("MelDCNN/*"))
    assert runs == ["genre", "run"]
    config = read_json(trained.out / "MelDCNN" / "run", "config.json")
    assert (config["tasks"], config["seed"], config["frames"]) == ("s", 0, 43)


def test_both_are_used_the_next_time(trained, table):
    again = built(table, trained.out, "again", tasks="gs")
    assert [note.split(",")[0].rsplit("/", 1)[1] for note in again.notes] == ["genre", "run"]
    assert len(list(trained.out.glob("MelDCNN/*"))) == 2


def test_the_newest_that_fits_is_used(networks, table, tmp_path):
    out = shutil.copytree(networks, tmp_path / "out")
    genre = out / "MelDCNN" / "genre"
    also(genre, "other-frames", frames=86)
    also(genre, "other-tasks", tasks="gm")
    also(genre, "wide", wide_as=2)
    (note,) = built(table, out, tasks="g").notes
    assert "MelDCNN/genre, made by" in note
    also(genre, "newer", epochs=3)
    (note,) = built(table, out, tasks="g").notes
    assert "MelDCNN/newer, made by" in note
    (note,) = built(table, out, networks="MelDCNN/wide").notes  # where it is named
    assert "MelDCNN/wide, made by" in note


def test_several_networks_are_named(networks, table):
    model = built(table, networks, networks="MelDCNN/genre, MelDCNN/genre")
    assert model.model.output["features"].shape == (None, 2 * DENSE)
    assert len(model.notes) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": "MelDCNN/genre", "seed": 1}, "trained on other data or another split"),
        ({"networks": "MelDCNN/genre", "frames": 86}, "trained with other options"),
        ({"networks": "MelDCNN/nothing"}, "no saved run is called 'MelDCNN/nothing'"),
    ],
)
def test_a_named_network_that_does_not_fit_is_refused(networks, table, options, message):
    with pytest.raises(InputError, match=message):
        built(table, networks, **options)


def test_a_network_of_the_same_tracks_in_another_split_is_not_used(networks, table):
    model = transfer(table, networks, networks="MelDCNN/genre")
    model.use_data(table, shuffled_split(table, 5))
    with pytest.raises(InputError, match="its training samples may be test samples here"):
        model.createArchitecture()


def test_a_network_that_hears_another_rate_is_refused(networks):
    faster = tone_tracks(rate=16_000)
    with pytest.raises(InputError, match=r"hears 8,000 .* have 16,000: give --sample-rate 8000"):
        built(faster, networks, networks="MelDCNN/genre")


def test_tasks_and_named_networks_are_two_ways_to_choose():
    with pytest.raises(InputError, match="--tasks gm and --networks a,b are two ways"):
        TransferMLP.Options(tasks="gm", networks="a,b")
    assert TransferMLP.Options(tasks="mg").tasks == "gm"
    with pytest.raises(InputError, match="some of the letters"):
        TransferMLP.Options(tasks="x")


def test_a_task_that_the_tracks_do_not_allow_is_refused_before_any_training(monkeypatch, tmp_path):
    table = tone_tracks(12, subgenres="")
    monkeypatch.setattr("models.music.tracks.load_table", lambda *_, **__: table)
    model = TransferMLP(TransferMLP.Options(tasks="gs"), tmp_path)
    with pytest.raises(InputError, match="leave out task s"):
        model.loadData()
    assert not list(tmp_path.iterdir())


# --- training


def test_the_networks_stay_as_they_are(trained):
    after = {one.path: one.numpy() for one in trained.model.weights}
    moved = {path for path in after if not np.array_equal(trained.before[path], after[path])}
    assert moved == {
        "hidden/kernel", "hidden/bias", "probabilities/kernel", "probabilities/bias",
    }  # fmt: skip
    assert any(path.startswith("shared/") or "/shared/" in path for path in after)


@pytest.fixture
def heard(monkeypatch):
    """How many segments each pass through a frozen network had; none is known from elsewhere."""
    numbers = []

    on_batch = keras.Model.predict_on_batch

    def counted(network, arrays):
        numbers.append(len(arrays["waveform"]))
        return on_batch(network, arrays)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    monkeypatch.setattr("training.phases.FROZEN_OUTPUTS", frozen_outputs.FrozenOutputs())
    monkeypatch.setattr("models.base.baseline_views", lambda *_: ())
    return numbers


def trained_head(networks, table, out, monkeypatch, scale=1, **options):
    """Without what the finished network answers; the weights of its frozen networks scaled."""
    shutil.copytree(networks, out)
    model = built(table, out, tasks="g", **options)
    for weight in model.model.get_layer("network_1").weights:
        weight.assign(scale * weight)
    model.prepareModel()
    monkeypatch.setattr(model, "outputs", lambda table: {})
    model.train()
    return model


def segments_of(model) -> set[bytes]:
    """All that the views and the validation part consist of."""
    (phase,) = model.phases
    train, validation = (
        model.table.modalities["waveform"].spectrograms[rows]
        for rows in (model.splits.train, model.splits.validation)
    )
    batches = [phase.glance({"waveform": validation})]
    for number in range(phase.views):
        batches += PIPELINES.view({"waveform": train}, phase.augment, model.options.seed, number)
    cut = Segments(model.options.frames)
    return {
        np.asarray(segment).tobytes() for batch in batches for segment in cut(batch["waveform"])[0]
    }


@pytest.mark.parametrize("views", [1, 3])
def test_networks_hear_every_view_once_however_long_the_training(
    networks, table, tmp_path, monkeypatch, heard, views
):
    out = tmp_path / "out"
    model = trained_head(networks, table, out, monkeypatch, epochs=4, stored_views=views)
    assert len(heard) == views + 1  # the validation part once more
    assert sum(heard) == len(segments_of(model))
    history = pd.read_csv(out / "TransferMLP" / ".run.partial" / "history.csv")
    assert len(history) == 4 * views


def test_another_head_on_the_same_networks_finds_their_features(
    networks, table, tmp_path, monkeypatch, heard
):
    """As in a recipe, whose rows share networks."""
    trained_head(networks, table, tmp_path / "one", monkeypatch)
    before = len(heard)
    trained_head(networks, table, tmp_path / "other", monkeypatch, width=7)
    assert before and len(heard) == before
    trained_head(networks, table, tmp_path / "changed", monkeypatch, scale=0.9)
    assert len(heard) == 2 * before


# --- answers


def test_answers_for_recordings_are_means_over_their_segments(trained, table):
    network = trained.model
    for row in (1, 2):
        spectrogram = table.modalities["waveform"].spectrograms[row]
        starts = range(0, len(spectrogram) - 42, 21)
        pieces = np.stack([spectrogram[start : start + 43] for start in starts])
        found, alone = network({"waveform": spectrogram[None]}), network({"waveform": pieces})
        for name in ("features", "embedding", "probabilities"):
            expected = np.asarray(alone[name]).mean(axis=0)
            np.testing.assert_allclose(found[name][0], expected, rtol=1e-4, atol=1e-6)


def test_recordings_of_different_lengths_may_lie_in_different_batches(trained, table, monkeypatch):
    """As those of a real collection do: their numbers of segments make no array."""
    expected = trained.judge(table)
    monkeypatch.setattr("datasets.pipelines._BATCH_BYTES", 1)
    monkeypatch.setattr(TransferMLP, "is_loaded", False)  # as while it is trained
    np.testing.assert_allclose(trained.judge(table), expected, atol=1e-5)


def test_the_features_are_those_of_the_networks_side_by_side(trained, table):
    given = {"waveform": table.modalities["waveform"].spectrograms[1][None]}
    runs = [MelDCNN.loadModel(trained.out / "MelDCNN" / name) for name in ("genre", "run")]
    expected = np.concatenate([one.model(given)["features"] for one in runs], axis=1)
    found = trained.model(given)
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-6)
    assert found["embedding"].shape == (1, FEW["width"])


def test_a_saved_run_hears_waveforms(trained, table):
    rows = np.array([0, 1, 2])
    expected = trained.outputs(table.take(rows))["probabilities"]
    loaded = TransferMLP.loadModel(trained.folder)
    assert [record.rate for record in loaded.inputs] == [RATE]
    network = load_savedmodel(trained.folder)
    for answer, row in zip(expected, rows, strict=True):
        raw = {"waveform": table.modalities["waveform"][int(row)][None]}
        np.testing.assert_allclose(loaded.predict(raw)["probabilities"][0], answer, atol=1e-3)
        np.testing.assert_allclose(network.serve(raw)["probabilities"][0], answer, atol=1e-3)
