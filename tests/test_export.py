"""`run.py export`: what is written agrees and runs alone; what does not agree is not written."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import run
from datasets.columns import Column
from models import MODELS
from models.artefact import verify_run
from models.export import TOLERANCE
from models.export_formats import FORMATS
from models.export_samples import samples_of
from models.fixed_views import ByPicture, FixedViews, OneOfViews
from models.inputs import ImageInput, LandmarkInput, MeasurementInput, WaveformInput, read_inputs
from models.layers import BatchNormalization, EncodeMeasurements, GlobalDeviationPooling
from models.music.front_end import RelativeLevel
from models.music.segments import BySegment, MeanOfSegments, Segments
from models.portable import load_portable
from models.species.multi_view import WholeAndCentre
from models.whitening import Whiten
from tests.tiny_model import write_pictures
from tests.typed import refused

SMALL = {"dark": 12, "light": 12, "striped": 12}


@pytest.fixture(scope="module", autouse=True)
def tiny_zoo():
    """A network in the table; what a run draws is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "Tiny", "tests.tiny_model:Tiny")
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setattr("models.export.TURNS", 1)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run of a tiny network."""
    out = tmp_path_factory.mktemp("out")
    pictures = write_pictures(tmp_path_factory.mktemp("pictures"), SMALL)
    words = ["--model", "Tiny", "--data-dir", pictures, "--out", out, "--run", "one"]
    assert run.main([str(word) for word in words]) == 0
    return out


@pytest.fixture(scope="module")
def exported(out):
    """Format -> what `export --json` said, at the default place."""
    found = {}
    for name in FORMATS:
        with pytest.MonkeyPatch.context() as patch:
            printed = []
            patch.setattr("models.commands.export.print_json", printed.append)
            words = ["export", "Tiny", "--format", name, "--out", str(out), "--json"]
            assert run.main(words) == 0
        found[name] = json.loads(json.dumps(printed[0], allow_nan=False))
    return found


def test_exports_lie_in_the_run_which_stays_whole(out, exported):
    folder = out / "Tiny" / "one"
    verify_run(folder)
    assert {path.name for path in (folder / "exports").iterdir()} == set(FORMATS)
    for name, form in FORMATS.items():
        files = {path.name for path in (folder / "exports" / name).iterdir()}
        assert files >= {form.file, "labels.json", "example.npz", "README.md"}
    assert run.main(["list", "--out", str(out)]) == 0


def test_answers_were_compared_with_the_keras_model(out, exported):
    folder = out / "Tiny" / "one"
    network = keras.models.load_model(folder / "model.keras")
    rng = np.random.default_rng(1)
    for name, form in FORMATS.items():
        said = exported[name]["agreement"]
        assert said["samples"] > 10
        assert 0 <= said["probabilities"] <= TOLERANCE
        answer = form.open(folder / "exports" / name / form.file)
        for shape in ((1, 40, 33, 3), (3, 16, 16, 1)):  # of sizes that were not tried
            raw = {"image": rng.integers(0, 256, shape, np.uint8)}
            expected = network.predict_on_batch(raw)
            for output, found in answer(raw).items():
                scale = np.abs(expected[output]).max()
                np.testing.assert_allclose(found, expected[output], rtol=0, atol=1e-4 * scale)


def test_the_cards_snippets_run_alone(out, exported):
    """As printed, in a process that finds neither the zoo nor imports Keras or TensorFlow."""
    network = keras.models.load_model(out / "Tiny" / "one" / "model.keras")
    for name in FORMATS:
        folder = Path(exported[name]["folder"])
        (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
        alone = "\nimport sys\nassert not {'keras', 'tensorflow', 'models'} & set(sys.modules)"
        done = subprocess.run(
            [sys.executable, "-I", "-c", snippet + alone], cwd=folder, capture_output=True,
            text=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with np.load(folder / "example.npz") as example:
            expected = network.predict_on_batch({"image": example["image"]})["probabilities"][0]
        label, *printed = re.findall(r"[\w.]+", done.stdout)
        assert label == sorted(SMALL)[expected.argmax()]
        np.testing.assert_allclose(np.array(printed, float), expected, atol=1e-3)


def test_the_card_gives_latencies_and_differences(exported):
    for name, said in exported.items():
        card = (Path(said["folder"]) / "README.md").read_text()
        assert f"differs by more than {said['agreement']['probabilities']:.1e}" in card
        assert len(said["milliseconds"]) == 2  # in two sizes
        for one in said["milliseconds"]:
            ratio = one["export"] / one["savedmodel"]
            assert re.search(rf"\| {one['about']} \| .* \| {ratio:.2f} \| ", card)
        assert f"--format {name}" in card


def test_nothing_is_overwritten(capsys, out, exported, tmp_path):
    words = "Tiny", "--format", "onnx", "--out", out
    assert "exports/onnx exists" in refused(capsys, "export", *words)
    assert "exists" in refused(capsys, "export", *words, "--to", tmp_path)
    assert "does not exist" in refused(capsys, "export", *words, "--to", tmp_path / "no" / "where")


def test_a_missing_package_is_one_line(capsys, out, monkeypatch, tmp_path):
    form = replace(FORMATS["onnx"], packages={"tf2onnx": "tf2onnx", "no_such_thing": "no-such"})
    monkeypatch.setitem(FORMATS, "onnx", form)
    line = refused(
        capsys, "export", "Tiny", "--format", "onnx", "--out", out, "--to", tmp_path / "a"
    )
    assert "ONNX needs no-such: pip install -e '.[export]'" in line


@pytest.mark.parametrize("wrong", [lambda p: p + 1e-3, lambda p: p * np.nan])
def test_other_answers_are_not_written(capsys, out, monkeypatch, tmp_path, wrong):
    form = FORMATS["onnx"]

    def open_wrongly(path):
        answer = form.open(path)
        return lambda raw: {name: wrong(value) for name, value in answer(raw).items()}

    monkeypatch.setitem(FORMATS, "onnx", replace(form, open=open_wrongly))
    line = refused(
        capsys, "export", "Tiny", "--format", "onnx", "--out", out, "--to", tmp_path / "a"
    )
    assert "answers otherwise than the Keras model" in line
    assert not list(tmp_path.iterdir())


def test_what_does_not_convert_is_not_written(capsys, out, monkeypatch, tmp_path):
    """TensorFlow's own resize, in place of the one that converts."""
    copy = shutil.copytree(out / "Tiny" / "one", tmp_path / "copy", ignore=lambda *_: {"exports"})
    before = sorted(copy.iterdir())
    monkeypatch.setattr("models.export.load_portable", keras.models.load_model)
    line = refused(capsys, "export", copy, "--format", "litert")
    assert "does not convert to LiteRT (" in line
    assert sorted(copy.iterdir()) == before


