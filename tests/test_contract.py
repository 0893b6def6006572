"""What every model of the zoo must do. A model is tested here by standing in the table."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from datasets.base import SPLITS
from datasets.errors import InputError
from datasets.splits import shuffled_split
from models import MODELS, model_class
from models.about import about_of
from models.artefact import read_history, verify_run
from models.base import PIPELINES, NNModel
from models.commands.parser import Parser
from models.explanation.explain import explain
from models.explanation.means import means_of
from models.runs import read_json
from models.steps import StepOrderError
from tests.small_models import make_smaller, prepared, raw_inputs, small_table
from tests.undrawn import leave_undrawn
from training.epochs import compute

ROOT = Path(__file__).resolve().parents[1]
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# A SavedModel computes in TensorFlow, whatever trained it.
SAME = {"atol": 1e-5} if ON_TENSORFLOW else {"atol": 1e-4, "rtol": 1e-4}
# What NN2 embeds can be tens, of which float32 keeps seven digits.
ALIKE = {"probabilities": SAME, "embedding": {"rtol": 1e-5} | SAME}
ALONE = [name for name in MODELS if name not in ("FinalNN", "TransferMLP")]  # no branches to train


@pytest.fixture(scope="module", autouse=True)
def fewer_weights():
    """Networks of the same kind and of a hundredth of the weights: to write those takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        make_smaller(patch)
        yield


@pytest.fixture(scope="module")
def train_one(tmp_path_factory):
    """name -> that model, trained for three epochs and saved, once. Some use those before them."""
    out = tmp_path_factory.mktemp("runs")

    @cache
    def train(name):
        with pytest.MonkeyPatch.context() as patch:
            leave_undrawn(patch)
            model = prepared(name, out, epochs=3)
            model.train()
            model.save()
        return model

    return train


@pytest.fixture(params=MODELS, scope="module")
def trained(request, train_one):
    """Each model in turn."""
    return train_one(request.param)


def test_the_class_is_final_and_only_fills_in_the_three_steps():
    for name in MODELS:
        chosen = model_class(name)
        assert chosen.__bases__ == (NNModel,)
        final = {"train", "save", "loadModel", "predict", "evaluateOnTest"}
        assert not final & set(vars(chosen))


def test_shapes_and_named_outputs(trained):
    arrays = trained.fitted(trained.table.take(np.arange(5)))
    for record in trained.inputs:
        assert trained.model.input[record.name].shape[1:] == record.fitted_shape
    outputs = compute(trained.model, arrays, PIPELINES)
    assert set(outputs) == {"features", "embedding", "probabilities"}
    assert outputs["probabilities"].shape == (5, len(trained.table.labels))
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-5)
    assert outputs["embedding"].shape[0] == 5


def test_the_loss_falls(trained):
    losses = read_history(trained.folder)["loss"].to_numpy()
    assert len(losses) == 3
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ALONE)
def test_one_seed_gives_one_beginning(name, tmp_path):
    def weights(run, seed):
        keras.utils.set_random_seed(len(run))  # what came before must not matter
        model = prepared(name, tmp_path, run, seed=seed)
        return np.concatenate([value.ravel() for value in model.model.get_weights()])

    one, same, other = weights("a", 0), weights("same", 0), weights("other", 1)
    np.testing.assert_array_equal(one, same)
    # Another split may know other missing measurements, and so have other weights.
    assert one.shape != other.shape or np.abs(one - other).max() > 1e-3


def test_three_ways_of_loading_agree_on_raw_input(trained):
    raw = raw_inputs(trained)
    ours = trained.predict(raw)
    loaded = type(trained).loadModel(trained.folder).predict(raw)
    network = tf.saved_model.load(str(trained.folder / "savedmodel"))
    serving = network.serve(raw)
    layer = serving
    if ON_TENSORFLOW:
        layer = keras.layers.TFSMLayer(trained.folder / "savedmodel", call_endpoint="serve")(raw)
    for name in ("probabilities", "embedding"):
        np.testing.assert_allclose(loaded[name], ours[name], atol=1e-6)
        np.testing.assert_allclose(serving[name].numpy(), ours[name], **ALIKE[name])
        np.testing.assert_allclose(np.asarray(layer[name]), ours[name], **ALIKE[name])
    labels = [trained.table.labels[index] for index in ours["probabilities"].argmax(axis=1)]
    assert [label.decode() for label in serving["label"].numpy()] == labels


