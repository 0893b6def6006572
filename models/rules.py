"""What `--preset recommended` decides by itself when it has seen the data: a table of rules.

A preset was measured with m training samples (`Options.MEASURED_WITH`). With n of them, many more
or many fewer, other values are better; these rules say which. They look at the training part
alone, know no chance, and leave alone what the user has set. Each decision is printed with its
reason and stands in `config.json` like a flag that was typed.

| option | where | value |
|---|---|---|
| `epochs`, `rank_epochs` | n is not within 1.5 times m | sqrt(m / n) as many, from 1/4 to 4 times |
| `batch_size` | n is below m / 8 | half |
| `batch_size` | n is above 16 m | double |
| `batch_size` | it is above n / 8 | n / 8, so that an epoch has eight steps; 8 at least |
| `unfreeze` | n is below 100 | `none`: the backbone stays frozen |
| `whiten` of TransferCNN | a class has more than 100 of the n on the average | `False` |
| `four_views` | n is above 20,000 | `False`: answers take a quarter of the time |

Why `unfreeze` and `whiten`: with 40 and 80 training pictures of two clownfish, three
draws each, the frozen network is right on 88.5 and 91.0 %, the fine-tuned one on 88.7 and 91.0
in a third more time. Both are whitened; unwhitened they had 83.0 and 86.7 % with 40. With 485
pictures, five seeds, whitening is right on 94.8 % of the test pictures and 96.4 % of the validation
pictures, and without it the network on 96.4 of both (`models/clownfish/README.md`).

On a demonstration set nothing is decided, as its settings were made for it. Nor is anything by

- the size of the pictures: enlarged ones are told better. Fish made 64 px small are named rightly
  in 16.7 % of 366 as they are and in 24.6 % at 96 px (p = 0.0008, a logistic regression on frozen
  features; `python -m benchmarks.picture_sizes`), so the preset's size stays;
- imbalance: NN2 on FER2013 (16 faces of the largest class to one of the smallest), its classes
  weighted alike, has a balanced accuracy of 54.7 in place of 50.2 %, an accuracy of 55.4 in place
  of 58.2 and a macro F1 of 48.5 in place of 50.6 (validation, n = 2,871, seed 0; `--class-weights
  train`). So which mistakes count is for the user to say; where classes are uneven, the flag is
  named before the training (`models/estimates.py`);
- cores and GPUs: one command makes one network wherever it runs, and a training that goes on
  elsewhere goes on alike. How long it takes there, and what makes it shorter, is told before it
  begins (`models/estimates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from datasets import SYNTHETIC
from models.options import same_training
from models.runs import read_json

LEAST_TO_TUNE = 100  # training samples
ALIKE = 1.5  # times as many samples, for which what was measured still holds
FEWEST_STEPS = 8  # of an epoch
MOST_BY_FOUR_VIEWS = 20_000  # training samples: TransferCNN judges them in a quarter of an hour
SMALLEST_BATCH = 8


@dataclass(frozen=True)
class Decision:
    """What a rule has decided.

    Attributes:
        option: name of the option.
        value: that it has from now on.
        reason: why, in a clause.
    """

    option: str
    value: object
    reason: str

    def __str__(self) -> str:
        flag = self.option.replace("_", "-")
        if isinstance(self.value, bool):
            return f"--{'' if self.value else 'no-'}{flag}: {self.reason}"
        return f"--{flag} {self.value}: {self.reason}"


def decide(options, samples: int, classes: int) -> tuple[Decision, ...]:
    """What the rules say of a training with so many samples.

    Args:
        options: of a model; those of its fields that a preset has filled are decided about.
        samples: of the training part.
        classes: that it has.
    """
    if options.preset != "recommended" or options.data in SYNTHETIC or not options.MEASURED_WITH:
        return ()
    found = (
        *(_epochs(options, name, samples) for name in ("epochs", "rank_epochs")),
        _batch_size(options, samples),
        _unfreeze(options, samples),
        _whiten(options, samples / classes),
        _four_views(options, samples),
    )
    return tuple(decision for decision in found if decision is not None)


def decided(options, decisions: tuple[Decision, ...]):
    """The options with the values that the rules have decided on."""
    if not decisions:
        return options
    return options.replaced(**{one.option: one.value for one in decisions})


def trained_as(folder: Path, options) -> bool:
    """Whether a saved run was trained with these options, and what the rules have made of them."""
    samples = read_json(folder, "metrics.json")["train"]["n"]
    classes = len(read_json(folder, "labels.json"))
    chosen = decided(options, decide(options, samples, classes))
    return same_training(read_json(folder, "config.json"), chosen.to_json())


def _epochs(options, name: str, samples: int) -> Decision | None:
    if name not in options.preset_fields:
        return None
    known, factor = getattr(options, name), sqrt(options.MEASURED_WITH / samples)
    if known is None or 1 / ALIKE < factor**2 < ALIKE:
        return None
    value = max(1, round(known * min(4.0, max(0.25, factor))))
    return _changed(
        options,
        name,
        value,
        f"{known} were measured with {options.MEASURED_WITH:,} training samples, here are "
        f"{samples:,}",
    )


def _batch_size(options, samples: int) -> Decision | None:
    if "batch_size" not in options.preset_fields:
        return None
    known = value = options.batch_size
    if samples < options.MEASURED_WITH / 8:
        value = known // 2
    elif samples > options.MEASURED_WITH * 16:
        value = known * 2
    value = min(value, max(SMALLEST_BATCH, samples // FEWEST_STEPS))
    reason = f"{samples:,} training samples, and {known} were measured with "
    return _changed(options, "batch_size", value, reason + f"{options.MEASURED_WITH:,}")


def _unfreeze(options, samples: int) -> Decision | None:
    if "unfreeze" not in options.preset_fields or samples >= LEAST_TO_TUNE:
        return None
    reason = f"{samples} training samples are too few to change the backbone by"
    return _changed(options, "unfreeze", "none", reason)


def _whiten(options, each: float) -> Decision | None:
    most = getattr(options, "WHITEN_UP_TO", None)
    if "whiten" not in options.preset_fields or most is None or each <= most:
        return None
    reason = f"{each:.0f} training samples of a class tell more than their spread does"
    return _changed(options, "whiten", False, reason)


def _four_views(options, samples: int) -> Decision | None:
    if "four_views" not in options.preset_fields or samples <= MOST_BY_FOUR_VIEWS:
        return None
    reason = f"{samples:,} training samples are judged too, four times as fast by one view each"
    return _changed(options, "four_views", False, reason)


def _changed(options, name: str, value, reason: str) -> Decision | None:
    return None if value == getattr(options, name) else Decision(name, value, reason)
