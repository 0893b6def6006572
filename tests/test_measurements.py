"""Measurements on their way into a network: standardised, imputed, flagged, coded."""

import keras
import numpy as np
import pytest

from datasets.columns import Column
from datasets.images import fit_images
from models.inputs import ImageInput, MeasurementInput, inputs_to_json, read_inputs
from models.layers import EncodeMeasurements

NAN = np.nan
TRAIN = np.array(
    [[1.0, 10.0, 0.0], [3.0, NAN, 2.0], [5.0, 14.0, NAN], [7.0, 12.0, 1.0]], np.float32
)
SIZES = [0, 0, 3]


def encode(values, **keywords):
    layer = EncodeMeasurements.learnt_from(TRAIN, SIZES, **keywords)
    return layer(np.asarray(values, np.float32)).numpy()


def test_numbers_are_standardised_flagged_and_categories_coded():
    first = encode([[4.0, 10.0, 2.0]])[0]
    deviation = np.sqrt(((TRAIN[:, 0] - 4) ** 2).mean())
    second = np.array([10.0, 14.0, 12.0])
    # mean 4 of the first column; mean 12 of the known values of the second
    np.testing.assert_allclose(first[:2], [0, (10 - 12) / second.std()], atol=1e-6)
    # the second and the third column have missing values in training, so they have a flag
    np.testing.assert_array_equal(first[2:4], [0, 0])
    np.testing.assert_array_equal(first[4:], [0, 0, 1])
    np.testing.assert_allclose(encode([[4 + deviation, 12, 0]])[0, 0], 1, atol=1e-6)


def test_missing_values_become_the_mean_and_raise_the_flag():
    row = encode([[NAN, NAN, NAN]])[0]
    np.testing.assert_allclose(row, [0, 0, 1, 1, 0, 0, 0], atol=1e-6)


def test_a_column_that_never_varies_tells_nothing():
    values = np.full((4, 1), 0.1, np.float32)
    layer = EncodeMeasurements.learnt_from(values, [0])
    assert abs(layer(np.array([[0.1], [5.0]], np.float32)).numpy()).max() < 1e-6


def test_raw_measurements_stay_as_they_are_but_for_missing_ones():
    row = encode([[4.0, NAN, 2.0]], standardise=False)[0]
    np.testing.assert_allclose(row, [4, 12, 2], atol=1e-6)


def test_shape_and_saving(tmp_path):
    given = keras.Input((3,), name="measurements")
    layer = EncodeMeasurements.learnt_from(TRAIN, SIZES, name="encoded")
    model = keras.Model(given, layer(given))
    assert model.output_shape == (None, 2 + 2 + 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    probe = np.array([[2, NAN, 1], [NAN, 3, NAN]], np.float32)
    np.testing.assert_array_equal(model(probe), again(probe))
    assert np.isfinite(again(probe)).all()


def test_records_survive_the_disk(tmp_path):
    import json

    records = (
        ImageInput(64, 48, 3, 0.875),
        ImageInput(32, 32, 3, name="image_box"),
        MeasurementInput((Column("height_mm"), Column("country", ("AL", "GR")))),
    )
    (tmp_path / "inputs.json").write_text(json.dumps(inputs_to_json(records)))
    assert read_inputs(tmp_path) == records
    assert "country (index in AL, GR)" in records[2].describe()
    # Runs that were saved before pictures had names of their own.
    old = {"input": "image", "height": 4, "width": 6, "channels": 1, "crop": None}
    (tmp_path / "inputs.json").write_text(json.dumps([old]))
    assert read_inputs(tmp_path) == (ImageInput(4, 6),)


def test_a_further_picture_has_a_name_of_its_own_in_the_graph():
    record = ImageInput(6, 8, 3, name="image_2")
    raw = {"image_2": record.raw_tensor()}
    network = keras.Model(raw, record.fit(raw))
    assert network.get_layer("fit_image_2") is not None
    picture = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    found = network({"image_2": picture})
    np.testing.assert_allclose(found, fit_images(picture, record), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("height_mm", "mm"),
        ("height (mm)", "mm"),
        ("annual precipitation [mm/a]", "mm/a"),
        ("altitude_m", "m"),
        ("shape_1", ""),
        ("form", ""),
    ],
)
def test_units_are_read_from_names(name, unit):
    assert Column(name).unit == unit