def test_the_savedmodel_answers_for_fitted_pictures_too(trained):
    if "image" not in trained.model.input:
        pytest.skip("it looks at no picture")
    table = trained.table.take(trained.splits.test)
    fitted = {name: np.float32(values) for name, values in trained.fitted(table).items()}
    network = tf.saved_model.load(str(trained.folder / "savedmodel"))
    answered = network.serve_fitted(fitted)["probabilities"]
    np.testing.assert_allclose(answered, trained.judge(table), **SAME)


def test_the_raw_examples_of_a_run_give_the_answers_of_the_fitted_test_samples(trained):
    fitted = trained.fitted(trained.table.take(trained.splits.test))
    with np.load(trained.folder / "examples.npz") as stored:
        labels, raw = stored["true_label"], {name: stored[name] for name in fitted}
    assert labels.tolist() == trained.table.frame["label"].iloc[trained.splits.test].tolist()
    for record in trained.inputs:
        column = trained.table.modalities[record.name][trained.splits.test]
        np.testing.assert_array_equal(raw[record.name], record.examples(column))
        if record.name == "waveform":
            continue  # fitted as a spectrogram
        # A photograph that was resized lies between the 256 values of a raw pixel.
        rounding = 0.5001 if raw[record.name].dtype == np.uint8 else 0
        np.testing.assert_allclose(raw[record.name], fitted[record.name], rtol=0, atol=rounding)
    expected, answers = trained.predict(raw)["probabilities"], trained.probabilities(fitted)
    np.testing.assert_allclose(expected, answers, atol=0.02)
    assert np.array_equal(expected.argmax(axis=1), answers.argmax(axis=1))


def test_the_run_is_whole(trained):
    names = {path.name for path in trained.folder.iterdir()}
    tree = {"taxonomy.json", "specificity.npz"} if trained.taxonomy else set()
    explained = {"landmarks", "measurements"} & {record.name for record in trained.inputs}
    assert names == tree | ({"means.npz"} if explained else set()) | {
        "model.keras", "savedmodel", "config.json", "labels.json", "split.json", "metrics.json",
        "history.csv", "metadata.json", "README.md", "reports", "examples.npz", "calibration.json",
        "predictions.csv", "inputs.json", "reference.npz",
    }  # fmt: skip
    assert not list(trained.folder.parent.glob(".*"))
    verify_run(trained.folder)
    metrics = read_json(trained.folder, "metrics.json")
    for part in SPLITS:
        figures = metrics[part]
        assert figures["n"] == len(trained.splits[part])
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
            low, high = figures["intervals"][name]
            assert low <= figures[name] <= high
    assert metrics["test"]["accuracy"] == trained.evaluateOnTest().figures["accuracy"]
    split = read_json(trained.folder, "split.json")
    keys = trained.table.frame["key"].to_numpy()
    for part in SPLITS:
        assert split[part]["keys"] == keys[trained.splits[part]].tolist()
    metadata = read_json(trained.folder, "metadata.json")
    assert metadata["synthetic"] is True
    assert metadata["provenance"] in (trained.folder / "reports" / "report.html").read_text()
    assert "Demonstration data" in (trained.folder / "README.md").read_text()


@pytest.mark.skipif(not ON_TENSORFLOW, reason="--explain is refused elsewhere: check_backend")
def test_every_answer_can_be_explained(trained):
    loaded = type(trained).loadModel(trained.folder)
    means = means_of(loaded, loaded.folder)
    sample = loaded.fitted(trained.table.take(trained.splits.test[:1]))
    arrays = {
        name: values.padded() if name == "waveform" else np.asarray(values, np.float32)
        for name, values in sample.items()
    }
    target = int(loaded.probabilities(sample)[0].argmax())
    found = explain(loaded, arrays, target, means)
    records = {record.name: record for record in trained.inputs}
    assert found.label == trained.table.labels[target]
    pictures = {name for name in records if name.startswith("image")}
    assert {one.view.picture for one in found.pictures} == pictures
    for one in found.pictures:
        assert min(one.heat.shape) > 1 and one.heat.min() >= 0 and np.isfinite(one.heat).all()
    assert (found.points is not None) == ("landmarks" in records)
    assert (found.sound is not None) == ("waveform" in records)
    if "measurements" in records:
        assert {one.column for one in found.columns} == set(records["measurements"].columns)
        told = sum(one.contribution for one in found.columns)
        assert told == pytest.approx(found.weights["measurements"], abs=1e-4)
    kinds = records.keys() - pictures | ({"image"} if pictures else set())
    if len(kinds) > 1:
        assert found.weights.keys() == kinds
        assert sum(found.shares.values()) == pytest.approx(1)
    if found.sound is not None:
        assert found.sound.heat.shape == arrays["waveform"].shape[1:]
        assert found.sound.heat.any() and np.isfinite(found.sound.heat).all()
    if found.points is not None:
        change = found.points.score - found.points.baseline
        assert found.points.values.sum() == pytest.approx(change, abs=0.05 * max(1, abs(change)))


