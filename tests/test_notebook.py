"""The notebooks run from top to bottom on saved runs, without the zoo.

All of them run one after the other in one process, which is emptied between them: to start one and
to load TensorFlow takes longer than a notebook.
"""

import ast
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from datasets.synthetic import faces, organisms, reef, snails
from models.clownfish.transfer_cnn import TransferCNN
from models.emotion.final_nn import FinalNN
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from models.music.mel_dcnn import MelDCNN
from models.snails.triplet_classifier import TripletClassifier
from models.species.multi_view_classifier import MultiViewClassifier
from tests.small_models import tiny_backbone
from tests.tone_tracks import make_small, tone_tracks

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PICTURES = {
    "final_nn": 5,
    "transfer_cnn": 4,
    "triplet_classifier": 5,
    "multi_view_classifier": 5,
    "mel_dcnn": 3,
}
ZOO = ("models", "datasets", "training")
CHECK = f"import sys\nsorted(set({ZOO}) & set(sys.modules))"
LARGEST = 300_000  # bytes of a notebook with its outputs

pytestmark = pytest.mark.usefixtures("small_nn1", "eager")


def of_frequent_classes(table, least=8):
    """The samples of the classes of which there are enough to divide them."""
    kept = tuple(label for label, count in table.counts().items() if count >= least)
    return replace(table.take(np.flatnonzero(table.frame["label"].isin(kept))), labels=kept)


def save_run(model_class, table, out, **options):
    model = model_class(model_class.Options(epochs=1, **options), out, "run")
    model.split_table(table)
    model.createArchitecture()
    model.prepareModel()
    model.train()
    return model.save()


def save_runs(out):
    """Notebook -> a run for it."""
    small = {"image_size": 32}
    face_table = faces.load(100)
    save_run(NN1, face_table, out)
    save_run(NN2, face_table, out)
    species = of_frequent_classes(organisms.load(200))
    cuts = {"branch_from": "branch", "merge_at": "merge", "start_rank": "none"}
    return {
        "final_nn": save_run(FinalNN, face_table, out),
        "transfer_cnn": save_run(TransferCNN, reef.load(40), out, stored_views=1, **small),
        "triplet_classifier": save_run(
            TripletClassifier, of_frequent_classes(snails.load(100)), out, **small
        ),
        "multi_view_classifier": save_run(MultiViewClassifier, species, out, **cuts, **small),
        "mel_dcnn": save_run(MelDCNN, tone_tracks(), out, tasks="g"),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.pretrained.build_backbone", tiny_backbone)
        patch.setattr("models.species.multi_view_classifier.build_backbone", tiny_backbone)
        patch.setattr("models.artefact.write_report", lambda *_: None)
        make_small(patch)
        return save_runs(tmp_path_factory.mktemp("runs"))


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def executed(runs):
    """Notebook -> its cells with the outputs for its run, and last a cell that checks imports."""
    parts, cells = {}, []
    for name, folder in runs.items():
        begin = f'%reset -f\nimport os\nos.environ["MENAGERIE_RUN"] = {str(folder)!r}'
        cells.append(new_code_cell(begin))
        start = len(cells)
        cells += [*read(name).cells, new_code_cell(CHECK)]
        parts[name] = slice(start, len(cells))
    for number, cell in enumerate(cells):
        cell.id = str(number)  # of two notebooks they could be the same
    together = new_notebook(cells=cells, metadata=read("final_nn").metadata)
    where = {"metadata": {"path": NOTEBOOKS}}
    NotebookClient(together, timeout=300, allow_errors=True, resources=where).execute()
    return {name: together.cells[part] for name, part in parts.items()}


def outputs_of(cells):
    return [output for cell in cells for output in cell.get("outputs", [])]


def values_of(cells):
    """The last values of the cells, where they are of plain Python."""
    found = []
    for output in outputs_of(cells):
        text = output.get("data", {}).get("text/plain")
        if output.output_type == "execute_result" and "text/html" not in output.data:
            try:
                found.append(ast.literal_eval(text))
            except (ValueError, SyntaxError):
                found.append(text)
    return found


def tables_of(cells):
    return [value for value in values_of(cells) if isinstance(value, dict)]


def pictures_of(cells):
    return [output for output in outputs_of(cells) if "image/png" in output.get("data", {})]


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_and_draws_without_the_zoo(name, executed):
    cells = executed[name]
    failed = [output for output in outputs_of(cells) if output.output_type == "error"]
    assert not failed, "\n".join(failed[0].traceback)
    assert len(pictures_of(cells)) == PICTURES[name]
    assert values_of(cells)[-1] == []  # what of the zoo is imported
    code = "\n".join(cell.source for cell in cells[:-1] if cell.cell_type == "code")
    for package in ZOO:
        assert f"import {package}" not in code
        assert f"from {package}" not in code


@pytest.mark.parametrize("name", PICTURES)
def test_the_confusion_matrix_holds_every_example(name, executed, runs):
    with np.load(runs[name] / "examples.npz") as examples:
        count = len(examples["true_label"])
    assert count in values_of(executed[name])


@pytest.mark.parametrize("name", PICTURES)
def test_no_probability_falls_by_more_than_there_is(name, executed):
    told = tables_of(executed[name])
    falls = [fall for value in told for fall in value.values() if isinstance(fall, float)]
    assert falls
    assert all(-1 <= fall <= 1 for fall in falls)


def test_every_measurement_and_every_part_of_a_face_is_hidden(executed):
    told = [set(value) for value in tables_of(executed["triplet_classifier"])]
    assert len(told[0]) > 3 and {"all measurements", "the picture"} < told[0]
    told = [set(value) for value in tables_of(executed["final_nn"])]
    assert {"jaw", "brows", "nose", "eyes", "mouth", "the picture"} in told


def test_the_probabilities_of_every_rank_come_to_one(executed):
    told = tables_of(executed["multi_view_classifier"])
    sums = next(value for value in told if "genus" in value)
    assert list(sums.values()) == pytest.approx([1] * len(sums), abs=2e-3)


def test_the_network_is_a_layer_of_another_one(executed):
    told = values_of(executed["final_nn"])
    assert (5, 7) in told or "TensorShape([5, 7])" in told  # of the pool, a number for each class


@pytest.mark.parametrize("name", PICTURES)
def test_a_committed_notebook_carries_its_outputs(name):
    cells = read(name).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    assert len(pictures_of(cells)) == PICTURES[name]
    assert not [output for output in outputs_of(cells) if output.output_type == "error"]
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < LARGEST


def test_every_notebook_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(PICTURES)
