"""Mixup: batches whose samples are blended in pairs, and the models that learn from them."""

import numpy as np
import pytest

from datasets.mixup import mixed
from datasets.pipelines import training_pipeline
from models.clownfish.net96 import Net96
from models.music.mel_dcnn import MelDCNN
from tests.tone_tracks import make_small, tone_tracks
from training.phases import Phase, mixing

RNG = np.random.default_rng(0)
SAMPLES = {"image": RNG.random((6, 4, 4, 1), np.float32)}
SHARES = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
WEIGHTS = np.array([1, 2, 3, 4, 5, 6], np.float32)


def blended(alpha=0.4, seed=(0, 1), inputs=SAMPLES):
    found = mixed(inputs, SHARES, WEIGHTS, alpha, np.array(seed))
    return {name: np.asarray(one) for name, one in found[0].items()}, *map(np.asarray, found[1:])


def test_a_sample_its_target_and_its_weight_are_blended_by_one_share():
    inputs, targets, weights = blended()
    own = targets[np.arange(6), SHARES.argmax(axis=1)]
    assert (own >= 0.5).all() and (own < 1).any() and len(set(own.round(5))) > 2
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    before = np.roll(np.arange(6), 1)
    mine = own[:, None, None, None]
    image = SAMPLES["image"]
    np.testing.assert_allclose(inputs["image"], mine * image + (1 - mine) * image[before], 1e-5)
    np.testing.assert_allclose(targets, own[:, None] * SHARES + (1 - own[:, None]) * SHARES[before])
    np.testing.assert_allclose(weights, own * WEIGHTS + (1 - own) * WEIGHTS[before], 1e-5)


def test_the_shares_depend_on_the_seed_alone_and_follow_alpha():
    np.testing.assert_array_equal(blended()[1], blended()[1])
    assert not np.array_equal(blended()[1], blended(seed=(0, 2))[1])

    def mean(alpha):
        return np.mean([blended(alpha, (0, seed))[1].max(axis=1) for seed in range(100)])

    # The larger of two shares: 3/4 on average if they are drawn evenly, hardly blended near 0.
    assert mean(1.0) == pytest.approx(0.75, abs=0.03)
    assert mean(0.01) > 0.97
    assert np.isfinite(blended(1e-3)[1]).all()


def test_what_is_not_there_is_not_blended():
    image = SAMPLES["image"].copy()
    image[2, 3] = image[1, 3] = image[4, :2] = np.nan
    found = blended(inputs={"image": image})[0]["image"]
    np.testing.assert_array_equal(found[2, 3], image[2, 3])  # neither of both is there
    np.testing.assert_array_equal(found[4, :2], image[3, :2])
    np.testing.assert_array_equal(found[1, 3], image[0, 3])
    assert np.isfinite(np.delete(found, 2, axis=0)).all()


def test_a_training_that_goes_on_blends_as_one_that_was_not_interrupted():
    def epochs(first):
        batches, steps = training_pipeline(SAMPLES, SHARES, WEIGHTS, 4, 0, 3, first, mixup=0.5)
        assert steps == 2
        return [np.asarray(targets) for _, targets, _ in batches]

    whole, rest = epochs(0), epochs(2)
    for one, other in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(whole[0], whole[2])


def test_without_it_a_phase_is_told_nothing():
    assert mixing(None) == mixing(0.0) == {}
    told = Phase("a", 1, 1, **mixing(0.2))
    assert told.mixup == 0.2 and told.loss.smoothing == 0
    assert Net96.Options().mixup is None


@pytest.mark.usefixtures("eager")
@pytest.mark.filterwarnings("ignore:Even though the")
@pytest.mark.parametrize("tasks", ["g", "gd"])
def test_a_network_learns_from_blended_and_attended_recordings(tmp_path, monkeypatch, tasks):
    make_small(monkeypatch)
    monkeypatch.setattr("models.artefact.write_report", lambda *_: None)
    options = MelDCNN.Options(
        tasks=tasks, mixup=0.3, attention=2, epochs=1, batch_size=32, factors=3, words=8, seed=1
    )
    model = MelDCNN(options, tmp_path, "run")
    model.split_table(tone_tracks())
    model.createArchitecture()
    model.prepareModel()
    (phase,) = model.phases
    assert phase.augment.length == 43 + 21  # two segments
    model.train()
    folder = model.save()
    table = model.table
    again = MelDCNN.loadModel(folder)
    np.testing.assert_allclose(model.judge(table), again.judge(table), atol=1e-5)
    # One segment alone has nothing to be weighed against; two are weighed.
    longest = int(table.modalities["waveform"].spectrograms.counts.argmax())
    spectrogram = table.modalities["waveform"].spectrograms[longest][:64]
    both = np.asarray(model.model({"waveform": spectrogram[None]})["features"])
    each = np.asarray(
        model.model({"waveform": np.stack([spectrogram[:43], spectrogram[21:]])})["features"]
    )
    share = ((both - each[1]) @ (each[0] - each[1]) / ((each[0] - each[1]) ** 2).sum()).item()
    assert tasks != "g" or 0 < share < 1
