"""Species of clownfish in real photographs, through the command line."""

import json
import shutil

import pytest

import run

pytestmark = pytest.mark.real


def test_transfer_learning_tells_real_clownfish_apart_and_from_other_fish(
    real_data, tmp_path, capsys
):
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"
    words = ["--model", "TransferCNN", "--data-dir", real_data / "clownfish", "--out", tmp_path,
             "--weights", weights, "--image-size", 128, "--stored-views", 2, "--epochs", 8,
             "--run", "fish"]  # fmt: skip
    assert run.main([str(word) for word in words]) == 0
    folder = tmp_path / "TransferCNN" / "fish"
    metrics = json.loads((folder / "metrics.json").read_text())
    judged = [metrics[part] for part in ("validation", "test")]
    right = sum(one["accuracy"] * one["n"] for one in judged)
    assert right / sum(one["n"] for one in judged) > 0.9

    split = json.loads((folder / "split.json").read_text())
    keys = [key for part in ("train", "validation", "test") for key in split[part]["keys"]]
    assert len(keys) == len(set(keys)) >= 600
    assert not [key for key in keys if key.endswith(("gbif_clar_76.jpg", "gbif_peri_78.jpg"))]

    pictures = sorted((real_data / "fish" / "images").rglob("*.*"))
    pictures = [path for path in pictures if path.is_file()][::60]
    assert len(pictures) > 40
    for path in pictures:
        place = tmp_path / "others" / "fish" / f"{path.parent.name}-{path.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    capsys.readouterr()
    words = ["evaluate", "TransferCNN", "--other", tmp_path / "others", "--out", tmp_path]
    assert run.main([str(word) for word in [*words, "--reject-at", 0.97, "--json"]]) == 0
    rejection = json.loads(capsys.readouterr().out)["rejection"]
    assert rejection["n_other"] == len(pictures)
    # This short training reached 0.65 with 62 other fish: two standard errors above the bound.
    assert rejection["auroc"] > 0.55
    assert rejection["target"] == 0.97
