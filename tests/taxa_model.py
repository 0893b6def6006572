"""A network of one layer that knows the taxonomy of its classes, for tests."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.base import Table, content_digest
from datasets.synthetic import organisms
from datasets.taxonomy import RANKS
from datasets.taxonomy_table import from_frame
from models.species.run_specificity import read_taxonomy
from tests.tiny_model import Tiny, TinyOptions

SPECIES = organisms.species()
LABELS = tuple(sorted(kind.name for kind in SPECIES))
NEW = {}  # name of a folder -> the table that is read there


@dataclass(frozen=True)
class TaxaOptions(TinyOptions):
    PRESETS = {"paper": {"epochs": 4, "batch_size": 16}}
    DEMONSTRATION = "organisms"


class Taxa(Tiny):
    """One dense layer that knows the taxonomy of its classes."""

    Options = TaxaOptions

    @property
    def taxonomy(self):
        if self.is_loaded:
            return read_taxonomy(self.folder)
        return from_frame(self.table.frame, RANKS, self.labels).taxonomy

    def loadData(self):  # noqa: N802
        self.split_table(drawn())

    def read_table(self, name, data_dir, strict=True):
        return NEW[data_dir.split("/")[-1]]


def drawn(samples=organisms.SAMPLES, seed=0):
    """Pictures of 8 x 8 pixels, noise on a pattern of the species and one of the genus."""
    rng, own = np.random.default_rng(seed), np.random.default_rng(7)
    patterns = {
        kind.taxa[place]: own.normal(0, 30, (8, 8, 1)) for place in (5, 6) for kind in SPECIES
    }
    kinds = [SPECIES[number] for number in organisms.species_of_rows(samples, seed)]
    images = np.stack([128 + sum(patterns[kind.taxa[place]] for place in (5, 6)) for kind in kinds])
    images = (images + rng.normal(0, 45, images.shape)).clip(0, 255).astype(np.uint8)
    columns = {rank: [kind.taxa[place] for kind in kinds] for place, rank in enumerate(RANKS)}
    frame = pd.DataFrame(
        {
            "key": [f"{seed}-{row}" for row in range(samples)],
            "label": columns["species"],
            "part": "",
            "digest": [content_digest(image) for image in images],
        }
        | columns
    )
    return Table("patterns", "drawn", LABELS, frame, {"image": images}, synthetic=True)
