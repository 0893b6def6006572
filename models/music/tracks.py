"""What the music models share: options, tracks, and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass

from datasets import SYNTHETIC, load_table
from datasets.artist_groups import check_tasks
from datasets.base import Division, Table
from datasets.clownfish import without_exact_copies
from datasets.errors import InputError
from datasets.folds import grouped
from datasets.splits import split_table
from models.inputs import WaveformInput, read_inputs
from models.options import ScheduleOptions, mixup_option, option

TASKS = {
    "g": "genre",
    "m": "mfcc",
    "d": "delta_mfcc",
    "e": "songs",
    "s": "subgenres",
}
PAPER_VALIDATION = 0.15  # paper 002, section 4


@dataclass(frozen=True)
class MusicOptions(ScheduleOptions):
    """Options of every model of music."""

    REAL_DATA = "tracks"
    DEMONSTRATION = "music"

    sample_rate: int | None = option(
        "samples a second that recordings are brought to; by default the rate that most of them "
        "have",
        minimum=4000,
        maximum=96000,
    )
    frames: int | None = option(
        "length of a segment in frames of the spectrogram, 43 of which are a second", minimum=24
    )

    mixup: float | None = mixup_option()

    def __post_init__(self):
        if self.group is not None and self.split_rule is None and self.folds is None:
            self._set("split_rule", "random")  # an artist may have tracks of several genres
        super().__post_init__()
        if self.sample_rate and self.data in SYNTHETIC:
            raise InputError(
                f"--sample-rate {self.sample_rate}: --data {self.data} is generated at a rate of "
                "its own: leave it out, or give --data-dir"
            )


def task_letters(text: str) -> str:
    """Tasks in their order, such as `gmd`.

    Raises:
        InputError: none, one that is unknown, or one that stands there twice.
    """
    letters = text.replace(",", "").lower()
    if not letters or set(letters) - set(TASKS) or len(set(letters)) < len(letters):
        raise InputError(f"--tasks {text}: some of the letters {', '.join(TASKS)}, each once")
    return "".join(task for task in TASKS if task in letters)


def allowed_tasks(table: Table) -> str:
    """All tasks that the columns of a table allow."""
    found = ""
    for task in TASKS:
        try:
            check_tasks(task, table)
        except InputError:
            continue
        found += task
    return found


def divide(table: Table, options: MusicOptions) -> Division:
    """The tracks without copies, in parts."""
    table = without_exact_copies(grouped(table, options.group), "recording")
    held_out = options.preset == "paper" and options.split_rule == "holdout"
    shares = {"validation": PAPER_VALIDATION} if held_out else {}
    fold = options.tested_fold()
    splits = split_table(table, options.split_rule, options.seed, fold, **shares)
    return Division(table, splits)


def read_tracks(model, name: str, data_dir: str | None, strict: bool) -> Table:
    """The table of a data set, its recordings at the model's sample rate.

    Args:
        model: NNModel with MusicOptions.
        name, data_dir, strict: see `datasets.load_table`.
    """
    if name in SYNTHETIC:
        return load_table(name, data_dir, ("waveform",), strict)
    rate = model.inputs[0].rate if model.is_loaded else model.options.sample_rate
    tasks = "" if model.is_loaded else model.options.tasks or ""
    return load_table(name, data_dir, ("waveform",), strict, rate=rate, tasks=tasks)


def load_tracks(model) -> None:
    """Let a model of music read its tracks and divide them.

    Raises:
        InputError: a task asks for a column that they lack.
    """
    table = model.read_table(model.options.data, model.options.data_dir)
    if not model.is_loaded and model.options.tasks:
        check_tasks(model.options.tasks, table)
    model.split_table(table)


def music_inputs(model) -> tuple[WaveformInput]:
    """The input of a model of music, at the sample rate of its run or of its tracks."""
    if model.is_loaded:
        return read_inputs(model.folder)
    return (WaveformInput(model.table.modalities["waveform"].rate),)
