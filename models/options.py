"""A model's options: frozen dataclass <-> command-line flags <-> config.json."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import shlex
import types
import typing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

from datasets import DATASETS, SYNTHETIC
from datasets.base import Division, Table
from datasets.errors import InputError
from datasets.folds import Fold, grouped
from datasets.splits import SPLIT_RULES, split_table

UNGROUPED_RULES = ("shuffled", "official")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
DISTRIBUTIONS = ("none", "auto", "hosts")
# Where a run trains and who watches it, not what it learns.
DEVICE_OPTIONS = ("precision", "distribute", "tensorboard")


def option(help_text: str, default=None, choices=None, minimum=None, maximum=None, above=None):
    """A dataclass field that is also a flag.

    A default of None is filled from the preset where the preset names the field.
    """
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    metadata = {"help": help_text, **limits}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """What every model of the zoo can be told. Validated once, when it is made.

    Raises:
        InputError: a value of the wrong type, out of range, or not among the choices.
    """

    PRESETS: ClassVar[dict[str, dict]] = {}
    REAL_DATA: ClassVar[str] = ""  # the data set that --data-dir means unless --data says more
    DEMONSTRATION: ClassVar[str] = ""  # the synthetic set that stands in without --data-dir
    SYNTHETIC_DEFAULTS: ClassVar[dict] = {}  # what else is preset on a synthetic set
    SYNTHETIC_RECOMMENDED: ClassVar[dict] = {}  # and there by `recommended` alone
    refit: ClassVar[bool] = False  # an option of some models: see `models.refit`
    REAL_DEFAULTS: ClassVar[dict] = {}  # what else is preset on the user's data
    # How many training samples `recommended` was measured with, for `models.rules`; 0 for none.
    MEASURED_WITH: ClassVar[int] = 0
    preset_fields: ClassVar[frozenset[str]] = frozenset()  # those that nobody but a preset has set

    data: str | None = option(
        "data set; without --data-dir the synthetic demonstration set, with it the user's",
        choices=tuple(DATASETS),
    )
    data_dir: str | None = option("folder, archive or table with the user's own data")
    split_rule: str | None = option(
        "shuffled: 70/20/10 of all samples; stratified: 80/10/10 of each class; holdout: 90/10 of "
        "each class and no test part; official: the parts that the publisher assigned; random: "
        "80/10/10 of all samples, where a small class need not be in every part",
        choices=tuple(SPLIT_RULES),
    )
    folds: int | None = option(
        "cross-validate: test each of so many stratified folds by a training of its own",
        minimum=2,
    )
    fold: int | None = option("test this one of the --folds only, from 1", minimum=1)
    group: str | None = option(
        "column of the table, such as site: samples with the same value are never split"
    )
    preset: str | None = option("a set of defaults: the publication's, or what we recommend")
    epochs: int | None = option("passes over the training data", minimum=1)
    batch_size: int | None = option("samples per training step", minimum=1)
    reject_at: float | None = option(
        "share of right answers wanted among those given: below a confidence that reaches it on "
        "the validation part, the answer is 'other'",
        above=0.0,
        maximum=1.0,
    )
    seed: int = option(
        "seeds split, initial weights and order of samples", 0, minimum=0, maximum=2**32 - 1
    )
    precision: str = option(
        "what layers compute in while they train: auto, 16 bits on GPUs that are faster by them "
        "and float32 on CPUs; weights, answers and the saved run are float32 in any case",
        "auto",
        choices=PRECISIONS,
    )
    distribute: str = option(
        "devices that share every batch: none, one device; auto, all GPUs of this machine; hosts, "
        "those of all processes that were started together (KERAS_BACKEND=jax)",
        "none",
        choices=DISTRIBUTIONS,
    )
    tensorboard: bool = option(
        "write what TensorBoard draws, RUN/tensorboard; of a training, OUT/MODEL/.RUN.partial/...",
        False,
    )

    def __post_init__(self):
        self._choose_data()
        self._choose_preset()
        for field in dataclasses.fields(self):
            self._set(field.name, _checked(field, self._type(field), getattr(self, field.name)))
        self._check_split()
        if self.tensorboard and find_spec("tensorboard") is None:
            raise InputError(
                '--tensorboard needs TensorBoard: pip install -e ".[tensorboard]", or leave it out'
            )

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _choose_preset(self):
        presets = tuple(self.PRESETS)
        if self.preset is None:
            self._set("preset", "recommended" if "recommended" in presets else presets[0])
        if self.preset not in presets:
            raise InputError(f"--preset {self.preset}: take one of {', '.join(presets)}")
        if self.data in SYNTHETIC and self.preset == "recommended":
            self._fill_in(self.SYNTHETIC_RECOMMENDED)
        defaults = {"split_rule": "stratified"} | self.PRESETS[self.preset]
        if self.folds is not None:
            self._refuse_rule_with_folds()
            del defaults["split_rule"]
        self._fill_in(defaults)

    def _refuse_rule_with_folds(self):
        if self.split_rule is not None:
            raise InputError(
                f"--split-rule {self.split_rule} and --folds {self.folds} are two ways to split: "
                "leave one of them out"
            )

    def _check_split(self):
        if self.fold is not None and self.folds is None:
            raise InputError(f"--fold {self.fold} needs --folds: how many there are")
        if self.fold is not None and self.fold > self.folds:
            raise InputError(f"--fold {self.fold}: there are folds 1 to {self.folds}")
        if self.group is not None and self.split_rule in UNGROUPED_RULES:
            raise InputError(
                f"--group {self.group}: --split-rule {self.split_rule} looks at no groups; take "
                "--split-rule stratified or holdout, or --folds"
            )

    def tested_fold(self) -> Fold | None:
        """The fold that is the test part; None where the split has a rule.

        Raises:
            InputError: there are folds, and none of them is chosen.
        """
        if self.folds is None:
            return None
        if self.fold is None:
            raise InputError(f"--folds {self.folds} needs --fold here: which of them is tested")
        return Fold(self.fold, self.folds)

    def _choose_data(self):
        if self.data_dir is not None and not self.data_dir.strip():
            raise InputError("--data-dir is empty: give the folder where your data lie")
        if self.data is None:
            self._set("data", self.REAL_DATA if self.data_dir else self.DEMONSTRATION)
        if self.data in SYNTHETIC and self.data_dir:
            raise InputError(
                f"--data {self.data} is generated and reads no --data-dir: leave one of them out"
            )
        if self.data not in SYNTHETIC and not self.data_dir:
            raise InputError(f"--data {self.data} needs --data-dir: the folder where your data lie")
        self._fill_in(self.SYNTHETIC_DEFAULTS if self.data in SYNTHETIC else self.REAL_DEFAULTS)

    def _fill_in(self, defaults: dict):
        for name, value in defaults.items():
            if getattr(self, name) is None:
                self._set(name, value)
                self._set("preset_fields", self.preset_fields | {name})

    def replaced(self, **values) -> Options:
        """These options with other values; those of a preset remain known as such.

        `dataclasses.replace` would take them for the user's, whom `models.rules` leaves alone.

        Raises:
            InputError: as for new options.
        """
        made = dataclasses.replace(self, **values)
        made._set("preset_fields", self.preset_fields - values.keys() | made.preset_fields)
        return made

    @classmethod
    def _type(cls, field):
        return type_hints(cls)[field.name]

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    def stated(self) -> dict[str, object]:
        """The options that have a value, worded for people."""
        values = dataclasses.asdict(self)
        return {
            name.replace("_", " "): value for name, value in values.items() if value is not None
        }

    def command(self, model: str) -> str:
        """The command line that trains with these options, defaults left out."""
        words = ["python", "run.py", "train", "--model", model]
        plain = type(self)(preset=self.preset, data=self.data, data_dir=self.data_dir)
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), getattr(plain, field.name)
            if field.name not in ("data", "data_dir") and value == default:
                continue
            if value is None or (field.name == "data" and value == self.DEMONSTRATION):
                continue
            if type(value) is bool:
                words.append(flag(field.name) if value else flag("no_" + field.name))
            else:
                words += [flag(field.name), str(value)]
        return shlex.join(words)

    @classmethod
    def from_json(cls, values: dict) -> Options:
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"config.json holds an option that the model lacks: '{unknown[0]}'")
        return cls(**values)

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Give the parser one flag per field; a flag that is not typed leaves no value."""
        for field in dataclasses.fields(cls):
            keywords = {"help": field.metadata["help"], "default": argparse.SUPPRESS}
            kind = _plain_type(cls._type(field))
            if kind is bool:
                keywords["action"] = argparse.BooleanOptionalAction
            else:
                keywords |= {"type": kind, "metavar": _metavar(field, kind)}
            parser.add_argument(flag(field.name), dest=field.name, **keywords)


