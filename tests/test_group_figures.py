"""The look inside the artist groups: who stands for a factor, and what is written."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets.artist_groups import ArtistGroups
from models.music import group_figures


@pytest.fixture
def groups():
    factors = np.array([[0.9, 0.08, 0.02], [0.7, 0.28, 0.02], [0.01, 0.97, 0.02]], np.float32)
    return ArtistGroups("m", ("one $", "two $", "three"), factors, (), ())


def test_factors_of_nobody_are_left_out(groups):
    found = group_figures._members(groups)
    assert list(found) == [1, 2]
    assert [name for name, _ in found[1]] == ["one $", "two $"]
    assert [name for name, _ in found[2]] == ["three", "two $", "one $"]


def test_map_members_and_table_are_written(groups, tmp_path):
    drawn = group_figures.draw_groups({"m": groups}, 0, tmp_path)
    assert [path.name for _, path in drawn] == ["artists_mfcc_map.png", "artists_mfcc_members.png"]
    assert all("Task m (mfcc)" in caption for caption, _ in drawn)
    for _, path in drawn:
        assert np.asarray(Image.open(path).convert("L")).std() > 1
    table = pd.read_csv(tmp_path / "artists_mfcc.csv")
    assert table["artist"].tolist() == list(groups.artists)
    np.testing.assert_allclose(table.drop(columns="artist"), groups.factors, atol=1e-4)
