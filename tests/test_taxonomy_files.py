"""Pictures and lineages out of GBIF archives and iNaturalist files, and what such files lack."""

import json
import logging
import tarfile
import tracemalloc
import zipfile

import pytest

from datasets.errors import InputError
from datasets.taxonomy_files import RANKS, read_gbif_taxa, read_inaturalist_taxa
from datasets.taxonomy_table import from_frame

ABOVE = ("Animalia", "Chordata", "Actinopterygii", "Perciformes", "Labridae")
CORIS = (*ABOVE, "Coris", "Coris aygula")
LUNARE = (*ABOVE, "Thalassoma", "Thalassoma lunare")


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(frame):
    """(image, lineage) of every row."""
    assert list(frame.columns) == ["image", *RANKS]
    return [(row[0], tuple(row[1:])) for row in frame.itertuples(index=False)]


# --- GBIF


def occurrence(key, lineage, scientific=""):
    return "\t".join([key, scientific, *lineage])


OCCURRENCES = "\n".join(
    [
        "\t".join(["gbifID", "scientificName", *RANKS]),
        occurrence("1", CORIS, "Coris aygula Lacepède, 1801"),
        occurrence("2", (*LUNARE[:-1], ""), "Thalassoma × lunare (L., 1758)"),
        occurrence("3", (*ABOVE, "Coris", ""), "Coris Lacepède, 1801"),
        occurrence("4", (*ABOVE, "Coris", "Coris × hybrida")),
        occurrence("5", LUNARE),  # without a picture
    ]
)
MEDIA = (
    "gbifID\ttype\tidentifier\n"
    "2\tStillImage\thttp://x/2.jpg\n"
    "1\tStillImage\thttp://x/1.jpg\n"
    "1\tSound\thttp://x/1.mp3\n"
    "1\tStillImage\thttp://x/1b.jpg\n"
    "3\tStillImage\thttp://x/3.jpg\n"
    "4\tStillImage\thttp://x/4.jpg\n"
    "9\tStillImage\thttp://x/nobody.jpg\n"
)


@pytest.fixture
def archive(tmp_path):
    def write(occurrences=OCCURRENCES, media=MEDIA):
        with zipfile.ZipFile(tmp_path / "gbif.zip", "w") as file:
            file.writestr("occurrence.txt", occurrences)
            file.writestr("multimedia.txt", media)
        return tmp_path / "gbif.zip"

    return write


def test_every_picture_of_an_archive_has_the_taxa_of_its_occurrence(archive):
    assert rows(read_gbif_taxa(archive())) == [
        ("http://x/2.jpg", LUNARE),
        ("http://x/1.jpg", CORIS),
        ("http://x/1b.jpg", CORIS),
        ("http://x/3.jpg", (*ABOVE, "Coris", "")),
        ("http://x/4.jpg", (*ABOVE, "Coris", "Coris × hybrida")),
        ("http://x/nobody.jpg", ("",) * 7),
    ]


def test_a_picture_without_taxa_is_refused_or_discarded_with_the_reason(archive):
    frame = read_gbif_taxa(archive())
    message = refusal(from_frame, frame, RANKS)
    assert "row 3: the rank 'species' is empty (2 such rows)" in message
    reading = from_frame(frame, RANKS, strict=False)
    assert reading.discarded["row"].tolist() == [3, 5]
    assert reading.discarded["reason"].tolist() == ["species is empty", "kingdom is empty"]
    assert set(reading.taxonomy.leaves) == {"Coris aygula", "Thalassoma lunare", "Coris × hybrida"}


def test_an_archive_without_taxa_or_pictures_is_refused(archive, tmp_path):
    assert "does not exist" in refusal(read_gbif_taxa, tmp_path / "none.zip")
    assert "lists no picture" in refusal(read_gbif_taxa, archive(media="gbifID\tidentifier\n"))
    message = refusal(read_gbif_taxa, archive(occurrences="gbifID\tfamily\n1\tLabridae\n"))
    assert "no column species or acceptedscientificname" in message
    whole = archive().read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(read_gbif_taxa, tmp_path / "cut.zip")


# --- iNaturalist


def category(number, lineage):
    return {"id": number, "name": lineage[-1], **dict(zip(RANKS[:-1], lineage, strict=False))}


