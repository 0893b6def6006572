"""Paper 000, figure 4: what measurements, triplets and kinship add to a picture."""

from training.recipes import Recipe, Row


def _row(name: str, **options) -> Row:
    return Row(name, "TripletClassifier", options)


RECIPE = Recipe(
    title="Four configurations of the multimodal triplet classifier (paper 000, figure 4)",
    rows=(
        _row("images", measurements="none", triplet="none"),
        _row("images and measurements", triplet="none"),
        _row("with triplet loss", triplet="fixed"),
        _row("with dynamic margin", triplet="dynamic"),
    ),
    folds=5,
    differs=(
        "the paper's snails are not published; its accuracies are means over five folds "
        "that are drawn in a figure, and no row states one."
    ),
    findings="models.snails.findings:four_configurations",
    shared={"image_size": 96, "epochs": 30, "backbone": "mobilenet_v2_035"},
    demonstration={},  # without pretrained weights all of the backbone trains: as its own defaults
    full={"preset": "paper"},
    quick={"epochs": 2},
)
