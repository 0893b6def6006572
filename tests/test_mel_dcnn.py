"""MelDCNN: its options, its tasks, and what a run of it answers for whole recordings."""

import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import soundfile

import run
from datasets.artist_groups import fit_artist_groups
from datasets.base import SPLITS
from datasets.errors import InputError
from datasets.recordings import read_recording, resampled
from datasets.spectrograms import SILENCE, Spectrograms
from models.artefact import _write_examples, load_savedmodel
from models.music import mel_network
from models.music.front_end import band_statistics
from models.music.mel_dcnn import MelDCNN
from models.music.tracks import allowed_tasks
from tests.tone_tracks import RATE, make_small, tone_tracks
from training.frozen import split_at_frozen
from training.phases import set_trainable

PUBLISHED = mel_network.BLOCKS, mel_network.DENSE
BOTH = 1  # a seed with which the first two epochs draw two tasks
FEW = {"epochs": 1, "batch_size": 32, "factors": 3, "words": 8}

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setitem(MelDCNN.prepareModel.__globals__["READOUT"], "epochs", 2)
        yield


@pytest.fixture(scope="module")
def table():
    return tone_tracks()


def prepared(table, out="saved_models", **options):
    model = MelDCNN(MelDCNN.Options(**FEW | options), out, "run")
    model.split_table(table)
    model.createArchitecture()
    model.prepareModel()
    return model


# --- options


@pytest.mark.parametrize(
    ("typed", "tasks"), [("g", "g"), ("mg", "gm"), ("s,e,d", "des"), ("SGMDE", "gmdes")]
)
def test_tasks_are_letters_in_any_order(typed, tasks):
    assert MelDCNN.Options(tasks=typed).tasks == tasks


@pytest.mark.parametrize("tasks", ["", ",", "x", "gx", "gg"])
def test_other_letters_are_refused(tasks):
    with pytest.raises(InputError, match="some of the letters g, m, d, e, s, each once"):
        MelDCNN.Options(tasks=tasks)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"tasks": "gm", "wide_as": 2}, "--wide-as widens the network of one task"),
        ({"tasks": "m", "patience": 3}, "--patience: the validation part judges genres alone"),
        ({"tasks": "gm", "patience": 3}, "take --tasks g"),
        ({"wide_as": 6}, "--wide-as 6: at most 5"),
        ({"sample_rate": 8000}, "--data music is generated at a rate of its own"),
        ({"group": "artist", "split_rule": "shuffled"}, "looks at no groups"),
    ],
)
def test_what_does_not_go_together_is_refused(told, message):
    with pytest.raises(InputError, match=message):
        MelDCNN.Options(**told)


def test_with_groups_the_split_is_random_unless_told():
    options = MelDCNN.Options
    assert options().split_rule == "stratified"
    assert options(preset="paper").split_rule == "holdout"
    for preset in ("paper", "recommended"):
        assert options(group="artist", preset=preset).split_rule == "random"
    assert options(group="artist", split_rule="stratified").split_rule == "stratified"
    assert options(group="artist", folds=3).split_rule is None


def test_the_paper_preset_is_the_papers_training(table):
    model = prepared(table, preset="paper", tasks="gm", epochs=None, batch_size=None)
    (phase,) = model.phases
    assert (phase.epochs, phase.batch_size, phase.callbacks) == (400, 64, ())
    assert [float(task.optimizer.learning_rate) for task in phase.tasks] == pytest.approx(
        [1e-3] * 2
    )
    assert phase.augment.frames == 43
    assert model.splits.sizes() == {"train": 24, "validation": 6}  # 85 and 15 % of each genre


def test_artists_stay_together(table):
    model = MelDCNN(MelDCNN.Options(group="artist"))
    model.split_table(table)
    artists = [set(table.frame["artist"].iloc[model.splits[part]]) for part in SPLITS]
    assert all(artists)
    assert sum(map(len, artists)) == len(set.union(*artists)) == 6


# --- the network


def test_it_has_the_published_number_of_parameters(monkeypatch):
    for name, value in zip(("BLOCKS", "DENSE"), PUBLISHED, strict=True):
        monkeypatch.setattr(mel_network, name, value)
    table = tone_tracks(48)
    genres = tuple(f"genre {number:02d}" for number in range(16))
    table = replace(table, labels=genres, frame=table.frame.assign(label=genres * 3))
    assert prepared(table).model.count_params() == 567_280


def test_every_task_has_an_output(table):
    model = prepared(table, tasks="gmds")
    shapes = {name: tensor.shape for name, tensor in model.model.output.items()}
    factors = {f"factors_{task}": (None, 3) for task in "mds"}
    assert shapes == factors | {
        "probabilities": (None, 3), "features": (None, 24), "embedding": (None, 24),
    }  # fmt: skip
    assert [task.name for task in model.phases[0].tasks] == [
        "genre", "mfcc", "delta_mfcc", "subgenres",
    ]  # fmt: skip
    assert model.phases[0].epochs == 4


