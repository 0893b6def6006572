"""The emotion models on real faces, through the command line."""

import json
import tarfile

import pytest

import run

EACH = 150  # training faces of each emotion
NEW = 20  # faces of each emotion to judge that no training has seen

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def faces(real_data, tmp_path_factory):
    """Two folders of FER2013's layout: some faces to train on, and some new ones."""
    folder = tmp_path_factory.mktemp("faces")
    with tarfile.open(real_data / "fer2013" / "fer2013_images.tar") as tar:
        taken = {}
        for member in tar:
            part, emotion = member.name.split("/")[:2]
            target, limit = ("known", EACH) if part == "Training" else ("new", NEW)
            if member.isfile() and taken.setdefault((part, emotion), 0) < limit:
                taken[part, emotion] += 1
                path = folder / target / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tar.extractfile(member).read())
    return folder


def test_final_nn_learns_from_real_faces_and_judges_new_ones(faces, tmp_path, capsys):
    words = ["--data-dir", str(faces / "known"), "--out", str(tmp_path)]
    assert run.main(["--model", "NN1", "--epochs", "5", "--width", "16", *words]) == 0
    assert run.main(["--model", "NN2", "--epochs", "16", *words]) == 0
    fusion = ["--combine", "features", "--learning-rate", "0.001", "--epochs", "20"]
    assert run.main(["--model", "FinalNN", *fusion, *words]) == 0
    capsys.readouterr()

    code = run.main(
        ["evaluate", "FinalNN", "--data-dir", str(faces / "new"), "--out", str(tmp_path), "--json"]
    )
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert answer["n"] == 7 * NEW - answer["left_out"]["trained_on"]
    assert answer["left_out"]["unreadable"] == []
    assert answer["accuracy"] == answer["accuracy_known"]
    # A seventh is chance; with n = 140 its 99.9 % bound is 0.24.
    assert answer["accuracy"] > 0.24

    pictures = sorted(str(path) for path in (faces / "new").rglob("happy/*.jpg"))
    assert run.main(["predict", "FinalNN", *pictures, "--out", str(tmp_path), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["input"] for one in answers] == pictures
