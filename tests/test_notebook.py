"""The notebook runs from top to bottom on a saved run, without the zoo."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from datasets.synthetic import faces
from models.emotion.final_nn import FinalNN
from models.emotion.nn1 import NN1
from tests.undrawn import leave_undrawn

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

pytestmark = pytest.mark.usefixtures("small_nn1")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    table = faces.load(200)
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        for model_class in (NN1, FinalNN):
            model = model_class(model_class.Options(epochs=1), out, "run")
            model.split_table(table)
            model.createArchitecture()
            model.prepareModel()
            model.train()
            folder = model.save()
    return folder


def test_the_notebook_runs_and_draws(run_folder, monkeypatch):
    monkeypatch.setenv("MENAGERIE_RUN", str(run_folder))
    notebook = nbformat.read(NOTEBOOKS / "final_nn.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for package in ("models", "datasets", "training"):
        assert f"import {package}" not in code
        assert f"from {package}" not in code
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": NOTEBOOKS}}).execute()
    outputs = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output
    ]
    assert sum("image/png" in output["data"] for output in outputs) == 2
    assert any(
        "(5, 14)" in output["data"].get("text/plain", "")
        or "TensorShape([5, 14])" in output["data"].get("text/plain", "")
        for output in outputs
    )


def test_the_committed_notebook_carries_its_outputs():
    notebook = nbformat.read(NOTEBOOKS / "final_nn.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    pictures = [
        output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