def test_a_damaged_run_is_not_exported(capsys, out, tmp_path):
    copy = shutil.copytree(out / "Tiny" / "one", tmp_path / "copy")
    (copy / "model.keras").write_bytes(b"nothing")
    assert "damaged" in refused(capsys, "export", copy, "--format", "onnx", "--to", tmp_path / "a")
    shutil.copy(out / "Tiny" / "one" / "model.keras", copy)
    (copy / "examples.npz").write_bytes(b"nothing")
    line = refused(capsys, "export", copy, "--format", "onnx", "--to", tmp_path / "a")
    assert "examples.npz cannot be read" in line


def test_a_run_is_tried_on_its_own_samples_and_without_any_on_made_up_ones(out, tmp_path):
    folder = out / "Tiny" / "one"
    records = read_inputs(folder)
    found = samples_of(folder, records)
    assert "of the run's own data" in found.about
    with np.load(folder / "examples.npz") as stored:
        assert np.array_equal(found.trials[0]["image"], stored["image"][:16])
    assert "made-up" in samples_of(tmp_path, records).about


@pytest.mark.parametrize(
    "records",
    [
        (ImageInput(48, 48, 1), LandmarkInput(68, 48)),
        (ImageInput(32, 32, 3), ImageInput(32, 32, 3, name="image_2")),
        (ImageInput(32, 32, 3), MeasurementInput((Column("mm"), Column("kind", ("a", "b"))))),
        (WaveformInput(8_000),),
    ],
)
def test_what_else_may_be_fed_is_tried_too(records, tmp_path):
    trials = samples_of(tmp_path, records).trials
    assert {len(next(iter(raw.values()))) for raw in trials} == {1, 16}
    for raw in trials:
        assert list(raw) == [record.name for record in records]
        for record in records:
            assert str(raw[record.name].dtype) == record.raw_tensor().dtype
    if "image" in trials[0]:
        assert len({raw["image"].shape[1:3] for raw in trials}) == 3
        assert {raw["image"].shape[3] for raw in trials} == {1, 3}
    if "landmarks" in trials[0]:
        width = {
            raw["image"].shape[2]: raw["landmarks"][0, 0, 0] / raw["image"].shape[2]
            for raw in trials
        }
        assert len(width) == 3
        assert max(width.values()) == pytest.approx(min(width.values()))
    if "measurements" in trials[0]:
        missing = [np.isnan(raw["measurements"]).mean() for raw in trials]
        assert missing[0] == 0 and 0.2 < max(missing) < 0.8
        kinds = trials[0]["measurements"][:, 1]
        assert set(kinds) == {0, 1}
    if "waveform" in trials[0]:
        lengths = [(~np.isnan(raw["waveform"])).sum(axis=1) for raw in trials]
        assert len(set(lengths[2])) == 16 and lengths[2].min() == 1
        assert len({raw["waveform"].shape[1] for raw in trials}) > 1


