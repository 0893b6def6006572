"""A user's own recordings: what is read of folders and tables, and what is left out and named."""

import shutil
import zipfile

import numpy as np
import pytest
import soundfile

from datasets import load_table
from datasets.errors import InputError
from datasets.recordings import Recordings
from datasets.tracks import load

RATE = 8000
HEADER = "file,artist,genre,album,subgenres,bpm"
ROWS = (
    "audio/0.wav,Ana,blues,Dawn,Delta Blues|Boogie,90",
    "audio/1.wav,Ana,blues,Dusk,Delta Blues,96",
    "audio/2.flac,Ben,rock,Noon,,120",
    "audio/3.wav,Ben,rock,Noon,Punk ; Surf;Punk,180",
    "audio/4.wav,,rock,,Surf,160",
)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def lenient(monkeypatch):
    """Small sets may be mostly unusable."""
    monkeypatch.setattr("datasets.own_data.UNREADABLE_SHARE", 0.9)


def sound(path, seed, seconds=1.25, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(path, waveform, rate)
    return path


def write(folder, rows=ROWS, header=HEADER, name="tracks.csv", sounds=ROWS):
    """A table, and a recording for each of some of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, row in enumerate(sounds):
        sound(folder / row.split(",")[0], seed)
    (folder / name).write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder


def genre_folders(folder, *paths):
    paths = paths or ("blues/1.wav", "blues/2.wav", "rock/1.flac", "rock/sub/2.wav")
    for seed, path in enumerate(paths):
        sound(folder / path, seed)
    return folder


def complaint(*arguments, **keywords):
    with pytest.raises(InputError) as caught:
        load(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- tables


def test_a_table_is_read_as_it_stands(tmp_path):
    folder = write(tmp_path / "data")
    table = load(folder)
    frame = table.frame
    assert table.labels == ("blues", "rock") and table.targets.tolist() == [0, 0, 1, 1, 1]
    assert frame["key"].tolist() == [row.split(",")[0] for row in ROWS]
    assert frame["artist"].tolist() == ["Ana", "Ana", "Ben", "Ben", ""]
    assert frame["album"].tolist() == ["Dawn", "Dusk", "Noon", "Noon", ""]
    assert frame["subgenres"].tolist() == [
        *("Delta Blues|Boogie", "Delta Blues", "", "Punk|Surf", "Surf")
    ]
    assert frame["bpm"].tolist() == ["90", "96", "120", "180", "160"]
    assert frame["seconds"].tolist() == pytest.approx([1.25] * 5)
    assert set(frame["part"]) == {""} and frame["digest"].nunique() == 5
    assert not table.unreadable and not table.left_out and not table.synthetic


def test_waveforms_and_spectrograms_stand_in_the_rows_of_the_table(tmp_path):
    folder = write(tmp_path)
    column = load(folder).modalities["waveform"]
    assert isinstance(column, Recordings) and len(column) == 5 and column.rate == RATE
    for row, line in enumerate(ROWS):
        expected, _ = soundfile.read(folder / line.split(",")[0], dtype="float32")
        np.testing.assert_allclose(column[row], expected, atol=1e-6)
    assert column.spectrograms.counts.tolist() == [1 + 10_000 // 186] * 5
    turned = load(folder).take(np.array([3, 0])).modalities["waveform"]
    np.testing.assert_array_equal(turned.spectrograms[0], column.spectrograms[3])


def test_the_notes_say_how_it_was_read(tmp_path):
    assert load(write(tmp_path)).notes == (
        "label: genre, 2 classes",
        "albums with one label for all their tracks: 3 of 3",
        "artists: 2; recordings without: 1",
        "albums: 3; recordings without: 1",
        "sub-genres: 4; recordings without: 1",
        "sampling rate: 8,000 Hz",
    )


def test_an_album_of_two_genres_is_counted(tmp_path):
    rows = [*ROWS[:4], ROWS[4].replace(",rock,,", ",rock,Dawn,")]
    assert "albums with one label for all their tracks: 2 of 3" in load(write(tmp_path, rows)).notes


def test_short_and_silent_recordings_are_kept_and_counted(tmp_path):
    folder = write(tmp_path)
    sound(folder / "audio/0.wav", 0, seconds=0.4)
    soundfile.write(folder / "audio/1.wav", np.zeros(2 * RATE), RATE)
    table = load(folder)
    assert len(table) == 5
    assert table.notes[-2:] == (
        "1 of 5 recordings are shorter than one second (43 frames): padded with silence",
        "1 of 5 recordings are silent throughout",
    )
    assert table.frame["seconds"].tolist()[:2] == pytest.approx([0.4, 2.0])


def test_the_most_frequent_rate_counts_unless_one_is_told(tmp_path):
    folder = write(tmp_path)
    sound(folder / "audio/0.wav", 0, rate=22_050)
    table = load(folder)
    column = table.modalities["waveform"]
    assert column.rate == RATE and len(column[0]) == 10_000
    assert "sampling rate: 8,000 Hz; recordings brought to it from another: 1" in table.notes
    told = load_table("tracks", str(folder), ("waveform",), rate=16_000)
    assert told.modalities["waveform"].rate == 16_000
    assert {len(waveform) for waveform in told.modalities["waveform"]} == {20_000}
    assert "sampling rate: 16,000 Hz; recordings brought to it from another: 5" in told.notes


def test_a_recording_that_breaks_off_is_used_and_named(tmp_path):
    folder = write(tmp_path)
    whole = sound(folder / "audio/2.flac", 2, seconds=8).read_bytes()
    (folder / "audio/2.flac").write_bytes(whole[: 3 * len(whole) // 4])
    table = load(folder)
    assert len(table) == 5 and 4 < table.frame["seconds"][2] < 7
    line = "recordings that break off and are used as far as they go: audio/2.flac breaks off after"
    assert table.notes[-1].startswith(line)


@pytest.mark.parametrize(
    "header", ["Path,Artist,Genre", "filename,artist,label", "file_name,ARTIST,class"]
)
def test_columns_have_customary_names(tmp_path, header):
    table = load(write(tmp_path, [",".join(row.split(",")[:3]) for row in ROWS], header))
    assert table.labels == ("blues", "rock")
    assert table.frame["artist"].tolist() == ["Ana", "Ana", "Ben", "Ben", ""]
    assert set(table.frame["album"]) == set(table.frame["subgenres"]) == {""}
    assert "albums: unknown" in table.notes and "sub-genres: unknown" in table.notes


def test_the_label_can_be_told_and_may_be_a_number(tmp_path, lenient):
    folder = write(tmp_path)
    assert load(folder, label="bpm").labels == ("120", "160", "180", "90", "96")
    assert "did you mean 'bpm'" in complaint(folder, label="bmp")
    assert load(folder, label="artist").labels == ("Ana", "Ben")
    write(tmp_path, [row.replace("rock", "7").replace("blues", "07") for row in ROWS])
    assert load(folder).labels == ("07", "7")


def test_a_column_of_parts_assigns_the_recordings(tmp_path):
    parts = ("train", "val", "", "test", "Training")
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    table = load(write(tmp_path, rows, f"{HEADER},split"))
    assert table.frame["part"].tolist() == ["train", "validation", "", "test", "train"]
    write(tmp_path, [*rows[:4], f"{ROWS[4]},rehearsal"], f"{HEADER},split")
    assert "row 6, column 'split': 'rehearsal' is no part" in complaint(tmp_path)


def test_a_column_called_like_one_of_the_frame_is_kept_under_another_name(tmp_path):
    table = load(write(tmp_path, [f"{row},9,x" for row in ROWS], f"{HEADER},seconds,key"))
    assert set(table.frame["table_seconds"]) == {"9"} and set(table.frame["table_key"]) == {"x"}
    assert set(table.frame["seconds"]) == {1.25}


def test_paths_may_be_absolute_or_leave_the_folder(tmp_path):
    folder = write(tmp_path / "data", [ROWS[1], *ROWS[2:]])
    here = sound(tmp_path / "elsewhere" / "a.wav", 9)
    there = sound(tmp_path / "b.wav", 10)
    write(folder, [f"{here},Ana,blues,,,1", "../b.wav,Ana,blues,,,1", *ROWS[2:]], sounds=())
    table = load(folder)
    assert table.frame["key"].tolist()[:2] == [str(here), "../b.wav"]
    expected, _ = soundfile.read(there, dtype="float32")
    np.testing.assert_allclose(table.modalities["waveform"][1], expected, atol=1e-6)


def test_a_table_itself_a_wrapper_and_the_folder_give_the_same(tmp_path):
    folder = write(tmp_path / "outer" / "inner")
    expected = load(folder)
    for place in (tmp_path / "outer", folder / "tracks.csv"):
        table = load(place)
        assert table.frame.equals(expected.frame) and table.notes == expected.notes
    (folder / "tracks.csv").rename(folder / "mine.csv")
    assert load(folder / "mine.csv").frame.equals(expected.frame)


def test_the_only_table_counts_where_no_recording_lies_in_a_folder(tmp_path):
    flat = [row.removeprefix("audio/") for row in ROWS]
    folder = write(tmp_path / "data", flat, name="list.csv", sounds=flat)
    assert len(load(folder)) == 5
    (folder / "other.csv").write_text("file,genre\n")
    assert "holds 2 tables (list.csv, other.csv)" in complaint(folder)


def test_unusable_rows_are_named_by_their_row_and_path(tmp_path, lenient):
    rows = [
        *ROWS,
        "audio/5.wav,Ana,blues,,,",  # a text
        "audio/6.wav,Ana,blues,,,",  # empty
        "audio/7.wav,Ana,blues,,,",  # not there
        "cover.jpg,Ana,blues,,,",
        ",Ana,blues,,,",
        "audio/0.wav,Ana,,,,",
    ]
    folder = write(tmp_path, rows)
    (folder / "audio/5.wav").write_text("no sound at all")
    (folder / "audio/6.wav").write_bytes(b"")
    (folder / "cover.jpg").write_bytes(b"\xff\xd8")
    table = load(folder)
    assert len(table) == 5 and len(table.unreadable) == 6
    named = "\n".join(table.unreadable)
    assert "row 9 (audio/7.wav): is not there" in named
    assert "row 11: names no recording" in named and "row 12 (audio/0.wav): has no genre" in named
    for which in ("row 7 (audio/5.wav): ", "row 8 (audio/6.wav): ", "row 10 (cover.jpg): "):
        assert which in named


def test_more_than_one_per_cent_stops(tmp_path):
    rows = [f"audio/{row}.wav,Ana,{'blues' if row % 2 else 'rock'},,," for row in range(200)]
    folder = write(tmp_path, rows, sounds=rows)
    (folder / "audio/7.wav").unlink()
    (folder / "audio/8.wav").write_bytes(b"")
    assert len(load(folder)) == 198
    (folder / "audio/9.wav").unlink()
    line = complaint(folder)
    assert "3 of 200 recordings cannot be used, more than the 1% allowed; the first, row " in line


def test_a_file_that_is_named_twice_counts_once(tmp_path):
    table = load(write(tmp_path, [*ROWS, ROWS[0].replace("audio", "./audio")]))
    assert len(table) == 5 and table.frame["key"].tolist()[0] == "audio/0.wav"
    assert table.left_out == ("row 7 (audio/0.wav): names the file of row 2 once more",)


def test_a_file_under_several_genres_is_left_out_and_named(tmp_path):
    table = load(write(tmp_path, [*ROWS, ROWS[0].replace("blues", "polka")]))
    assert table.frame["key"].tolist() == [row.split(",")[0] for row in ROWS[1:]]
    assert table.labels == ("blues", "rock")
    assert table.left_out == (
        "row 2 (audio/0.wav): one file under several genres: blues, polka",
        "row 7 (audio/0.wav): one file under several genres: blues, polka",
    )


def test_recordings_that_no_row_names_are_counted(tmp_path):
    folder = write(tmp_path, ROWS[:4])
    assert load(folder).left_out == ("recordings that no row names (1): audio/4.wav",)
    assert load(folder / "tracks.csv").left_out == ()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("name,artist,genre", "has no column 'file' with the paths of the recordings: it has name"),
        ("file,artist,style", "has no column to learn: call one 'genre', or name it by --label"),
        ("file,artist,artist", "the column 'artist' stands twice"),
    ],
)
def test_columns_that_are_missing(tmp_path, header, words):
    assert words in complaint(write(tmp_path, [",".join(r.split(",")[:3]) for r in ROWS], header))


def test_one_genre_is_enough_where_recordings_are_only_judged(tmp_path):
    folder = write(tmp_path, ROWS[2:], sounds=ROWS[2:])
    assert "holds one genre only, 'rock'" in complaint(folder)
    assert load(folder, strict=False).labels == ("rock",)


def test_another_modality_is_refused_before_anything_is_read(tmp_path):
    assert "recordings have no image" in complaint(tmp_path / "nowhere", ("waveform", "image"))


# --- genre folders


def test_a_folder_per_genre(tmp_path):
    table = load(genre_folders(tmp_path / "music"))
    assert table.frame["key"].tolist() == [
        *("blues/1.wav", "blues/2.wav", "rock/1.flac", "rock/sub/2.wav")
    ]
    assert table.frame["label"].tolist() == ["blues", "blues", "rock", "rock"]
    for column in ("part", "artist", "album", "subgenres"):
        assert set(table.frame[column]) == {""}
    assert table.notes[:3] == ("artists: unknown", "albums: unknown", "sub-genres: unknown")
    assert table.provenance == "The user's own recordings in genre folders, music"


def test_upper_folders_are_parts(tmp_path):
    inner = ("blues/1.wav", "rock/1.wav")
    paths = [f"{part}/{path}" for part in ("Train", "val", "test") for path in inner]
    genre_folders(tmp_path, *paths)
    table = load(tmp_path)
    assert table.labels == ("blues", "rock")
    parts = table.frame.groupby("part")["key"].apply(list).to_dict()
    assert parts["validation"] == ["val/blues/1.wav", "val/rock/1.wav"]
    assert {part: len(keys) for part, keys in parts.items()} == {
        **{"train": 2, "validation": 2, "test": 2}
    }


def test_wrapped_folders_beside_another_table_are_read(tmp_path):
    genre_folders(tmp_path / "data" / "genres")
    (tmp_path / "data" / "features.csv").write_text("tempo,length\n1,2\n")
    table = load(tmp_path / "data")
    assert table.labels == ("blues", "rock") and table.frame["key"][0] == "blues/1.wav"
    assert len(table.modalities["waveform"][3]) == 10_000


def test_a_broken_and_a_stray_recording_are_named(tmp_path, lenient):
    folder = genre_folders(tmp_path)
    (folder / "rock" / "3.mp3").write_text("no sound at all")
    sound(folder / "loose.wav", 8)
    table = load(folder)
    assert len(table) == 4 and len(table.unreadable) == 2
    assert "loose.wav: lies in no genre folder" in table.unreadable
    assert any(line.startswith("rock/3.mp3: ") for line in table.unreadable)


def test_an_empty_genre_folder_is_a_mistake_in_training(tmp_path):
    folder = genre_folders(tmp_path)
    (folder / "jazz" / "deep").mkdir(parents=True)
    assert "the folder 'jazz' holds no recording" in complaint(folder)
    assert load(folder, strict=False).labels == ("blues", "rock")


def test_what_is_no_folder_of_recordings(tmp_path):
    folder = genre_folders(tmp_path / "music")
    packed = tmp_path / "packed" / "music.zip"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(folder / "blues/1.wav", "blues/1.wav")
    for place in (packed, packed.parent, folder / "blues" / "1.wav"):
        assert "is neither a folder nor a table" in complaint(place)
    assert "does not exist" in complaint(tmp_path / "nowhere")
    shutil.rmtree(folder)
    folder.mkdir()
    line = complaint(folder)
    assert "holds no recordings in genre folders and no tracks.csv" in line and ".mp3" in line
    sound(folder / "1.wav", 0)
    assert "holds no recordings in genre folders" in complaint(folder)


def test_one_genre_folder_needs_another(tmp_path):
    genre_folders(tmp_path / "music", "blues/1.wav", "blues/2.wav")
    assert "holds one genre only, 'blues'" in complaint(tmp_path / "music")
    assert len(load(tmp_path / "music", strict=False)) == 2


def test_fma_is_sent_to_its_own_data_set(tmp_path):
    write(tmp_path / "fma_metadata")
    assert "add --data fma" in complaint(tmp_path)


# --- real recordings


@pytest.mark.real
def test_the_spoken_digits(real_data):
    table = load_table("tracks", str(real_data / "spoken_digits"), ("waveform",))
    assert len(table) == 3000 and set(table.counts().values()) == {300}
    assert table.labels == tuple("0123456789")
    assert table.frame["artist"].nunique() == 6
    assert table.modalities["waveform"].rate == 8000
    assert not table.unreadable and not table.left_out
    lengths = [
        soundfile.info(real_data / "spoken_digits" / key).duration for key in table.frame["key"]
    ]
    np.testing.assert_allclose(table.frame["seconds"], lengths)
    short = "2,976 of 3,000 recordings are shorter than one second (43 frames): padded with silence"
    assert short in table.notes


def test_a_task_whose_column_is_empty_is_refused_before_a_recording_is_read(tmp_path, monkeypatch):
    for genre in ("dub", "ska"):
        (tmp_path / genre).mkdir()
        for number in range(2):
            (tmp_path / genre / f"{number}.wav").write_bytes(b"no sound")
    monkeypatch.setattr("datasets.track_listing.prepare_recordings", None)
    with pytest.raises(InputError, match="names no artist, and task d"):
        load(tmp_path, tasks="gd")