def test_the_answer_for_a_recording_is_the_mean_over_its_segments(table):
    model = prepared(table, tasks="gm").model
    for row in (0, 1, 2):
        spectrogram = table.modalities["waveform"].spectrograms[row]
        found = model({"waveform": spectrogram[None]})
        starts = range(0, max(len(spectrogram) - 43, 0) + 1, 21)
        pieces = [spectrogram[start : start + 43] for start in starts]
        if len(spectrogram) < 43:
            rest = np.full((43 - len(spectrogram), 128), SILENCE, np.float32)
            pieces = [np.concatenate([spectrogram, rest])]
        alone = model({"waveform": np.stack(pieces)})
        for name in ("probabilities", "factors_m", "features"):
            expected = np.asarray(alone[name]).mean(axis=0)
            np.testing.assert_allclose(found[name][0], expected, rtol=1e-4, atol=1e-6)


def test_bands_are_standardised_by_the_training_tracks(table):
    model = prepared(table, preset="paper", split_rule="stratified")
    train = table.modalities["waveform"].spectrograms[model.splits.train]
    mean, _ = band_statistics(train)
    standard = model.model.get_layer("standard")
    np.testing.assert_allclose(np.ravel(standard.mean), mean, rtol=1e-6)


def test_how_loud_a_track_was_recorded_changes_nothing_where_levels_are_relative(table):
    given = table.modalities["waveform"].spectrograms[0][None]
    apart = {}
    for preset in ("recommended", "paper"):
        model = prepared(table, preset=preset, split_rule="stratified").model
        softly, loudly = (model({"waveform": given + change})["features"] for change in (-15, 15))
        apart[preset] = np.abs(np.asarray(softly) - np.asarray(loudly)).max()
    assert apart["recommended"] < 1e-4 < apart["paper"]


def test_a_wide_network_is_as_large_as_several(table):
    one = prepared(table).model.count_params()  # there are as many factors as genres
    wide = prepared(table, wide_as=3)
    # A few weights cannot be matched as well as half a million.
    assert wide.model.count_params() == pytest.approx(3 * one, rel=0.1)
    assert any("times as wide as published" in note for note in wide.notes)


# --- artist group factors


def test_targets_are_those_of_the_artists_of_the_training_tracks(table):
    model = prepared(table, tasks="gd")
    genre, task = model.phases[0].tasks
    assert genre.targets is None and genre.output == "probabilities"
    rows = model.splits.train
    expected = fit_artist_groups("d", table, rows, 0, 3, 8)
    artists = table.frame["artist"].to_numpy()[rows]
    np.testing.assert_allclose(task.targets, expected.targets(artists), atol=1e-6)
    np.testing.assert_allclose(task.targets.sum(axis=1), 1, atol=1e-5)
    assert set(expected.notes) <= set(model.notes)
    hard = prepared(table, tasks="gd", hard_targets=True).phases[0].tasks[1].targets
    assert (hard.sum(axis=1) == 1).all() and (hard.max(axis=1) == 1).all()
    assert (hard.argmax(axis=1) == task.targets.argmax(axis=1)).all()


def test_fewer_artists_than_factors_are_as_many_factors(table):
    model = prepared(table, tasks="s", factors=40)
    assert model.model.output["factors_s"].shape == (None, 6)
    assert any("6 factors and not 40" in note for note in model.notes)


@pytest.mark.parametrize(
    ("missing", "tasks", "allowed"),
    [({"artist": "", "album": ""}, "m", "g"), ({"subgenres": ""}, "s", "gmde")],
)
def test_a_task_that_the_tracks_do_not_allow_is_refused(monkeypatch, missing, tasks, allowed):
    table = tone_tracks(12, **missing)
    assert allowed_tasks(table) == allowed
    monkeypatch.setattr("models.music.tracks.load_table", lambda *_, **__: table)
    with pytest.raises(InputError, match=f"task {tasks}"):
        MelDCNN(MelDCNN.Options(tasks=f"g{tasks}")).loadData()


def test_the_rate_that_is_told_is_handed_on(monkeypatch, table, tmp_path):
    told = []

    def load(name, data_dir, modalities, strict, **more):
        told.append((name, data_dir, modalities, more))
        return table

    monkeypatch.setattr("models.music.tracks.load_table", load)
    MelDCNN(MelDCNN.Options(data_dir=str(tmp_path), sample_rate=16_000)).loadData()
    MelDCNN(MelDCNN.Options(data_dir=str(tmp_path))).loadData()
    expected = ("tracks", str(tmp_path), ("waveform",))
    told_on = [{"rate": 16_000, "tasks": "g"}, {"rate": None, "tasks": "g"}]
    assert told == [(*expected, more) for more in told_on]


