"""Every model trains and answers on JAX and PyTorch as on TensorFlow (extra `backends`)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import MODELS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
OTHERS = ("jax", "torch")
# Float32 sums in another order; Adam turns a gradient that is all rounding into a whole step.
# So weights, and with them hidden features, can part where the answers hardly do. The loss of the
# validation part is left out: off TensorFlow Keras knows no loss above 16, that of p = 1e-7.
TOLERANCES = {
    "before_features": 2e-4, "before_embedding": 2e-4, "before_probabilities": 2e-5,
    "loss": 2e-3, "after_probabilities": 5e-3, "test_probabilities": 5e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """backend -> folder with what each model did there."""
    folder = tmp_path_factory.mktemp("backends")
    for backend in ("tensorflow", *OTHERS):  # TensorFlow draws the weights
        subprocess.run(
            [sys.executable, "-m", "tests.backend_steps", str(folder)],
            cwd=ROOT,
            env=os.environ | {"KERAS_BACKEND": backend},
            check=True,
        )
    return folder


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("name", MODELS)
def test_a_backend_comes_to_the_same_answers(steps, name, backend):
    expected, found = (
        dict(np.load(steps / kind / f"{name}.npz")) for kind in ("tensorflow", backend)
    )
    assert found.keys() == expected.keys()
    for key, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(found[key], expected[key], tolerance, tolerance, err_msg=key)


@pytest.mark.parametrize("backend", OTHERS)
def test_the_contract_holds_on_a_backend(backend):
    """Saving, loading, going on after an interruption and all else, of every model."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "tests/test_contract.py"],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert done.returncode == 0
