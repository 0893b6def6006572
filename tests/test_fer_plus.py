"""FER+: the votes of ten people as labels, and what is wrong with a file that does not fit."""

import csv
import zipfile

import numpy as np
import pytest
from PIL import Image

from datasets import fer2013
from datasets.emotions import EMOTIONS
from datasets.errors import InputError
from datasets.fer_plus import SHARES, by_votes, has_votes
from models.emotion.nn1 import NN1
from training.losses import SmoothedCrossEntropy

HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
# In FER2013's order of emotions and then contempt, unknown, no face.
PLAIN = [[10 if code == place else 0 for place in range(10)] for code in range(7)]
FACES = 84
USAGES = ["Training"] * 56 + ["PublicTest"] * 14 + ["PrivateTest"] * 14


def write_faces(folder, faces=FACES):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with open(folder / "fer2013.csv", "w") as stream:
        stream.write("emotion,pixels,Usage\n")
        for row in range(faces):
            pixels = " ".join(map(str, rng.integers(0, 256, 48 * 48)))
            stream.write(f"{row % 7},{pixels},{USAGES[row]}\n")
    return folder


def write_votes(folder, votes=None, usages=USAGES, header=HEADER, faces=FACES):
    votes = votes or {}
    order = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
    with open(folder / "fer2013new.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header.split(","))
        for row in range(faces):
            cast = votes.get(row, PLAIN[row % 7])
            seven = [cast[EMOTIONS.index(name)] for name in order]
            writer.writerow([usages[row], f"fer{row:07}.png", *seven, *cast[7:]])
    return folder / "fer2013new.csv"


def voted(folder):
    return by_votes(fer2013.load(folder), folder)


@pytest.fixture
def folder(tmp_path):
    return write_faces(tmp_path / "faces")


def test_most_votes_make_the_label_and_their_shares_the_target(folder):
    write_votes(folder, {0: [4, 0, 0, 0, 5, 0, 0, 0, 0, 0], 3: [0, 1, 0, 6, 0, 0, 2, 0, 1, 0]})
    assert has_votes(folder) and has_votes(folder / "fer2013.csv")
    table = voted(folder)
    assert len(table) == FACES and not table.left_out
    assert table.frame["label"].iloc[0] == "sad"  # FER2013 calls it angry
    shares = table.frame[list(SHARES)].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], [4 / 9, 0, 0, 0, 5 / 9, 0, 0])
    # A vote that nobody shares is not counted.
    np.testing.assert_allclose(shares[3], [0, 0, 0, 6 / 8, 0, 0, 2 / 8])
    assert any(note.startswith("1 of 84 faces stand under another") for note in table.notes)


@pytest.mark.parametrize(
    "cast",
    [
        [5, 0, 0, 0, 5, 0, 0, 0, 0, 0],  # a tie
        [2, 0, 0, 0, 0, 0, 0, 8, 0, 0],  # contempt
        [0, 0, 0, 0, 3, 0, 0, 0, 7, 0],  # not to be told
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # no face
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nobody agrees
    ],
)
def test_a_face_without_a_clear_vote_is_left_out_and_counted(folder, cast):
    write_votes(folder, {5: cast})
    table, whole = voted(folder), fer2013.load(folder)
    assert table.frame["key"].tolist() == whole.frame["key"].drop(5).tolist()
    np.testing.assert_array_equal(
        table.modalities["image"], np.delete(whole.modalities["image"], 5, axis=0)
    )
    assert table.left_out == ("1 faces without a clear vote for one of the seven emotions",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"faces": 80}, "holds the votes for 80 faces, and the table beside it has 84"),
        ({"usages": ["PublicTest", *USAGES[1:]]}, "line 2: the face is in the part 'publictest'"),
        ({"header": HEADER.replace("NF", "face")}, "line 1: the column 'nf' is missing"),
        ({"votes": {6: [*PLAIN[6][:9], "x"]}}, "line 8: 'x' where a number of votes is needed"),
        ({"votes": {6: [*PLAIN[6], 0]}}, "line 8: 13 columns where the header has 12"),
    ],
)
def test_votes_that_do_not_fit_are_refused_in_one_line(folder, change, told):
    write_votes(folder, **change)
    with pytest.raises(InputError, match=told) as caught:
        voted(folder)
    assert "\n" not in str(caught.value)