def contents(**changes):
    """A file with two species and three pictures; other parts that are none of our business."""
    return {
        "info": {"year": 2021, "nested": [{"categories": 1}]},
        "images": [
            {"id": 5, "file_name": "b/5.jpg", "latitude": 1.5},
            {"id": 3, "file_name": "a/3.jpg", "latitude": None},
            {"id": 4, "file_name": "a/4.jpg"},
        ],
        "annotations": [
            {"id": 0, "image_id": 3, "category_id": 0},
            {"id": 1, "image_id": 4, "category_id": 0},
            {"id": 2, "image_id": 5, "category_id": 7},
        ],
        "categories": [category(0, CORIS), category(7, LUNARE)],
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write(values, name="train.json"):
        text = values if isinstance(values, str) else json.dumps(values)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


WANTED = [("b/5.jpg", LUNARE), ("a/3.jpg", CORIS), ("a/4.jpg", CORIS)]


@pytest.mark.parametrize("reverse", [False, True])
def test_pictures_and_lineages_are_joined_in_any_order_of_the_parts(write, reverse):
    values = contents()
    if reverse:
        values = dict(reversed(values.items()))
    frame = read_inaturalist_taxa(write(values))
    assert rows(frame) == WANTED
    assert from_frame(frame, RANKS).taxonomy.lineage(0) == CORIS


def test_a_file_is_read_out_of_its_archive(write, tmp_path):
    path = write(contents())
    with tarfile.open(tmp_path / "train.json.tar.gz", "w:gz") as file:
        file.add(path, "train.json")
    assert rows(read_inaturalist_taxa(tmp_path / "train.json.tar.gz")) == WANTED
    write(contents(), "val.json")
    assert "2 files .json: name one" in refusal(read_inaturalist_taxa, tmp_path)


def test_a_picture_without_an_annotation_has_no_taxa(write):
    annotations = contents()["annotations"]
    frame = read_inaturalist_taxa(write(contents(annotations=annotations[:2])))
    assert rows(frame)[0] == ("b/5.jpg", ("",) * 7)
    reading = from_frame(frame, RANKS, strict=False)
    assert reading.discarded["row"].tolist() == [0]


def test_an_annotation_without_a_picture_is_told(write, caplog):
    values = contents()
    values["annotations"].append({"image_id": 99, "category_id": 0})
    with caplog.at_level(logging.INFO, "menagerie"):
        assert rows(read_inaturalist_taxa(write(values))) == WANTED
    assert "1 annotations of no picture are left out" in caplog.text


def test_two_species_in_a_picture_are_refused_and_one_twice_is_not(write):
    again = {"image_id": 3, "category_id": 0}
    values = contents(annotations=[*contents()["annotations"], again])
    assert rows(read_inaturalist_taxa(write(values))) == WANTED
    again["category_id"] = 7
    assert "the picture 3 has two species" in refusal(read_inaturalist_taxa, write(values))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"annotations": []}, "it has no annotations"),
        ({"categories": []}, "it has no categories"),
        ({"images": {}}, "it has no images"),
        ({"categories": [3]}, "an item of 'categories' is no object"),
        ({"categories": [category(0, CORIS)]}, "an annotation has no category 7"),
        ({"images": [{"id": "a", "file_name": "x"}]}, "'id' is 'a' where a whole number"),
        ({"images": [{"id": 1.5, "file_name": "x"}]}, "'id' is 1.5 where a whole number"),
        ({"annotations": [{"image_id": 3}]}, "'category_id' is None"),
    ],
)
def test_a_file_of_another_kind_is_refused(write, changes, says):
    path = write(contents(**changes))
    message = refusal(read_inaturalist_taxa, path)
    assert says in message
    assert str(path) in message and "give train.json or val.json of 2021" in message


def test_an_interrupted_download_is_refused(write, tmp_path):
    text = json.dumps(contents())
    for length in (0, 1, 100, len(text) // 2, len(text) - 40):
        assert "train.json" in refusal(read_inaturalist_taxa, write(text[:length]))
    assert "cannot be read" in refusal(read_inaturalist_taxa, write(text[: len(text) // 2]))
    assert "does not exist" in refusal(read_inaturalist_taxa, tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b'{"categories": [{"name": "\xff"}]}')
    assert "cannot be read" in refusal(read_inaturalist_taxa, tmp_path / "bytes.json")


def test_a_file_is_never_in_memory_as_a_whole(write):
    pictures = 5000
    padding = "x" * 400  # in the real file as much belongs to each picture
    path = write(
        contents(
            images=[
                {"id": one, "file_name": f"{one}.jpg", "rights_holder": padding}
                for one in range(pictures)
            ],
            annotations=[{"image_id": one, "category_id": 7} for one in range(pictures)],
        )
    )
    tracemalloc.start()
    frame = read_inaturalist_taxa(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frame) == pictures
    assert peak < path.stat().st_size / 2
