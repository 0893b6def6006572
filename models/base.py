"""NNModel: the five steps every model of the zoo goes through.

    model = NN1(NN1.Options(epochs=2))
    model.loadData()
    model.createArchitecture()
    model.prepareModel()
    model.train()
    folder = model.save()

The steps and their names are those of paper 004, section 5.3.2.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, final

import keras
import numpy as np

from datasets import load_table, pipelines
from datasets.base import Division, Splits, Table
from datasets.errors import InputError
from models import artefact, drafts, rules
from models.about import about_of
from models.explanation.anatomy import Anatomy
from models.explanation.means import training_means
from models.explanation.mistakes import ExplainedMistakes
from models.modality_drops import modality_drops
from models.options import Options, split_as_told
from models.refit import NOTE as REFIT_NOTE
from models.refit import check_refit, untrained_twin
from models.run_baselines import baseline_views, compare_run
from models.run_report import draw_confusions
from models.runs import read_json
from models.species.depth_figures import readable_result
from models.steps import SetBy
from training import distribution, processes, reports
from training.calibration import Calibration, calibrate
from training.epochs import compute, compute_in_pieces
from training.evaluation import Result, evaluate
from training.frozen_outputs import through_frozen
from training.phases import Phase, Pipelines, train_phases

PIPELINES = Pipelines(
    pipelines.training_pipeline, pipelines.judging_pipeline, pipelines.view_pipeline
)
OUTPUTS = ("features", "embedding", "probabilities")


class NNModel(abc.ABC):
    """A network with its data, its training and its saved run.

    A model of the zoo gives an options class, its inputs, and three methods: `loadData` sets
    `table` and `splits` (by `split_table` or `use_data`), `createArchitecture` sets `model`,
    `prepareModel` sets `phases`. Reading one of them too early raises `StepOrderError`.

    Attributes:
        options: what the model was told.
        table: the samples.
        splits: rows of the training, validation and test part.
        others: samples of no class, for judging "none of these"; None if there are none.
        labels: class names in index order.
        model: a functional `keras.Model` from the named, fitted inputs to a dictionary with the
            outputs `features`, `embedding` and `probabilities`.
        phases: the training, as data.
        folder: of the saved run.
        notes: lines for the card and the report.
    """

    Options: ClassVar[type[Options]]
    inputs: tuple  # records of `models.inputs`: of the class, or made from the options
    divide: ClassVar[Callable[[Table, Options], Division]] = staticmethod(split_as_told)
    backbone = None  # models.backbones.Backbone, where the network begins with one
    taxonomy = None  # datasets.taxonomy.Taxonomy, where the classes are the leaves of one
    anatomy: Anatomy = Anatomy()  # where an explanation looks, as far as it cannot be inferred
    groups: Mapping = MappingProxyType({})  # task -> datasets.artist_groups.ArtistGroups

    table: Table = SetBy("loadData()")
    splits: Splits = SetBy("loadData()")
    labels: tuple[str, ...] = SetBy("loadData() or loadModel()")
    model: keras.Model = SetBy("createArchitecture() or loadModel()")
    phases: tuple[Phase, ...] = SetBy("prepareModel()")
    folder: Path = SetBy("save() or loadModel()")
    _draft: Path = SetBy("train()")

    def __init__(self, options: Options | None = None, out="saved_models", run: str | None = None):
        self.options = options or self.Options()
        self.out = Path(out).expanduser()
        self.run = run or datetime.now().strftime("%Y%m%d-%H%M%S")
        self.others: Table | None = None
        self.notes: list[str] = []
        self._started = datetime.now(UTC)

    @abc.abstractmethod
    def loadData(self) -> None:
        """Read the table of samples and split it: sets `table` and `splits`."""

    @abc.abstractmethod
    def createArchitecture(self) -> None:
        """Build the network: sets `model`. Layers, wiring, named outputs."""

    @abc.abstractmethod
    def prepareModel(self) -> None:
        """Describe the training: sets `phases`."""

    def finished(self, network: keras.Model) -> keras.Model:
        """What is judged and kept of a trained network: perhaps more than was trained."""
        return network

    def read_table(self, name: str, data_dir: str | None, strict: bool = True) -> Table:
        """The samples of a data set with what this model sees of them.

        Args:
            name: one of `datasets.DATASETS`.
            data_dir: where the user's data lie; None for a synthetic set.
            strict: refuse labels that the data set does not know; else keep them as unknown.
        """
        return load_table(name, data_dir, tuple(record.name for record in self.inputs), strict)

    @property
    def is_loaded(self) -> bool:
        """Whether this is a saved run (or has become one)."""
        return "folder" in vars(self)

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    @final
    def split_table(self, table: Table) -> None:
        """Take a table, and divide it as the options say."""
        division = self.divide(table, self.options)
        self.others = division.others
        self.use_data(division.table, division.splits)

    @final
    def use_data(self, table: Table, splits: Splits) -> None:
        """Take samples that are already in memory and split.

        Raises:
            InputError: this is a loaded run, and its samples or its split were others: its
                training samples might be judged as test samples.
        """
        if self.is_loaded:
            expected = read_json(self.folder, "metadata.json")["split"]
            if splits.fingerprint(table) != expected:
                raise InputError(
                    f"the data of {self.folder} have changed since it was trained, so its split "
                    "cannot be rebuilt: restore them, or judge the new data with --data-dir"
                )
        self.table, self.splits, self.labels = table, splits, table.labels
        if not self.is_loaded:
            decisions = rules.decide(self.options, len(splits.train), len(table.labels))
            self.options = rules.decided(self.options, decisions)
            self.notes += [f"chosen by itself: {decision}" for decision in decisions]
        self.seed_weights()

    @final
    def seed_weights(self) -> None:
        """Make what is built from here on depend on the options alone: its chance, its devices."""
        if not self.is_loaded:
            distribution.begin(self.options.precision, self.options.distribute)
        keras.utils.set_random_seed(self.options.seed)

    @final
    def train(self, resume: bool = False) -> None:
        """Train all phases. An interrupted training leaves a draft that `resume` goes on from.

        Raises:
            StepOrderError: a step before this one has not been called.
            InputError: the run exists already, or a draft of it does and `resume` is off.
            ArithmeticError: the loss became NaN or infinite.
            DeviceError: another process of the training has ended, or has other data.
        """
        _ = self.splits, self.model, self.phases
        if self.options.refit:
            check_refit(self)
        processes.check_same(self.splits.fingerprint(self.table), "data, or another split of them,")
        self._draft = drafts.begin_draft(
            self.out, self.name(), self.run, self.options.to_json(), resume
        )
        self._views = baseline_views(self, PIPELINES)  # before the backbone is fine-tuned
        try:
            self._train(self._draft, self.name())
            self._unseen = self.outputs(self.table.take(self.splits.validation))
            if self.options.refit:
                twin = untrained_twin(self)
                twin._train(self._draft / drafts.REFIT, f"{self.name()} again,")
                self.model = twin.model
                self.notes.append(REFIT_NOTE)
        except ArithmeticError:
            drafts.drop_draft(self._draft)
            raise
        except processes.LostProcessError:
            if not processes.is_first():  # whose draft is gone on with
                drafts.drop_draft(self._draft)
            raise

    def _train(self, folder: Path, title: str) -> None:
        """Train all phases on the training part; what is needed to go on is kept in `folder`."""
        folder.mkdir(exist_ok=True)
        network, rows = self.model, self.splits.train
        distribution.synchronise(network)
        train_phases(
            network,
            self.phases,
            (self._stored(self.table.take(rows)), self.table.targets[rows]),
            self._arrays("validation"),
            PIPELINES,
            self._fit,
            seed=self.options.seed,
            folder=folder,
            title=title,
            tensorboard=self.options.tensorboard,
        )
        # Outputs that only the training needed, such as those of coarser ranks, stay behind.
        kept = {name: network.output[name] for name in OUTPUTS}
        whole = keras.Model(network.input, kept, name=network.name)
        self.model = self.finished(distribution.settled(whole))

    @final
    def save(self) -> Path:
        """Judge the trained network and write the run: whole, or not at all.

        Returns:
            The folder of the run, `OUT/MODEL/RUN`.

        Raises:
            StepOrderError: the model has not been trained.
        """
        draft = self._draft
        outputs = {
            part: self._unseen
            if part == "validation"
            else self.outputs(self.table.take(self.splits[part]))
            for part in self.splits.parts()
        }
        answers = {part: found["probabilities"] for part, found in outputs.items()}
        truth = {part: self.table.targets[self.splits[part]] for part in outputs}
        others = None if self.others is None else self.judge(self.others)
        run = artefact.Run(
            model=self.name(),
            network=self.raw_input_model(),
            inputs=self.inputs,
            options=self.options.to_json(),
            command=self.options.command(self.name()),
            table=self.table,
            splits=self.splits,
            results={part: evaluate(answers[part], truth[part], self.labels) for part in truth},
            probabilities=answers,
            embeddings=outputs["train"]["embedding"],
            calibration=calibrate(answers["validation"], truth["validation"]),
            other_probabilities=others,
            modality_drop=modality_drops(self),
            baselines=compare_run(self._views, self.table, self.splits, answers, self.options.seed),
            notes=tuple(self.notes),
            taxonomy=self.taxonomy,
            trained_on=self.learnt_parts(),
            groups=dict(self.groups),
            about=about_of(type(self)),
            mistakes=ExplainedMistakes(self),
            means=training_means(self, outputs["train"]),
            started=self._started,
        )
        self.folder = artefact.write_run(draft, run)
        del vars(self)["_draft"], vars(self)["_unseen"]
        return self.folder

    @classmethod
    @final
    def loadModel(cls, folder) -> NNModel:
        """A trained model from the folder of its run, ready to predict.

        Raises:
            InputError: no whole run of this model lies there.
        """
        folder = Path(folder)
        artefact.verify_run(folder, cls.name())
        options = cls.Options.from_json(read_json(folder, "config.json"))
        model = cls(options, folder.parent.parent, folder.name)
        model.model = artefact.load_network(folder)
        model.labels = tuple(read_json(folder, "labels.json"))
        model.folder = folder
        return model

    @final
    def evaluateOnValid(self) -> Result:
        """Judge the network on the validation part.

        Raises:
            InputError: it was trained on that part in the end.
        """
        return self._judge("validation")

    @final
    def evaluateOnTest(self) -> Result:
        """Judge the network on the test part."""
        return self._judge("test")

    @final
    def learnt_parts(self) -> tuple[str, ...]:
        """Parts of the split that the network which is kept was trained on."""
        return ("train", "validation") if self.options.refit else ("train",)

    @final
    def judge(self, table: Table) -> np.ndarray:
        """Class probabilities, (samples, classes), of the samples of a table."""
        return self.outputs(table)["probabilities"]

    @final
    def outputs(self, table: Table) -> dict[str, np.ndarray]:
        """`probabilities`, `embedding` and of fused networks `features` of a table, row by row."""
        names = ("probabilities", "embedding") + ("features",) * bool(self.anatomy.parts)
        return compute_in_pieces(
            self.model, self._stored(table), self._fit, PIPELINES, names, self._how_to_compute()
        )

    @final
    def fitted(self, table: Table) -> dict[str, np.ndarray]:
        """The inputs of the network for the samples of a table: name -> (samples, ...)."""
        return self._fit(self._stored(table))

    @final
    def calibration(self) -> Calibration:
        """How far the confidence of the saved run can be relied on."""
        return Calibration.from_json(read_json(self.folder, "calibration.json"))

    @final
    def probabilities(self, arrays: dict) -> np.ndarray:
        """Class probabilities, (samples, classes), of fitted inputs."""
        return self._how_to_compute()(self.model, arrays, PIPELINES)["probabilities"]

    @final
    def predict(self, raw: dict) -> dict[str, np.ndarray]:
        """Outputs for raw inputs of one size, as the saved run takes them.

        Args:
            raw: input name -> array with the samples along the first axis.

        Returns:
            `probabilities` (samples, classes), `features` and `embedding` (samples, width).
        """
        outputs = self.raw_input_model()({name: np.asarray(value) for name, value in raw.items()})
        return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}

    @final
    def raw_input_model(self) -> keras.Model:
        """The network behind its preprocessing: takes raw inputs, returns the named outputs."""
        network = self.model  # what is missing first is named first
        raw = {record.name: record.raw_tensor() for record in self.inputs}
        fitted = {record.name: record.fit(raw) for record in self.inputs}
        return keras.Model(raw, network(fitted), name=self.name())

    @final
    def generatePlots(self, folder) -> list[Path]:
        """Draw accuracy, loss and learning rate over the epochs of the saved run."""
        return reports.plot_history(artefact.read_history(self.folder), Path(folder))

    @final
    def generateConfusionMatrices(self, folder) -> list[Path]:
        """Draw absolute, percent and row-normalised matrices of all parts.

        Of very many classes with a taxonomy, those of the finest rank that can be read.
        """
        parts = [part for part in self.splits.parts() if part not in self.learnt_parts()[1:]]
        results = {
            part: readable_result(*self._answer(part), self.labels, self.taxonomy) for part in parts
        }
        drawn = draw_confusions(results, Path(folder), self.name())
        return [path for kinds in drawn.values() for path in kinds.values()]

    def _how_to_compute(self) -> Callable:
        return compute if self.is_loaded else through_frozen(self.model)

    def _stored(self, table: Table) -> dict:
        return {record.name: table.modalities[record.name] for record in self.inputs}

    def _fit(self, stored: dict) -> dict[str, np.ndarray]:
        return {record.name: record.fitted(stored[record.name]) for record in self.inputs}

    def _arrays(self, part: str) -> tuple[dict, np.ndarray]:
        rows = self.splits[part]
        return self.fitted(self.table.take(rows)), self.table.targets[rows]

    def _answer(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        table = self.table.take(self.splits[part])
        return self.judge(table), table.targets

    def _judge(self, part: str) -> Result:
        if part in self.learnt_parts()[1:]:
            raise InputError(
                f"the {part} part was trained on in the end (--refit): what the network did before "
                "that stands in metrics.json"
            )
        return evaluate(*self._answer(part), self.labels)