def test_a_loaded_run_judges_as_before(trained):
    loaded = type(trained).loadModel(trained.folder)
    loaded.use_data(trained.table, trained.splits)
    before = read_json(trained.folder, "metrics.json")["validation"]
    assert loaded.evaluateOnValid().figures["accuracy"] == before["accuracy"]
    assert loaded.evaluateOnValid().figures["log_loss"] == pytest.approx(before["log_loss"])


def test_a_loaded_run_refuses_another_split(trained):
    loaded = type(trained).loadModel(trained.folder)
    with pytest.raises(InputError, match="changed since"):
        loaded.use_data(trained.table, shuffled_split(trained.table, seed=77))


def test_plots_and_matrices_can_be_drawn_again(trained, tmp_path):
    drawn = {path.name for path in trained.generatePlots(tmp_path)}
    assert drawn - {"loss_weights.png"} == {"accuracy.png", "loss.png", "learning_rate.png"}
    drawn = trained.generateConfusionMatrices(tmp_path)
    assert len(drawn) == 9
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_the_cards_snippets_run_without_the_zoo(train_one):
    folders, snippets = zip(*(_snippet(train_one(name), 0) for name in MODELS), strict=True)
    assert not any("models" in re.findall(r"import (\w+)", snippet) for snippet in snippets)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answers = _executed(["-I"], folders, snippets, cwd="/", env=environment)
    for name, answer in zip(MODELS, answers, strict=True):
        assert answer.split(" [")[0] in train_one(name).table.labels


@pytest.mark.parametrize("name", MODELS)
def test_a_family_says_what_it_is_for_and_whom_to_cite(name):
    about = about_of(model_class(name))
    for words in (about.intended, about.unsuited, about.ethics):
        assert len(words.split()) > 15 and words.endswith(".")
    assert re.fullmatch(r"@\w+\{\w+,\n.*year = \{20\d\d\}.*\n\}", about.cite, re.DOTALL)
    assert about.cite.count("{") == about.cite.count("}")


def test_the_cards_keras_snippets_run_beside_the_zoo(train_one):
    folders, snippets = zip(*(_snippet(train_one(name), 1) for name in MODELS), strict=True)
    codes = [
        snippet.replace("RUN", str(folder)) + "\nprint(sorted(network.output))"
        for folder, snippet in zip(folders, snippets, strict=True)
    ]
    answers = _executed([], [ROOT] * len(codes), codes, cwd=ROOT)
    assert answers == ["['embedding', 'features', 'probabilities']"] * len(MODELS)


def test_the_cards_request_fits_tensorflow_serving(trained, server, monkeypatch):
    """Its JSON is what the signature of the SavedModel takes, and the answer is the run's."""
    folder, snippet = _snippet(trained, 2)
    network = tf.saved_model.load(str(folder / "savedmodel"))
    path = f"/v1/models/{trained.name()}:predict"
    server.routes[path] = [lambda handler: _serve(network, handler)]
    assert f'"http://localhost:8501{path}"' in snippet
    monkeypatch.chdir(folder)
    names = {}
    exec(snippet.replace("http://localhost:8501", server.at("")), names)
    with np.load("examples.npz") as examples:
        expected = trained.predict({one.name: examples[one.name][:1] for one in trained.inputs})
    for name in ("probabilities", "embedding"):
        np.testing.assert_allclose(names["answer"][name], expected[name], **ALIKE[name])
    best = expected["probabilities"][0].argmax()
    assert names["answer"]["label"] == [trained.table.labels[best]]


