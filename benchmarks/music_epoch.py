"""One epoch over many tracks of music: what the data cost and what the network costs.

    python -m benchmarks.music_epoch --out music_epoch.json

The tracks of paper 002, section 2: 25,000 of thirty seconds. Spectrograms of the synthetic music,
one after the other, fill a file on disk, and each track is a stretch of it; several tracks share
their frames where the file is smaller than they are together. Times a whole epoch of batches with
no network, training steps on one batch with no data, and an epoch of both, in which the time that
the next batch is waited for is measured apart. Before each epoch the file is taken out of the
memory that the system keeps files in. Prints seconds per batch, the share of waiting and the
memory along the epoch (a file that is read counts among all of it), and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from datasets.base import Splits, Table
from datasets.pipelines import training_pipeline
from datasets.recordings import Recordings
from datasets.spectrograms import BANDS, Spectrograms
from datasets.synthetic import music
from models.music.mel_dcnn import MelDCNN

RATE = 44_100
FRAMES = 1292  # of thirty seconds at that rate
GENRES = 16
PLAYED = 30  # synthetic tracks whose spectrograms fill the file
STEPS = 20  # with no data; and before anything is timed
LOOKS = 10  # at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=25_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the file at most")
    parser.add_argument("--out", default="music_epoch.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frames")
        spectrograms = _spectrograms(path, arguments.tracks, arguments.gigabytes)
        result = {
            "tracks": arguments.tracks,
            "file_gigabytes": round(path.stat().st_size / 1e9, 2),
            "cores": os.cpu_count(),
            **_measure(path, spectrograms, arguments.batch_size),
        }
    for name, value in result.items():
        print(f"{name:26} {value}")
    Path(arguments.out).write_text(json.dumps(result, indent=2) + "\n")


def _spectrograms(path: Path, tracks: int, gigabytes: float) -> Spectrograms:
    """So many stretches of a file, which begin anywhere in it."""
    heard = music.load(PLAYED).modalities["waveform"].spectrograms.frames
    total = max(FRAMES, min(tracks * FRAMES, int(gigabytes * 1e9) // (4 * BANDS)))
    with path.open("wb") as file:
        for first in range(0, total, len(heard)):
            heard[: total - first].tofile(file)
    frames = np.memmap(path, np.float32, "r", shape=(total, BANDS)).view(np.ndarray)
    starts = np.random.default_rng(0).integers(0, total - FRAMES + 1, tracks)
    return Spectrograms(frames, starts, np.full(tracks, FRAMES, np.int64))


def _measure(path: Path, spectrograms: Spectrograms, batch_size: int) -> dict:
    model = _model(spectrograms, batch_size)
    (phase,) = model.phases
    network = keras.Model(model.model.input, model.model.output["probabilities"])
    network.compile(optimizer=phase.optimizer, loss=phase.loss, metrics=["accuracy"])

    def batches(epoch):
        _forget(path)
        targets, weights = model.table.targets, np.ones(len(spectrograms))
        given = {"waveform": spectrograms}
        told = (given, targets, weights, phase.batch_size, 0, epoch + 1, epoch, phase.augment)
        return training_pipeline(*told)[0]

    first = next(iter(batches(0)))
    steps = [_seconds(lambda: network.train_on_batch(*first)) for _ in range(2 * STEPS)][STEPS:]
    start, count = time.perf_counter(), 0
    for _ in batches(1):
        count += 1
    alone = (time.perf_counter() - start) / count
    waits, trains, memory = _epoch(network, batches(2), count)
    both = sum(waits) + sum(trains)
    return {
        "parameters": network.count_params(),
        "batch_size": batch_size,
        "batches": count,
        "data_alone_ms": round(1e3 * alone, 1),
        "step_alone_ms": round(1e3 * statistics.median(steps), 1),
        "together_ms": round(1e3 * both / count, 1),
        "waiting_percent": round(100 * sum(waits) / both, 2),
        "waiting_without_first_percent": round(100 * sum(waits[1:]) / both, 2),
        "epoch_seconds": round(both, 1),
        "memory_megabytes": [own for own, _ in memory],
        "with_the_file_megabytes": [whole for _, whole in memory],
    }


def _model(spectrograms: Spectrograms, batch_size: int) -> MelDCNN:
    """MelDCNN for genres, just before its training."""
    tracks = len(spectrograms)
    genres = tuple(f"genre {number}" for number in range(GENRES))
    frame = pd.DataFrame(
        {
            "key": np.arange(tracks).astype(str),
            "label": np.resize(genres, tracks),
            "part": "",
            "digest": np.arange(tracks).astype(str),
        }
    )
    recordings = Recordings(np.empty(tracks, object), RATE, spectrograms, None)
    table = Table("simulated", "simulated", genres, frame, {"waveform": recordings})
    model = MelDCNN(MelDCNN.Options(tasks="g", batch_size=batch_size))
    rows, none = np.arange(tracks), np.zeros(0, int)
    model.use_data(table, Splits(rows, none, none))
    model.createArchitecture()
    model.prepareModel()
    return model


def _epoch(network, data, count: int) -> tuple[list, list, list]:
    """Of every batch the seconds of waiting and of training; and the memory ten times."""
    waits, trains, memory = [], [], []
    looks = set(np.linspace(0, count - 1, LOOKS).astype(int).tolist())
    found = iter(data)
    for number in range(count):
        begin = time.perf_counter()
        batch = next(found)
        waits.append(time.perf_counter() - begin)
        trains.append(_seconds(lambda batch=batch: network.train_on_batch(*batch)))
        if number in looks:
            memory.append(_memory())
    return waits, trains, memory


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory() -> tuple[int, int]:
    """Resident megabytes of the process, without files that it has mapped and with them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return tuple(int(found[name].split()[0]) * 1024 // 10**6 for name in ("RssAnon", "VmRSS"))


def _forget(path: Path) -> None:
    """Let the next epoch read a file from disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
