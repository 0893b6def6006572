"""Paper 003, tables 1 to 5: two networks on two and four species of clownfish, and "other"."""

from training.recipes import Recipe, Row


def _row(name: str, model: str, species: int, epochs: int, right: int, n: int, **more) -> Row:
    """A row; epochs as in the authors' code, right answers on n validation pictures."""
    return Row(
        name,
        model,
        {"preset": "paper", "species": str(species), "epochs": epochs, **more},
        paper={"validation": (right, n)},
        classes=species + ("other" in more),
    )


RECIPE = Recipe(
    title="Species of clownfish from photographs (paper 003, tables 1 to 5)",
    rows=(
        _row("RI2", "Net96", 2, 50, 72, 84),
        _row("TL2", "TransferCNN", 2, 30, 81, 84),
        _row("RI4", "Net96", 4, 50, 82, 123),
        _row("TL4", "TransferCNN", 4, 25, 110, 123),
        _row("TL4.2", "TransferCNN", 4, 50, 141, 201, other=True),
    ),
    seeds=(0, 1, 2),
    differs=(
        "the paper's photographs are not published as a set, and its validation pictures "
        "are not listed; here copies and look-alikes stay on one side of the split. On "
        "the demonstration set TransferCNN has no pretrained weights, so nothing is "
        "transferred."
    ),
    findings="models.clownfish.findings:tables",
    compared=("RI2", "TL2", "RI4", "TL4", "TL4.2"),
    quick={"epochs": 2},
    one_table=True,
)
