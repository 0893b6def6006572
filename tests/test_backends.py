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
TOLERANCES = {"before": 1e-4, "after": 5e-3, "test": 5e-3, "loss": 2e-3, "val_loss": 2e-3}


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
    for key in found.keys() - {"weights"}:  # a hidden neuron may be another where answers agree
        tolerance = TOLERANCES.get(key, TOLERANCES[key.split("_")[0]])
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
