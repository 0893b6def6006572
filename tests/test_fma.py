"""FMA in its published form: which clips are read, and under which names."""

import csv
import io
import json
from functools import cache

import numpy as np
import pytest
import soundfile

import run
from datasets import load_table
from datasets.errors import InputError
from datasets.fma import load
from datasets.splits import split_table

RATE = 44_100
# The columns of the published table that are read, and some that are not, in their order there.
COLUMNS = (
    *(("album", "comments"), ("album", "id"), ("album", "title"), ("artist", "bio")),
    *(("artist", "id"), ("artist", "name"), ("set", "split"), ("set", "subset")),
    *(("track", "bit_rate"), ("track", "genre_top"), ("track", "genres"), ("track", "genres_all")),
    ("track", "title"),
)
GENRES = (
    *("genre_id,#tracks,parent,title,top_level", "12,9,0,Rock,12", "25,4,12,Punk,12"),
    *("89,3,25,Post-Punk,12", "21,8,0,Hip-Hop,21", "38,7,0,Experimental,38"),
)
BIO = 'Two lines,\nwith a "quotation" and a comma'


def track(number, top, genres_all, artist, album, subset="small", split="training", **other):
    row = dict.fromkeys(COLUMNS, "") | {
        ("album", "comments"): "0",
        ("album", "id"): album,
        ("album", "title"): other.get("album_title", "" if album == "-1" else f"Album {album}"),
        ("artist", "bio"): BIO,
        ("artist", "id"): artist,
        ("artist", "name"): other.get("name", f"Artist {artist}"),
        ("set", "split"): split,
        ("set", "subset"): subset,
        ("track", "genre_top"): top,
        ("track", "genres_all"): genres_all,
        ("track", "title"): f"Song {number}",
    }
    return [str(number), *row.values()]


TRACKS = (
    track(2, "Hip-Hop", "[21]", "1", "1"),
    track(5, "Hip-Hop", "[21]", "1", "1"),
    track(140, "Rock", "[89, 25, 12]", "54", "61", split="validation"),
    track(1486, "Rock", "[12]", "54", "61"),  # listed without audio
    track(1000, "Rock", "[12, 25]", "60", "1", subset="medium", split="test"),
    track(98565, "Rock", "[12]", "60", "70"),  # listed as cut short
    track(20_000, "", "[12, 21]", "70", "-1", subset="large"),
    track(155_066, "Experimental", "[38]", "70", "-1", subset="large"),
)


def path(number):
    return f"{number // 1000:03d}/{number:06d}.mp3"


def clip(file, seed, rate=RATE):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(seed, rate))


@cache
def encoded(seed, rate):
    """1.2 seconds of stereo noise as MP3."""
    stream = io.BytesIO()
    waveform = 0.1 * np.random.default_rng(seed).standard_normal((6 * rate // 5, 2))
    soundfile.write(stream, waveform, rate, format="MP3")
    return stream.getvalue()


def write(folder, tracks=TRACKS, audio="fma_small", clips=(2, 5, 140)):
    """A miniature of what the archives hold."""
    metadata = folder / "fma_metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    with open(metadata / "tracks.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(group for group, _ in COLUMNS)])
        writer.writerow(["", *(name for _, name in COLUMNS)])
        writer.writerow(["track_id", *[""] * len(COLUMNS)])
        writer.writerows(tracks)
    (metadata / "genres.csv").write_text("\n".join([*GENRES, ""]))
    (metadata / "raw_tracks.csv").write_text("track_id,album_id\n2,1\n")
    (folder / audio).mkdir(exist_ok=True)
    (folder / audio / "README.txt").write_text("Each .mp3 is licensed by its artist.")
    for number in clips:
        clip(folder / audio / path(number), number)
    return folder