def nn1(folder, **told):
    quick = {"width": 8, "epochs": 1, "batch_size": 16, "split_rule": "official"}
    return NN1(NN1.Options("fer2013", str(folder), **quick, **told), folder / "out", "one")


@pytest.mark.usefixtures("small_nn1")
def test_a_model_is_told_of_votes_and_learns_them_where_it_is_asked_to(folder):
    write_votes(folder, {0: [4, 0, 0, 0, 5, 0, 0, 0, 0, 0]})
    plain, soft = nn1(folder), nn1(folder, votes=True)
    for model in (plain, soft):
        model.loadData()
        model.createArchitecture()
        model.prepareModel()
    assert any("--votes learns from it" in note for note in plain.table.notes)
    assert plain.phases[0].targets is None
    train, validation = soft.phases[0].targets
    assert len(train) == len(soft.splits.train) and len(validation) == len(soft.splits.validation)
    np.testing.assert_array_equal(train.argmax(axis=1), soft.table.targets[soft.splits.train])
    soft.train()
    kept = soft.save()
    again = NN1.loadModel(kept)
    again.loadData()  # the split is found again
    assert again.evaluateOnTest().confusion.sum() == len(soft.splits.test)


def test_votes_that_are_not_there_are_missed_in_one_line(folder, tmp_path):
    with pytest.raises(InputError, match="has no fer2013new.csv"):
        nn1(folder, votes=True).loadData()
    pictures = tmp_path / "pictures" / "happy"
    pictures.mkdir(parents=True)
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(pictures / "one.png")
    # A run that has learnt votes judges pictures that nobody has voted on by their folders.
    model = nn1(folder, votes=True)
    assert model.read_table("fer2013", str(pictures.parent), strict=False).counts()["happy"] == 1
    with pytest.raises(InputError, match="faces has no votes"):
        NN1(NN1.Options(votes=True)).loadData()


def test_votes_are_found_where_the_faces_are_below_a_folder_or_in_an_archive(tmp_path):
    inner = write_faces(tmp_path / "data" / "fer2013")
    write_votes(inner)
    (tmp_path / "data" / "note.txt").write_text("of mine")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as packed:
        for name in ("fer2013.csv", "fer2013new.csv"):
            packed.write(inner / name, f"fer2013/{name}")
    for place in (tmp_path / "data", tmp_path / "faces.zip"):
        assert has_votes(place)
        assert len(voted(place)) == FACES
        model = nn1(place, votes=True)
        assert set(SHARES) <= set(model.read_table("fer2013", str(place), strict=False).frame)


def test_votes_are_not_given_to_pictures_in_folders(folder, tmp_path):
    for row, code in enumerate(EMOTIONS):
        place = tmp_path / "pictures" / code
        place.mkdir(parents=True)
        Image.fromarray(np.full((48, 48), 30 * row, np.uint8)).save(place / "one.png")
    write_votes(tmp_path / "pictures", faces=7)
    with pytest.raises(InputError, match="the faces are not those of a CSV"):
        by_votes(fer2013.load(tmp_path / "pictures"), tmp_path / "pictures")


def test_the_loss_of_shares_is_that_of_classes_where_they_are_sure():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(7), 5).astype(np.float32)
    classes = np.array([0, 3, 6, 2, 2])
    for smoothing in (0.0, 0.1):
        loss = SmoothedCrossEntropy(smoothing)
        np.testing.assert_allclose(
            loss.call(np.eye(7, dtype=np.float32)[classes], probabilities),
            loss.call(classes, probabilities),
            rtol=1e-6,
        )
    half = np.full((1, 7), 1 / 7, np.float32)
    np.testing.assert_allclose(
        SmoothedCrossEntropy().call(half, probabilities[:1]),
        -np.log(probabilities[:1]).mean(axis=1),
        rtol=1e-5,
    )
