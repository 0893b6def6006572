"""README and CONTRIBUTING say what works."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from models import model_class
from models.commands import VERBS
from models.commands.train import _arguments as train_arguments

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", "models/emotion/README.md", "models/clownfish/README.md",
)  # fmt: skip
TREE = ("run.py", "setup.cfg", "models", "datasets", "training", "tests")


def blocks(document, language):
    text = (ROOT / document).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands():
    """Every `python run.py ...` of the documents, as words after run.py."""
    for document in DOCUMENTS:
        for block in blocks(document, "bash"):
            for line in block.splitlines():
                for command in line.split("&&"):
                    words = shlex.split(command, comments=True)
                    if words[:2] == ["python", "run.py"] and "StripesNN" not in words:
                        yield words[2:]


def test_the_documents_hold_commands():
    assert {words[0] for words in commands()} >= {
        "--model",
        "data",
        "evaluate",
        "predict",
        "recipe",
    }


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_documented_command_is_understood(words, capsys):
    verb = "train" if words[0].startswith("-") else words[0]
    assert verb in VERBS
    if "--help" in words:
        return
    if verb == "train":
        given = vars(train_arguments(words if words[0].startswith("-") else words[1:]))
        fields = set(model_class(given["model"]).Options.__dataclass_fields__)
        model_class(given["model"]).Options(**{k: v for k, v in given.items() if k in fields})
        return
    with pytest.raises(SystemExit):
        import_module(f"models.commands.{verb}").run(["--help"])
    help_text = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            assert word in help_text


def test_the_two_commands_stand_first():
    first, second = blocks("README.md", "bash")[:2]
    assert first.strip() == "pip install -e . && python run.py --model FinalNN --combine features"
    assert second.strip() == 'pip install -e ".[test]" && python -m pytest'


def test_links_lead_somewhere():
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), (document, target)


def test_the_example_of_contributing_passes_the_contract(tmp_path):
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    data, model = blocks("CONTRIBUTING.md", "python")
    (tmp_path / "datasets" / "synthetic" / "stripes.py").write_text(data)
    (tmp_path / "models" / "stripes.py").write_text(model)
    insert(
        tmp_path / "models" / "__init__.py",
        "MODELS = {",
        '\n    "StripesNN": "models.stripes:StripesNN",',
    )
    insert(
        tmp_path / "datasets" / "__init__.py",
        "DATASETS = {",
        '\n    "stripes": "datasets.synthetic.stripes",',
    )
    insert(tmp_path / "datasets" / "__init__.py", "SYNTHETIC = (", '"stripes", ')
    words = ["-m", "pytest", "-q", "-n", "0", "tests/test_contract.py", "-k", "StripesNN"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 20


def insert(path, after, text):
    content = path.read_text()
    assert after in content
    path.write_text(content.replace(after, after + text, 1))
