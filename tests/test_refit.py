"""Training once more on the training and the validation part."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import models.base
import run
from datasets.errors import InputError
from models import MODELS
from models.commands.evaluate import _new_data
from models.options import option
from models.runs import read_json
from models.snails.triplet_classifier import TripletClassifier
from tests.tiny_model import Tiny, TinyOptions, write_pictures


@dataclass(frozen=True)
class RefitOptions(TinyOptions):
    refit: bool = option("as of the models on a frozen backbone", True)


class Refitted(Tiny):
    Options = RefitOptions


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), {"dark": 30, "light": 30})


@pytest.fixture(scope="module", autouse=True)
def no_report():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setitem(MODELS, "Refitted", f"{__name__}:Refitted")
        yield


def prepared(pictures, out, name, together=False, **options):
    model = Refitted(RefitOptions(data_dir=str(pictures), epochs=3, **options), out, name)
    model.loadData()
    if together:
        splits = model.splits
        rows = np.sort(np.concatenate([splits.train, splits.validation]))
        model.use_data(model.table, replace(splits, train=rows))
    model.createArchitecture()
    model.prepareModel()
    return model


@pytest.fixture(scope="module")
def refitted(pictures, tmp_path_factory):
    model = prepared(pictures, tmp_path_factory.mktemp("out"), "both")
    model.train()
    model.save()
    return model


def test_what_is_kept_learnt_from_both_parts_as_if_they_had_been_one(refitted, pictures, tmp_path):
    one = prepared(pictures, tmp_path, "one", together=True, refit=False)
    one.train()
    for kept, expected in zip(refitted.model.get_weights(), one.model.get_weights(), strict=True):
        assert np.array_equal(kept, expected)


def test_figures_of_the_validation_part_are_those_of_the_first_network(
    refitted, pictures, tmp_path
):
    first = prepared(pictures, tmp_path, "first", refit=False)
    first.train()
    first.save()
    assert np.abs(first.model.get_weights()[0] - refitted.model.get_weights()[0]).max() > 1e-3
    told = [read_json(one.folder, "calibration.json") for one in (first, refitted)]
    assert told[0] == told[1]
    before, found = (read_json(one.folder, "metrics.json") for one in (first, refitted))
    assert found["validation"] == before["validation"]
    assert found["test"]["log_loss"] != before["test"]["log_loss"]


def test_the_run_says_what_it_learnt_from(refitted):
    split = read_json(refitted.folder, "split.json")
    assert split["trained_on"] == ["train", "validation"]
    assert "Trained twice" in (refitted.folder / "README.md").read_text()
    assert not (refitted.folder / "refit").exists()
    with pytest.raises(InputError, match="trained on in the end"):
        refitted.evaluateOnValid()


def test_samples_of_the_validation_part_are_not_judged(refitted, pictures, capsys):
    model = Refitted.loadModel(refitted.folder)
    about, table = _new_data(model, pictures)
    assert about["left_out"]["trained_on"] == 60 - len(table.frame)
    assert len(table.frame) == len(refitted.splits.test)
    words = ["evaluate", str(refitted.folder), "--json"]
    assert run.main([*words, "--split", "validation"]) == 2
    assert "--refit" in capsys.readouterr().err
    assert run.main(words) == 0
    assert json.loads(capsys.readouterr().out)["n"] == len(refitted.splits.test)


def test_an_interrupted_second_training_is_gone_on_with(refitted, pictures, tmp_path, monkeypatch):
    def interrupted(model):
        raise KeyboardInterrupt

    model = prepared(pictures, tmp_path, "both")
    with monkeypatch.context() as patch:
        patch.setattr(models.base, "untrained_twin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.train()
    again = prepared(pictures, tmp_path, "both")
    again.train(resume=True)
    for kept, expected in zip(again.model.get_weights(), refitted.model.get_weights(), strict=True):
        assert np.array_equal(kept, expected)
    folder = again.save()
    assert read_json(folder, "metrics.json") == read_json(refitted.folder, "metrics.json")


def test_what_needs_the_validation_part_to_the_end_is_refused(pictures, tmp_path):
    model = prepared(pictures, tmp_path, "best")
    model.phases = (replace(model.phases[0], keep_best="val_loss"),)
    with pytest.raises(InputError, match="keeps its best epoch"):
        model.train()
    model = prepared(pictures, tmp_path, "holdout", split_rule="holdout")
    with pytest.raises(InputError, match="no test part"):
        model.train()
    with pytest.raises(InputError, match="--patience"):
        TripletClassifier.Options(patience=3, refit=True)