# --- training


class Diary(keras.callbacks.Callback):
    """All weights of a network, by their paths, before the first epoch and after each."""

    def __init__(self, network):
        super().__init__()
        self.network, self.pages = network, []

    def on_train_begin(self, logs=None):
        self.pages.append({one.path: one.numpy() for one in self.network.weights})

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_begin()

    def moved(self):
        """Of each epoch, the beginnings of the paths of the weights that changed."""
        for before, after in zip(self.pages[:-1], self.pages[1:], strict=True):
            yield {path for path in before if not np.array_equal(before[path], after[path])}


def watched(model):
    """The model, and a diary of each of its phases."""
    diaries = [Diary(model.model) for _ in model.phases]
    model.phases = tuple(
        replace(phase, callbacks=(*phase.callbacks, diary))
        for phase, diary in zip(model.phases, diaries, strict=True)
    )
    return diaries


def test_an_epoch_moves_the_shared_block_and_the_path_of_its_task_alone(table, tmp_path):
    model = prepared(table, tmp_path, tasks="gm", seed=BOTH)
    (diary,) = watched(model)
    own = {
        "genre": ("shared/", "genre_", "probabilities/"),
        "mfcc": ("shared/", "mfcc_", "factors_m/"),
    }
    paths = {weight.path for weight in model.model.weights}
    for task in own:
        assert {one for one in own[task] if any(path.startswith(one) for path in paths)} == {
            *own[task]
        }
    model.train()
    history = pd.read_csv(tmp_path / "MelDCNN" / ".run.partial" / "history.csv")
    assert set(history["task"]) == set(own)
    for task, moved in zip(history["task"], diary.moved(), strict=True):
        assert moved == {path for path in paths if path.startswith(own[task])}


def test_it_is_said_how_often_each_task_was_drawn(table):
    note = "epochs drawn for each task: genre {}, mfcc {}"
    fair, never = (prepared(table, tasks="gm", seed=seed).notes for seed in (BOTH, BOTH - 1))
    assert fair[-1] == note.format(1, 1)
    assert never[-2] == note.format(0, 2)
    assert never[-1] == "warning: never drawn, so not learnt: genre; give more --epochs"
    assert not any("drawn" in line for line in prepared(table, tasks="m").notes)


def test_without_genres_a_readout_of_the_finished_features_tells_them(table, tmp_path):
    model = prepared(table, tmp_path, tasks="d")
    diaries = watched(model)
    network = model.model
    model.train()
    history = pd.read_csv(tmp_path / "MelDCNN" / ".run.partial" / "history.csv")
    assert history["phase"].tolist() == ["training"] + ["readout"] * 2
    assert history["task"][0] == "delta_mfcc"
    for moved in diaries[0].moved():
        assert moved and not any(path.startswith("probabilities/") for path in moved)
    for moved in diaries[1].moved():
        assert moved == {"probabilities/kernel", "probabilities/bias"}
    assert sorted(model.model.output) == ["embedding", "features", "probabilities"]
    # The features of a view are computed once, without dropout.
    set_trainable(network, model.phases[1].trainable)
    part = keras.Model(network.input, {"probabilities": network.output["probabilities"]})
    stored = split_at_frozen(part).head.input
    assert [tensor.shape for tensor in stored.values()] == [(None, None, 6), (None, None)]


def test_long_segments_are_judged_whole(table):
    model = prepared(table, frames=200)
    given = Spectrograms.of([np.zeros((300, 128), np.float32)] * 2)
    assert model.phases[0].glance({"waveform": given})["waveform"].shape == (2, 200, 128)
    glance = prepared(table).phases[0].glance({"waveform": given})["waveform"]
    assert glance.shape == (2, 3 * 43, 128)


# --- a saved run


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    model = prepared(table, tmp_path_factory.mktemp("out"), epochs=2, learning_rate=0.02)
    model.train()
    model.save()
    return model


def test_no_more_examples_are_kept_than_they_may_weigh(trained, tmp_path, monkeypatch):
    rows = trained.splits.test
    waveforms = trained.table.modalities["waveform"]
    longest = max(len(waveforms[int(row)]) for row in rows)
    for most, expected in ((3 * 4 * longest, 3), (1, 1)):
        monkeypatch.setattr("models.artefact.EXAMPLE_BYTES", most)
        _write_examples(tmp_path / "examples.npz", trained)
        with np.load(tmp_path / "examples.npz") as kept:
            assert kept["waveform"].shape[0] == len(kept["true_label"]) == expected


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    """A track, the same as stereo at another rate, a click, and what is no sound."""
    folder = tmp_path_factory.mktemp("files")
    waveform = table.modalities["waveform"][1]
    soundfile.write(folder / "a.wav", waveform, RATE)
    high = resampled(waveform, RATE, 44_100)
    soundfile.write(folder / "b.mp3", np.stack([high, 0.5 * high], axis=1), 44_100)
    soundfile.write(folder / "c.wav", waveform[:100], RATE)
    (folder / "d.mp3").write_text("The lyrics of the song, not the song.")
    return folder


