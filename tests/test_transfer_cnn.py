"""TransferCNN: its weights, and the views that its head learns from."""

import keras
import numpy as np
import pytest

from datasets.errors import InputError
from datasets.synthetic import reef
from models.clownfish.transfer_cnn import TransferCNN
from models.pretrained import backbone_note
from tests.small_models import tiny_backbone


def test_transfer_learning_takes_pretrained_weights_for_real_pictures_only():
    paper = TransferCNN.Options(preset="paper", data_dir="fish")
    assert (paper.backbone, paper.weights, paper.image_size) == ("resnet18", "imagenet", 224)
    assert (paper.batch_norm, paper.pooling, paper.stored_views) == ("train", "average", None)
    assert TransferCNN(paper).inputs[0].crop == 224 / 256
    assert TransferCNN.Options(data_dir="fish").backbone == "mobilenet_v2_035"
    assert TransferCNN.Options().weights == "none"
    assert TransferCNN.Options().species == "4"


def test_the_head_is_the_same_whether_the_data_were_read_before_or_after_the_backbone():
    table = reef.load(60)

    def prepared(read_first):
        keras.utils.set_random_seed(17)
        model = TransferCNN(TransferCNN.Options(image_size=32, species="2", seed=3))
        if not read_first:
            _ = model.backbone
        model.split_table(table)
        model.createArchitecture()
        return model

    one, two = prepared(True), prepared(False)
    for before, after in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    line = "Backbone resnet18, weights none, all of it trains."
    assert backbone_note(one.backbone, one.options) == line


@pytest.mark.parametrize(("asked", "stored"), [(None, 4), (2, 2), (0, 0)])
def test_the_head_learns_from_stored_views_or_from_new_ones_in_every_epoch(
    asked, stored, monkeypatch
):
    monkeypatch.setattr("models.pretrained.build_backbone", tiny_backbone)
    small = {"unfreeze": "none", "image_size": 32}
    model = TransferCNN(TransferCNN.Options(data_dir="fish", stored_views=asked, **small))
    model.split_table(reef.load(60))
    model.createArchitecture()
    model.prepareModel()
    (head,) = model.phases
    assert head.augment is not None
    assert head.views == stored
    assert any("stored views" in note for note in model.notes) == bool(stored)


def test_a_head_on_few_pictures_begins_where_a_discriminant_analysis_ends(monkeypatch, tmp_path):
    monkeypatch.setattr("models.pretrained.build_backbone", tiny_backbone)
    small = {"unfreeze": "none", "image_size": 32, "augmentation": "none", "stored_views": 0}
    told = {"epochs": 1, "learning_rate": 1e-9, "schedule": "constant", "dropout": 0.0}
    told["four_views"] = False
    model = TransferCNN(
        TransferCNN.Options(data_dir="fish", species="3", **small, **told), tmp_path, "run"
    )
    model.split_table(reef.load(80))
    model.createArchitecture()
    model.prepareModel()
    model.train()
    answers = {
        part: model.model.predict(model.fitted(model.table.take(rows)), verbose=0)
        for part, rows in (("train", model.splits.train), ("test", model.splits.test))
    }
    seen, targets = answers["train"]["embedding"], model.table.targets[model.splits.train]
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, rtol=1e-5)
    centroids = np.stack([seen[targets == index].mean(axis=0) for index in range(3)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    nearest = (answers["test"]["embedding"] @ centroids.T).argmax(axis=1)
    np.testing.assert_array_equal(answers["test"]["probabilities"].argmax(axis=1), nearest)


def test_whitening_is_of_a_frozen_backbone_and_not_of_the_paper():
    assert TransferCNN.Options(data_dir="fish").whiten
    assert not TransferCNN.Options(preset="paper", data_dir="fish").whiten
    for whole in ({"weights": "none"}, {"unfreeze": "all"}):
        assert not TransferCNN.Options(data_dir="fish", **whole).whiten
        with pytest.raises(InputError, match="--whiten learns from a frozen backbone"):
            TransferCNN.Options(data_dir="fish", whiten=True, **whole)