def complaint(*arguments, **keywords):
    with pytest.raises(InputError) as caught:
        load(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setattr("datasets.own_data.UNREADABLE_SHARE", 0.9)


def test_the_small_subset_is_read_as_it_is_published(tmp_path):
    table = load(write(tmp_path / "data"))
    frame = table.frame
    assert frame["key"].tolist() == ["000/000002.mp3", "000/000005.mp3", "000/000140.mp3"]
    assert table.labels == ("Hip-Hop", "Rock") and table.targets.tolist() == [0, 0, 1]
    assert frame["part"].tolist() == ["train", "train", "validation"]
    assert frame["artist"].tolist() == ["Artist 1", "Artist 1", "Artist 54"]
    assert frame["album"].tolist() == ["Album 1", "Album 1", "Album 61"]
    assert frame["subgenres"].tolist() == ["", "", "Post-Punk|Punk"]
    assert frame["title"].tolist() == ["Song 2", "Song 5", "Song 140"]
    assert not table.unreadable and not table.synthetic
    assert "1612.01840" in table.provenance and "fma_small" in table.provenance
    column = table.modalities["waveform"]
    assert column.rate == RATE and column[2].dtype == np.float32 and column[2].ndim == 1
    assert column.spectrograms.counts.min() > 43 and set(frame["seconds"] > 1) == {True}


def test_clips_that_the_publishers_list_as_faulty_are_left_out_and_named(tmp_path):
    table = load(write(tmp_path, clips=(2, 5, 140, 98565)))
    assert table.left_out == (
        "001/001486.mp3: has no audio (listed by the publishers)",
        "098/098565.mp3: is cut short (listed by the publishers)",
    )


@pytest.mark.parametrize(
    ("audio", "more", "lone"),
    [("fma_small", [], None), ("fma_medium", [1000], None), ("fma_large", [1000, 155_066], 1)],
)
def test_the_audio_folder_decides_on_the_subset(tmp_path, audio, more, lone):
    folder = write(tmp_path, audio=audio, clips=(2, 5, 140, *more))
    table = load_table("fma", str(folder), ("waveform",))
    assert table.frame["key"].tolist() == [path(number) for number in (2, 5, 140, *more)]
    counted = [line for line in table.left_out if "without one top genre" in line]
    assert counted == ([f"tracks without one top genre: {lone}"] if lone else [])
    assert ("Experimental" in table.labels) == (audio == "fma_large")


def test_of_several_audio_folders_the_one_that_is_meant_is_named(tmp_path):
    write(tmp_path)
    write(tmp_path, audio="fma_medium", clips=(2, 5, 140, 1000))
    line = complaint(tmp_path)
    assert "holds fma_small and fma_medium" in line and f"{tmp_path / 'fma_small'}" in line
    assert len(load(tmp_path / "fma_small")) == 3
    medium = load(tmp_path / "fma_medium")
    assert medium.frame["key"].tolist()[:3] == load(tmp_path / "fma_small").frame["key"].tolist()


def test_the_notes_count_the_albums_with_one_label(tmp_path):
    table = load(write(tmp_path, audio="fma_medium", clips=(2, 5, 140, 1000)))
    # Album 1 has Hip-Hop and Rock; 61 and 70 have Rock, in part on clips that are left out.
    assert "albums with one label for all their tracks: 2 of 3" in table.notes
    assert "sampling rate: 44,100 Hz" in table.notes


def test_names_tell_artists_and_albums_apart(tmp_path):
    tracks = [
        track(2, "Hip-Hop", "[21]", "1", "1", name="Echo", album_title="Live"),
        track(3, "Rock", "[12]", "2", "2", name="Echo", album_title="Live"),
        track(5, "Rock", "[12]", "3", "3", name="", album_title=""),
        track(6, "Rock", "[12]", "4", "-1", name="Foxtrot"),
        track(7, "Rock", "[12]", "4", "-1", name="Foxtrot and friends"),
    ]
    frame = load(write(tmp_path, tracks, clips=(2, 3, 5, 6, 7))).frame
    assert frame["artist"].tolist() == ["Echo (1)", "Echo (2)", "(3)", "Foxtrot", "Foxtrot"]
    assert frame["album"].tolist() == ["Live (1)", "Live (2)", "(3)", "", ""]


def test_broken_and_missing_clips_are_named(tmp_path, lenient):
    folder = write(tmp_path, [*TRACKS, track(7, "Rock", "[12]", "1", "1")])
    (folder / "fma_small" / path(5)).write_bytes(b"ID3\x04" + bytes(1700))
    table = load(folder)
    assert table.frame["key"].tolist() == ["000/000002.mp3", "000/000140.mp3"]
    assert len(table.unreadable) == 2
    named = "\n".join(table.unreadable)
    assert "000/000007.mp3: is not there" in named and "000/000005.mp3: " in named


def test_more_than_one_per_cent_of_unusable_clips_stop(tmp_path):
    line = complaint(write(tmp_path, clips=(2, 5)))
    assert "1 of 3 recordings cannot be used" in line and "000/000140.mp3, is not there" in line


def test_another_rate_can_be_told(tmp_path):
    folder = write(tmp_path)
    clip(folder / "fma_small" / path(5), 5, rate=48_000)
    told = load(folder, rate=16_000)
    assert told.modalities["waveform"].rate == 16_000
    lengths = [len(waveform) for waveform in told.modalities["waveform"]]
    np.testing.assert_allclose(lengths, 1.2 * 16_000, rtol=0.1)
    assert load(folder).modalities["waveform"].rate == RATE


def test_the_official_parts_are_those_of_the_publishers(tmp_path):
    tracks = [
        track(number, top, genres, str(number), "1", split=split)
        for number, (split, (top, genres)) in enumerate(
            (split, genre)
            for split in ("training", "validation", "test")
            for genre in (("Rock", "[12]"), ("Hip-Hop", "[21]"))
        )
    ]
    table = load(write(tmp_path, tracks, clips=range(6)))
    splits = split_table(table, "official", 0)
    assert [splits[part].tolist() for part in splits.parts()] == [[0, 1], [2, 3], [4, 5]]


def test_data_reports_it(tmp_path, capsys):
    folder = write(tmp_path)
    assert run.main(["data", "fma", "--data-dir", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "albums with one label for all their tracks: 3 of 3" in text
    assert "001/001486.mp3: has no audio" in text and "parts: train 2, validation 1" in text
    assert run.main(["data", "fma", "--data-dir", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "albums with one label for all their tracks: 3 of 3" in found["notes"]
    assert found["counts"] == {"Hip-Hop": 2, "Rock": 1}


def test_what_is_not_fma(tmp_path):
    assert "recordings have no image" in complaint(tmp_path, ("image",))
    for place in (tmp_path / "nowhere", tmp_path):
        assert "does not hold FMA as it is published: expected fma_metadata" in complaint(place)
    (tmp_path / "fma_small").mkdir()
    assert "does not hold FMA as it is published" in complaint(tmp_path / "fma_small")
    (tmp_path / "fma_small.zip").write_bytes(b"PK")
    assert "is neither a folder nor a table" in complaint(tmp_path / "fma_small.zip")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("genre_top", "genre"),
        lambda text: text.replace("track_id", "2"),
        lambda text: text.replace("\n140,", "\none,"),
        lambda text: text.split("\n")[0],
        lambda text: "",
    ],
)
def test_tables_that_are_not_the_published_ones(tmp_path, spoil):
    tracks = write(tmp_path, clips=()) / "fma_metadata" / "tracks.csv"
    tracks.write_text(spoil(tracks.read_text()))
    assert "tracks.csv is not the table that FMA publishes" in complaint(tmp_path)


def test_metadata_that_are_damaged(tmp_path):
    metadata = write(tmp_path, clips=()) / "fma_metadata"
    genres = (metadata / "genres.csv").read_text()
    (metadata / "genres.csv").write_text(genres.replace("89,3,25,Post-Punk,12\n", ""))
    assert "do not belong together" in complaint(tmp_path) and "89" in complaint(tmp_path)
    (metadata / "genres.csv").write_text("id,name\n12,Rock\n")
    assert "genres.csv is not the table that FMA publishes" in complaint(tmp_path)
    (metadata / "genres.csv").unlink()
    assert "genres.csv cannot be read" in complaint(tmp_path)
    (metadata / "tracks.csv").unlink()
    assert "tracks.csv cannot be read" in complaint(tmp_path)
