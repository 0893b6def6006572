"""The house rules that a command can check."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import datasets
import models
import training

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "datasets": {"datasets"},
    "training": {"training"},
    "models": {"models", "training", "datasets"},
}


def sources():
    """Every file of the three packages, and the command line."""
    packages = (path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
    return [ROOT / "run.py", *packages]


def imports(path):
    """Modules that a file imports, with whether at module level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, id(node) in top


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.split(".")[0] for name, _ in imports(path)} & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], path


def test_tensorflow_is_not_imported_at_module_level():
    for path in sources():
        heavy = {name for name, top in imports(path) if top and name.startswith("tensorflow")}
        assert not heavy, path


def test_only_the_reports_draw():
    drawing = {
        path
        for path in sources()
        if {name.split(".")[0] for name, _ in imports(path)} & {"seaborn", "matplotlib"}
    }
    assert drawing
    for path in drawing:
        assert path.is_relative_to(ROOT / "training" / "reports"), path


def test_nothing_is_unpickled_and_no_safety_is_off():
    words = ("pickle", "Lambda(", "safe_mode=False", "allow_pickle=True", "joblib.load")
    for path in sources():
        for word in words:
            assert word not in path.read_text(), (path, word)


def test_the_packages_are_those_of_the_checkout():
    for package in (datasets, models, training):
        assert Path(package.__file__).is_relative_to(ROOT)


def test_the_project_installs_no_module():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["packages"] == ""
    assert setup["options"]["py_modules"] == ""


def test_run_py_is_short_and_files_stay_readable():
    assert len((ROOT / "run.py").read_text().splitlines()) < 100
    for path in sources():
        assert len(path.read_text().splitlines()) <= 400, path


def test_help_and_list_import_nothing_heavy():
    code = (
        "import sys, run; run.main(['--help']); run.main(['list']); "
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("train", "evaluate", "predict", "FinalNN", "fer2013"):
        assert word in done.stdout