def everything_seen():
    """Pictures, landmarks and measurements, and every layer of the zoo that they pass through."""
    columns = Column("mm"), Column("kind", ("a", "b"))
    records = ImageInput(32, 32, 3, 0.8, True), LandmarkInput(4, 32), MeasurementInput(columns)
    raw = {record.name: record.raw_tensor() for record in records}
    fitted = {record.name: record.fit(raw) for record in records}
    encoder = EncodeMeasurements.learnt_from(np.float32([[1, 0], [3, 1], [np.nan, 1]]), (0, 2))
    views = WholeAndCentre()(FixedViews()(fitted["image"]))
    maps = [BatchNormalization()(layers.Conv2D(4, 3)(view)) for view in views]
    seen = OneOfViews()(
        ByPicture()(layers.Concatenate()(list(map(GlobalDeviationPooling(), maps))))
    )
    points = layers.Flatten()(layers.Rescaling(1 / 32)(fitted["landmarks"]))
    joined = layers.Concatenate()([seen, points, encoder(fitted["measurements"])])
    whiten = Whiten(8)
    embedding = layers.UnitNormalization()(whiten(joined))
    answer = layers.Dense(3, activation="softmax")(embedding)
    whiten.matrix.assign(np.random.default_rng(0).normal(size=whiten.matrix.shape))
    return records, keras.Model(raw, {"probabilities": answer, "embedding": embedding})


def everything_heard():
    """Recordings, and every layer of the zoo that they pass through."""
    records = (WaveformInput(8_000),)
    raw = {"waveform": records[0].raw_tensor()}
    segments, inside = Segments(16)(records[0].fit(raw))
    level = RelativeLevel()(segments)
    level = layers.Normalization(mean=[-40.0] * 128, variance=[100.0] * 128)(level)
    pooled = layers.GlobalAveragePooling1D()(layers.Conv1D(6, 3, activation="elu")(level))
    embedding = MeanOfSegments()([BySegment()([pooled, inside]), inside])
    answer = layers.Dense(3, activation="softmax")(embedding)
    return records, keras.Model(raw, {"probabilities": answer, "embedding": embedding})


@pytest.mark.slow  # the contract of one model stands above, for each format
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("network", [everything_seen, everything_heard])
def test_every_layer_of_the_zoo_converts(name, network, tmp_path):
    records, network = network()
    network.save(tmp_path / "model.keras")
    portable = load_portable(tmp_path / "model.keras")
    samples = samples_of(tmp_path, records)
    portable(samples.first)
    form = FORMATS[name]
    form.write(portable, tmp_path / form.file)
    answer = form.open(tmp_path / form.file)
    for raw in samples.trials:
        expected, found = network(raw), answer(raw)
        for output in expected:
            np.testing.assert_allclose(found[output], expected[output], rtol=0, atol=1e-4)
