"""Small tables of specimens, for the tests that read such."""

import numpy as np
import pytest
from PIL import Image

from datasets.errors import InputError
from datasets.specimens import load

RNG = np.random.default_rng(0)
HEADER = "image,species,genus,family,height_mm,width (mm),country,site"
ROWS = (
    "images/0.png,Radix balthica,Radix,Lymnaeidae,1.5,2,Aldoria,spring 1",
    "images/1.png,Radix balthica,Radix,Lymnaeidae,2.5,3,Aldoria,spring 1",
    "images/2.png,Radix auricularia,Radix,Lymnaeidae,,4,Celmar,spring 2",
    "images/3.png,Radomaniola curta,Radomaniola,Hydrobiidae,-4.5e-1,5,Brevania,spring 3",
    "images/4.png,Radomaniola curta,Radomaniola,Hydrobiidae,.5,7,,spring 4",
)


def write(folder, rows=ROWS, header=HEADER, name="specimens.csv", pictures=5):
    """A table, and pictures images/0.png to the last."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        pixels = RNG.integers(0, 256, (9 + number, 10), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    (folder / name).write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder


def simple(folder, *columns, rows=20):
    """A table of `rows` specimens of two classes, with further columns (name, cell of a row)."""
    header = ",".join(["image", "label", *(name for name, _ in columns)])
    lines = [
        ",".join([f"images/{row}.png", "ab"[row % 2], *(str(cell(row)) for _, cell in columns)])
        for row in range(rows)
    ]
    return write(folder, lines, header, pictures=rows)


def complaint(*arguments, **keywords):
    """The one line that `load` stops with."""
    with pytest.raises(InputError) as caught:
        load(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def notes(table):
    return "\n".join(table.notes)