def same_training(one: dict, other: dict) -> bool:
    """Whether two `config.json` describe one training, perhaps on other devices.

    A run that began on a GPU may go on on another machine. An option that an earlier version
    lacked does not tell them apart as long as it is not used.
    """
    names = (one.keys() | other.keys()) - set(DEVICE_OPTIONS)
    return all((one.get(name) or None) == (other.get(name) or None) for name in names)


@functools.cache
def type_hints(options: type) -> dict:
    """Field -> type, of a class of options; to find them out takes milliseconds."""
    return typing.get_type_hints(options)


@dataclass(frozen=True)
class ScheduleOptions(Options):
    """Options of every model whose learning rate follows a schedule."""

    learning_rate: float | None = option("initial learning rate", above=0.0)
    schedule: str | None = option(
        "step: a tenth of the rate every 7 epochs; cosine: down to nothing, after a warm-up; "
        "constant",
        choices=("step", "cosine", "constant"),
    )
    patience: int | None = option(
        "epochs without a lower validation loss after which training stops; the best epoch counts",
        minimum=1,
    )


def mixup_option():
    """The flag of models that can learn from blended samples."""
    return option(
        "blend training samples, and their labels, in pairs (mixup): alpha of the Beta "
        "distribution of their shares, such as 0.2; 0 for none",
        minimum=0.0,
    )


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _metavar(field, kind):
    choices = field.metadata["choices"]
    return "{" + ",".join(choices) + "}" if choices else {int: "N", float: "X"}.get(kind, "TEXT")


def _plain_type(annotation):
    """The type without its `| None`."""
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation


def _checked(field, annotation, value):
    if value is None and _plain_type(annotation) is not annotation:
        return None
    name, kind, limits = flag(field.name), _plain_type(annotation), field.metadata
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{name} {value}: a value of type {kind.__name__} is needed")
    if limits["choices"] and value not in limits["choices"]:
        raise InputError(f"{name} {value}: take one of {', '.join(limits['choices'])}")
    if limits["minimum"] is not None and not value >= limits["minimum"]:
        raise InputError(f"{name} {value}: at least {limits['minimum']} is needed")
    if limits["maximum"] is not None and not value <= limits["maximum"]:
        raise InputError(f"{name} {value}: at most {limits['maximum']} is possible")
    if limits["above"] is not None and not limits["above"] < value < float("inf"):
        raise InputError(f"{name} {value}: a finite number above {limits['above']} is needed")
    return value


def split_as_told(table: Table, options: Options) -> Division:
    """All samples of a table, split by the rule or the fold that the options name."""
    table = grouped(table, options.group)
    splits = split_table(table, options.split_rule, options.seed, options.tested_fold())
    return Division(table, splits)