def answers(capsys, code, *words):
    assert run.main([str(word) for word in words]) == code
    found = capsys.readouterr()
    return json.loads(found.out), found.err


def test_recordings_of_any_kind_are_answered_and_a_text_is_named(trained, files, capsys):
    found, said = answers(capsys, 2, "predict", trained.folder, files, "--json", "--top", 3)
    names = [one["input"].rsplit("/", 1)[1] for one in found["predictions"]]
    assert names == ["a.wav", "b.mp3", "c.wav"]
    (line,) = found["errors"]
    assert line in said
    assert "d.mp3: is no recording, or its header is broken; give a sound file" in line
    for name, one in zip(names, found["predictions"], strict=True):
        waveform = resampled(*read_recording(str(files / name)), RATE)
        (expected,) = trained.predict({"waveform": waveform[None]})["probabilities"]
        told = {entry["label"]: entry["probability"] for entry in one["top"]}
        assert told == pytest.approx(dict(zip(trained.labels, expected, strict=True)), abs=1e-4)


def test_a_training_track_is_most_like_itself(trained, files, table, capsys):
    found, _ = answers(capsys, 0, "predict", trained.folder, files / "a.wav", "--json")
    (one,) = found["predictions"]
    assert table.frame["key"][1] == "1.wav"
    assert 1 in trained.splits.train
    assert one["nearest"][0]["key"] == "1.wav"
    assert one["nearest"][0]["distance"] < 1e-2


def test_an_explained_recording_names_patches_and_segments(trained, files, tmp_path, capsys):
    words = ["predict", trained.folder, files / "a.wav", "--explain", "--to", tmp_path, "--json"]
    found, _ = answers(capsys, 0, *words)
    (answer,) = found["predictions"]
    told = answer["explanation"]
    assert told["file"] == str(tmp_path / "a.explained.png")
    assert (tmp_path / "a.explained.png").read_bytes().startswith(b"\x89PNG")
    assert told["class"] == answer["label"]
    assert told["patches"]
    for patch in told["patches"]:
        assert 0 <= patch["seconds"][0] < patch["seconds"][1]
        assert 0 < patch["hertz"][0] < patch["hertz"][1] < RATE / 2
        assert patch["contribution"] > 0
    assert np.mean(told["segments"]) == pytest.approx(answer["probability"], abs=1e-3)


def test_the_savedmodel_hears_whole_tracks_as_the_training_did(trained, table):
    rows = np.array([0, 1, 2, 7])
    expected = trained.outputs(table.take(rows))
    network = load_savedmodel(trained.folder)
    (record,) = trained.inputs
    batch = record.examples(table.modalities["waveform"][rows])
    assert np.isnan(batch).any(axis=1).sum() == 3
    together = network.serve({"waveform": batch})
    for place, row in enumerate(rows):
        waveform = table.modalities["waveform"][int(row)]
        alone = network.serve({"waveform": waveform[None]})
        for name in ("probabilities", "embedding"):
            np.testing.assert_allclose(alone[name][0], expected[name][place], atol=1e-3)
            np.testing.assert_allclose(together[name][place], alone[name][0], atol=1e-3)
    told = [label.decode() for label in together["label"].numpy()]
    assert told == [trained.labels[best] for best in expected["probabilities"].argmax(axis=1)]


def test_a_loaded_run_has_its_rate_and_judges_as_before(trained, table):
    loaded = MelDCNN.loadModel(trained.folder)
    assert [record.rate for record in loaded.inputs] == [RATE]
    loaded.split_table(table)
    before = json.loads((trained.folder / "metrics.json").read_text())["test"]
    assert loaded.evaluateOnTest().figures["log_loss"] == pytest.approx(before["log_loss"])


def test_a_table_at_another_rate_is_brought_to_that_of_the_run(trained, monkeypatch, table):
    told = []
    monkeypatch.setattr(
        "models.music.tracks.load_table", lambda *_, **more: told.append(more) or table
    )
    MelDCNN.loadModel(trained.folder).read_table("tracks", "somewhere")
    assert told == [{"rate": RATE, "tasks": ""}]


def test_silence_has_an_answer(trained):
    probabilities = trained.predict({"waveform": np.zeros((1, 3 * RATE), np.float32)})
    assert np.isfinite(probabilities["probabilities"]).all()
    assert probabilities["probabilities"].sum() == pytest.approx(1, abs=1e-5)
