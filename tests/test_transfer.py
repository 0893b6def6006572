"""Final layers that begin as their parents (paper 001, section 3.2)."""

import numpy as np
import pytest

from models.species.transfer import handed_down

WIDTH = 4000


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.3, (WIDTH, 3)), np.array([1.0, -2.0, 0.5])


PARENTS = np.array([2, 0, 0, 1])


def test_with_all_of_the_parents_siblings_begin_alike(trained):
    kernel, bias = handed_down(*trained, PARENTS, mix=1.0)
    np.testing.assert_allclose(kernel, trained[0][:, PARENTS], rtol=1e-6)
    np.testing.assert_array_equal(bias, np.float32([0.5, 1.0, 1.0, -2.0]))
    assert kernel.dtype == bias.dtype == np.float32


@pytest.mark.parametrize("mix", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_variance_stays_and_the_parent_has_its_share(trained, mix):
    kernel, _ = handed_down(*trained, PARENTS, mix)
    assert kernel.std() == pytest.approx(0.3, rel=0.03)
    for taxon, parent in enumerate(PARENTS):
        found = [np.corrcoef(kernel[:, taxon], trained[0][:, other])[0, 1] for other in range(3)]
        for other in range(3):
            wanted = np.sqrt(mix) if other == parent else 0.0
            assert found[other] == pytest.approx(wanted, abs=0.06)
    siblings = np.corrcoef(kernel[:, 1], kernel[:, 2])[0, 1]
    assert siblings == pytest.approx(mix, abs=0.06)


def test_random_weights_are_uniform_seeded_and_as_wide_as_told(trained):
    kernel, _ = handed_down(*trained, PARENTS, 0.0, deviation=0.01)
    assert kernel.std() == pytest.approx(0.01, rel=0.03)
    assert 0.0170 < np.abs(kernel).max() <= 0.01 * np.sqrt(3) + 1e-8
    again, _ = handed_down(*trained, PARENTS, 0.0, deviation=0.01)
    other, _ = handed_down(*trained, PARENTS, 0.0, deviation=0.01, seed=1)
    assert np.array_equal(kernel, again) and not np.array_equal(kernel, other)


def test_one_parent_for_all_and_a_rank_that_stays():
    kernel, bias = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    same, kept = handed_down(kernel, bias, np.arange(3), 1.0)
    assert np.array_equal(same, kernel) and np.array_equal(kept, bias)
    alone, _ = handed_down(kernel[:, :1], bias[:1], np.zeros(5, int), 1.0)
    assert np.array_equal(alone, np.repeat(kernel[:, :1], 5, 1))


@pytest.mark.parametrize(
    "mix, parents, message",
    [(1.5, [0], "mix 1.5"), (-0.1, [0], "mix"), (0.5, [3], "has 3 taxa"), (0.5, [-1], "from -1")],
)
def test_what_cannot_be_is_refused(trained, mix, parents, message):
    with pytest.raises(ValueError, match=message):
        handed_down(*trained, np.array(parents), mix)