def _serve(network, handler):
    """Answer as the REST interface of TensorFlow Serving is documented to, in columns."""
    request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    assert set(request) == {"signature_name", "inputs"}
    signature = network.signatures[request["signature_name"]]
    specs = signature.structured_input_signature[1]
    assert set(request["inputs"]) == set(specs)
    given = {}
    for name, spec in specs.items():
        values = np.array(request["inputs"][name])
        assert spec.shape.is_compatible_with(values.shape)
        assert values.dtype.kind == ("i" if spec.dtype.is_integer else "f")
        given[name] = tf.constant(values.astype(spec.dtype.as_numpy_dtype))
        np.testing.assert_allclose(given[name], values, rtol=1e-6)
    outputs = {name: value.numpy().tolist() for name, value in signature(**given).items()}
    outputs["label"] = [label.decode() for label in outputs["label"]]
    body = json.dumps({"outputs": outputs}).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _snippet(model, number):
    """Folder of a run, and one of the pieces of Python in its card."""
    card = (model.folder / "README.md").read_text()
    return model.folder, re.findall(r"```python\n(.*?)```", card, re.DOTALL)[number]


def _executed(flags, folders, codes, **where):
    """The line that each code prints in its folder, all of them in one new process."""
    pairs = [(str(folder), code) for folder, code in zip(folders, codes, strict=True)]
    run = f"import os\nfor folder, code in {pairs!r}:\n    os.chdir(folder)\n    exec(code, {{}})"
    done = subprocess.run(
        [sys.executable, *flags, "-c", run], capture_output=True, text=True, check=True, **where
    )
    return done.stdout.splitlines()


def test_a_damaged_run_is_refused(trained, tmp_path):
    import shutil

    copy = tmp_path / trained.name() / "copy"
    shutil.copytree(trained.folder, copy)
    weights = next((copy / "savedmodel" / "variables").glob("*.data-*"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    weights.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        type(trained).loadModel(copy)
    weights.unlink()
    with pytest.raises(InputError, match="missing"):
        type(trained).loadModel(copy)


@pytest.mark.parametrize("trained", ALONE, indirect=True)
def test_an_interrupted_training_comes_to_the_same_weights(trained, tmp_path, monkeypatch):
    """Also that one seed gives one result, whatever has drawn random numbers before."""
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    broken = prepared(trained.name(), tmp_path, epochs=3)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=_interrupt_third)
    phase = broken.phases[0]
    object.__setattr__(phase, "callbacks", (*phase.callbacks, stop))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    again = prepared(trained.name(), tmp_path, epochs=3)
    again.train(resume=True)
    before, after = trained.model.get_weights(), again.model.get_weights()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    history = read_history(again._draft)
    assert history["epoch"].tolist() == [1, 2, 3]


def _interrupt_third(epoch, logs):
    if epoch == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", MODELS)
def test_a_step_out_of_order_names_the_missing_one(name, tmp_path):
    model = model_class(name)(out=tmp_path)
    for step in (model.createArchitecture, model.train):
        with pytest.raises(StepOrderError, match=r"loadData\(\) has not been called"):
            step()
    with pytest.raises(StepOrderError, match=r"train\(\) has not been called"):
        model.save()
    with pytest.raises(StepOrderError, match=r"createArchitecture\(\) or loadModel\(\)"):
        model.predict({})
    model.split_table(small_table(name))
    with pytest.raises(StepOrderError, match=r"createArchitecture\(\)"):
        model.train()
    assert not list(tmp_path.iterdir())


def test_a_run_is_never_overwritten(trained):
    again = type(trained)(trained.options, trained.out, trained.run)
    again.use_data(trained.table, trained.splits)
    again.model, again.phases = trained.model, trained.phases
    with pytest.raises(InputError, match="exists"):
        again.train()


def test_options_round_trip(trained):
    options = trained.options
    stored = json.loads((trained.folder / "config.json").read_text())
    assert type(options).from_json(stored) == options
    parser = Parser("train", "")
    type(options).add_flags(parser)
    words = options.command(trained.name()).split()[5:]
    assert type(options)(**_typed(parser, words)) == options


def _typed(parser, words):
    values = vars(parser.parse(words, "test"))
    return {name: value for name, value in values.items() if name != "debug"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0}, {"epochs": 1.5}, {"batch_size": -1}, {"seed": -1}, {"preset": "best"},
        {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"split_rule": "mine"},
        {"data": "nothing"}, {"data": "fer2013"}, {"data": "faces", "data_dir": "here"},
    ],
)  # fmt: skip
def test_bad_options_are_refused(name, options):
    with pytest.raises(InputError, match="--"):
        model_class(name).Options(**options)


def test_the_folder_of_a_run_can_be_moved(trained, tmp_path):
    import shutil

    moved = Path(shutil.copytree(trained.folder, tmp_path / "elsewhere"))
    raw = raw_inputs(trained)
    answer = type(trained).loadModel(moved).predict(raw)["probabilities"]
    np.testing.assert_allclose(answer, trained.predict(raw)["probabilities"], atol=1e-6)
