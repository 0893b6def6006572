"""Training rank by rank: heads of a network, and phases that hand their weights down.

Paper 001, sections 3.2 and 4. A head is a final layer for the taxa of one rank; beside each there
may be one of the auxiliary classifier. Each phase trains one rank's heads and all of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from datasets.errors import InputError
from datasets.taxonomy import Taxonomy
from models.species.transfer import handed_down
from models.whitening import CentroidDense
from training.losses import SmoothedCrossEntropy
from training.objectives import AuxiliaryObjective
from training.phases import Phase
from training.schedules import schedule, stepwise

# Learning rates and, in half passes, how long each is used: at the coarse ranks, at the finest.
# Paper 001, section 4: the baseline, two views, two views with transfer. E3 as it is printed ends
# at 0.001, a slip by analogy with the others (spec 001, 1f).
EXPERIMENTS = {
    "E1": ((), ((1e-2, 6), (1e-3, 4), (1e-4, 2))),
    "E2": ((), ((1e-1, 4), (1e-2, 3), (1e-3, 1), (1e-4, 1))),
    "E3": (((1e-1, 3),), ((1e-1, 2), (1e-2, 2), (1e-3, 1), (1e-4, 1))),
    "E3-as-printed": (((1e-1, 3),), ((1e-1, 2), (1e-2, 2), (1e-3, 2))),
}
HEAD_EPOCHS, HEAD_RATE = 5, 3e-3  # of a head that trains alone, from the centroids
AUXILIARY_WIDTHS = (128, 768)  # of its two convolutions (Szegedy et al. 2017, as in TF-Slim)


@dataclass(frozen=True)
class Heads:
    """The final layers of a network, one for each rank that is trained.

    Attributes:
        taxonomy: of the classes.
        first: depth of the coarsest rank that is trained.
        auxiliary: whether an auxiliary classifier is trained beside them.
        from_centroids: whether the first rank's layer begins at the centroids of its taxa.
    """

    taxonomy: Taxonomy
    first: int
    auxiliary: bool
    from_centroids: bool = False

    @property
    def depths(self) -> range:
        """Depths of the trained ranks, from coarse to fine."""
        return range(self.first, len(self.taxonomy.ranks) + 1)

    def name(self, depth: int) -> str:
        """The output, and the layer, of a rank."""
        finest = depth == len(self.taxonomy.ranks)
        return "probabilities" if finest else f"rank_{self.taxonomy.ranks[depth - 1]}"

    def auxiliary_name(self, depth: int) -> str:
        """The output of the auxiliary classifier for a rank."""
        return f"auxiliary_{self.name(depth)}"

    def outputs(self, features, auxiliary_features) -> dict:
        """Name -> probabilities (batch, taxa), of all ranks."""
        found = {}
        for depth in self.depths:
            taxa = len(self.taxonomy.names[depth - 1])
            name, kind = self.name(depth), CentroidDense if self.from_centroids else layers.Dense
            found[name] = kind(taxa, activation="softmax", dtype="float32", name=name)(features)
            if self.auxiliary:
                name = self.auxiliary_name(depth)
                found[name] = layers.Dense(taxa, activation="softmax", dtype="float32", name=name)(
                    auxiliary_features
                )
        return found

    def hand_down(self, upper: int, lower: int, mix: float, seed: int):
        """(network) -> None: the heads of a rank begin with what those above have learnt."""
        pairs = [(self.name(upper), self.name(lower))]
        if self.auxiliary:
            pairs.append((self.auxiliary_name(upper), self.auxiliary_name(lower)))

        def begin(network):
            for number, (above, below) in enumerate(pairs):
                kernel, bias = network.get_layer(above).get_weights()
                parents = self.taxonomy.parents[lower - 1]
                weights = handed_down(kernel, bias, parents, mix, seed=(seed, lower, number))
                network.get_layer(below).set_weights(weights)

        return begin


def first_depth(taxonomy: Taxonomy, start_rank: str | None) -> int:
    """Depth of the rank that is trained first.

    Args:
        taxonomy: of the classes.
        start_rank: its name; `none` for the finest; None for the one above the finest, if any.

    Raises:
        InputError: there is no such rank.
    """
    finest = len(taxonomy.ranks)
    if start_rank is None:
        return max(1, finest - 1)
    if start_rank == "none":
        return finest
    try:
        return taxonomy.depth_of(start_rank)
    except InputError as error:
        raise InputError(f"--start-rank: {error}; none trains the finest rank alone") from None


def auxiliary_features(feature_map, width: float):
    """(batch, h, w, channels) -> (batch, features), by two convolutions over the whole map.

    Szegedy et al. 2017 (AAAI), in the sizes of TF-Slim's `inception_resnet_v2`: 5x5 averages every
    3 places, 128 channels, then 768 that see all of the map. A small map is not averaged.
    """
    narrow, wide = (max(1, round(width * channels)) for channels in AUXILIARY_WIDTHS)
    seen = feature_map
    if min(seen.shape[1:3]) > 5:
        seen = layers.AveragePooling2D(5, 3, name="auxiliary_averages")(seen)
    for name, channels, size in (
        ("auxiliary_narrow", narrow, 1),
        ("auxiliary_wide", wide, seen.shape[1:3]),
    ):
        seen = layers.Conv2D(channels, size, use_bias=False, name=name)(seen)
        seen = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(seen)
        seen = layers.ReLU(name=f"{name}_relu")(seen)
    return layers.Flatten(name="auxiliary_features")(seen)


def rank_phases(options, heads: Heads, counts: np.ndarray, shared: dict) -> tuple[Phase, ...]:
    """One phase per rank, from the coarsest trained to the finest, and perhaps one of its head.

    Args:
        options: MultiViewOptions.
        heads: of the network.
        counts: (species,) training samples of each.
        shared: what all phases are told.

    Raises:
        InputError: the epochs do not suffice for all ranks.
    """
    phases, above = [], None
    told = zip(heads.depths, _rates(options, len(heads.depths)), strict=True)
    for depth, (epochs, rate, callbacks) in told:
        loss = _loss(options, heads.taxonomy.ancestors[depth], counts)
        handing = above and heads.hand_down(above, depth, options.mix, options.seed)
        phases.append(
            Phase(
                name=heads.taxonomy.ranks[depth - 1],
                epochs=epochs,
                optimizer=_optimizer(options, rate),
                output=heads.name(depth),
                classes=heads.taxonomy.ancestors[depth],
                begin=handing,
                callbacks=callbacks,
                loss=loss,
                objective=_objective(options, heads, depth, loss),
                mixup=options.mixup or 0.0,
                **shared,
            )
        )
        above = depth
    if heads.from_centroids:
        phases.append(_head_again(options, heads, loss, shared))
    return tuple(phases)


def _head_again(options, heads: Heads, loss, shared: dict) -> Phase:
    """The finest rank's head anew, on what the trained network makes of the pictures as they are.

    Larger ones than it was trained on, and not cut: objects that look larger in random crops are
    told best so (Touvron et al. 2019, NeurIPS, section 4).
    """
    name = heads.name(heads.depths[-1])
    return Phase(
        name="head",
        epochs=HEAD_EPOCHS,
        optimizer=keras.optimizers.AdamW(HEAD_RATE),
        output=name,
        trainable=(name,),
        learn_again=True,
        callbacks=schedule("cosine", HEAD_RATE, HEAD_EPOCHS, None),
        loss=loss,
        **shared | {"augment": None, "sampling": None, "keep_best": None},
    )


def _loss(options, taxon_of: np.ndarray, counts: np.ndarray) -> SmoothedCrossEntropy:
    """The loss of a rank.

    Args:
        options: MultiViewOptions.
        taxon_of: (species,) taxon of that rank that each belongs to.
        counts: (species,) training samples of each.
    """
    prior = None
    if options.long_tail == "adjusted":
        prior = np.bincount(taxon_of, weights=np.maximum(counts, 1))
        prior = prior / prior.sum()
    return SmoothedCrossEntropy(options.label_smoothing or 0.0, prior)


def _objective(options, heads: Heads, depth: int, loss) -> AuxiliaryObjective | None:
    if not heads.auxiliary:
        return None
    return AuxiliaryObjective(heads.auxiliary_name(depth), options.auxiliary, loss)


def _optimizer(options, rate: float):
    if options.preset == "paper":
        return keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999, epsilon=1.0)
    return keras.optimizers.AdamW(rate)


def _rates(options, ranks: int) -> list[tuple]:
    """Epochs, first learning rate and callbacks of each rank that is trained."""
    if options.preset == "paper" or options.experiment:
        return _published(options, ranks)
    coarse = (options.rank_epochs or 0) * (ranks - 1)
    if coarse >= options.epochs:
        raise InputError(
            f"--epochs {options.epochs} leaves none for the finest rank: {ranks - 1} above it take "
            f"{options.rank_epochs} each; give more, or a finer --start-rank"
        )
    lengths = [options.rank_epochs] * (ranks - 1) + [options.epochs - coarse]
    rate = options.learning_rate
    return [
        (epochs, rate, schedule(options.schedule, rate, epochs, options.patience))
        for epochs in lengths
    ]


def _published(options, ranks: int) -> list[tuple]:
    coarse, finest = EXPERIMENTS[published(options, ranks)]
    stretches = [coarse or finest] * (ranks - 1) + [finest]
    lengths = [sum(length for _, length in parts) for parts in stretches]
    epochs = options.epochs or sum(lengths)
    shares = [max(1, round(epochs * length / sum(lengths))) for length in lengths]
    return [
        (share, parts[0][0], (stepwise(parts, share),))
        for share, parts in zip(shares, stretches, strict=True)
    ]


def published(options, ranks: int) -> str:
    """The experiment of paper 001 whose learning rates are used."""
    if options.experiment:
        return options.experiment
    if ranks > 1:
        return "E3"
    return "E1" if options.views == "whole" else "E2"
