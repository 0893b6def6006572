"""Recordings in half-overlapping segments, and what a network makes of them put together again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from datasets.spectrograms import BANDS, SILENCE, Spectrograms
from models.music.segments import BySegment, MeanOfSegments, SegmentAttention, Segments

RNG = np.random.default_rng(0)
LENGTHS = (64, 1, 43, 107, 42, 63, 44, 85)  # frames; 43 is a segment, 21 lie between two


def spectrograms(lengths):
    return [RNG.uniform(-90, 10, (length, BANDS)).astype(np.float32) for length in lengths]


def padded(recordings):
    return Spectrograms.of(recordings).padded()


def cut_one_by_one(recording, frames):
    """The segments of a recording as a loop cuts them."""
    found, start = [], 0
    while start == 0 or start + frames <= len(recording):
        segment = np.full((frames, BANDS), SILENCE, np.float32)
        inside = recording[start : start + frames]
        segment[: len(inside)] = inside
        found.append(segment)
        start += frames // 2
    return np.stack(found)


@pytest.mark.parametrize("frames", [43, 44, 24])
@pytest.mark.parametrize("lengths", [LENGTHS, (30, 12), (43,), (200, 201)])
def test_segments_are_those_of_a_loop(frames, lengths):
    recordings = spectrograms(lengths)
    segments, inside = map(np.asarray, Segments(frames)(padded(recordings)))
    expected = [cut_one_by_one(recording, frames) for recording in recordings]
    assert inside.sum(axis=1).tolist() == [len(one) for one in expected]
    assert set(np.unique(inside)) <= {0, 1}
    by_recording = segments.reshape(*inside.shape, frames, BANDS)
    for found, is_inside, cut in zip(by_recording, inside, expected, strict=True):
        assert np.array_equal(found[is_inside == 1], cut)
        assert is_inside[: len(cut)].all()
    assert np.isfinite(segments).all()


def test_what_is_asked_of_the_shapes_is_what_comes():
    for length in (20, 43, 64, 107):
        given = keras.Input((length, BANDS), batch_size=3)
        promised = Segments(43)(given)
        found = Segments(43)(RNG.random((3, length, BANDS), np.float32))
        assert [one.shape for one in promised] == [tuple(one.shape) for one in found]
    segments, inside = Segments(43)(keras.Input((None, BANDS)))
    assert segments.shape == (None, 43, BANDS)
    assert inside.shape == (None, None)


def test_lengths_that_are_known_late_make_no_difference():
    layer = Segments(43)
    late = tf.function(layer.call, input_signature=[tf.TensorSpec((None, None, BANDS))])
    for lengths in (LENGTHS, (20, 7)):
        batch = padded(spectrograms(lengths))
        for found, expected in zip(late(batch), layer(batch), strict=True):
            assert np.array_equal(found, expected)


def test_the_mean_is_over_the_segments_inside():
    recordings = spectrograms(LENGTHS)
    segments, inside = Segments(43)(padded(recordings))
    loudest = keras.ops.max(segments, axis=1)  # of each segment, (segments, bands)
    rows = BySegment()([loudest, inside])
    assert tuple(rows.shape) == (*inside.shape, BANDS)
    found = MeanOfSegments()([rows, inside])
    for mean, recording in zip(np.asarray(found), recordings, strict=True):
        expected = cut_one_by_one(recording, 43).max(axis=1).mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=1e-5)


def network():
    waveform = keras.Input((None, BANDS), name="waveform")
    segments, inside = Segments(43)(waveform)
    seen = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(segments))
    rows = BySegment()([seen, inside])
    assert rows.shape == (None, None, 3)
    mean = MeanOfSegments()([rows, inside])
    assert mean.shape == (None, 3)
    return keras.Model({"waveform": waveform}, {"mean": mean})


def test_a_recording_alone_and_among_others_gets_the_same_answer():
    model, recordings = network(), spectrograms(LENGTHS)
    together = model({"waveform": padded(recordings)})["mean"]
    for answer, recording in zip(np.asarray(together), recordings, strict=True):
        alone = model({"waveform": recording[None]})["mean"]
        np.testing.assert_allclose(answer, alone[0], rtol=1e-4, atol=1e-4)


def test_the_layers_outlive_saving(tmp_path):
    model, batch = network(), padded(spectrograms(LENGTHS))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model({"waveform": batch})["mean"])
    np.testing.assert_array_equal(again({"waveform": batch})["mean"], expected)


def test_attention_counts_segments_inside_alone_and_one_alone_whole():
    layer = SegmentAttention(units=3)
    values = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    inside = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], np.float32)
    counted = np.asarray(layer([values, inside]))
    np.testing.assert_allclose(counted.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(counted > 0, inside > 0)
    assert counted[0, 0] == 1 and counted[1, :3].std() > 0
    # What lies outside does not matter, however much it would count.
    values[1, 3] = 1000
    np.testing.assert_array_equal(layer([values, inside])[1], counted[1])
    again = SegmentAttention.from_config(layer.get_config())
    again.build([(None, None, 5), (None, None)])
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again([values, inside]), layer([values, inside]))
    content, gate, score = (layer.get_weights()[at : at + 2] for at in (0, 2, 4))
    hidden = np.tanh(values[2] @ content[0] + content[1])
    hidden = hidden / (1 + np.exp(-(values[2] @ gate[0] + gate[1])))
    scores = (hidden @ score[0] + score[1])[:, 0]
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(counted[2], expected, rtol=1e-4)
