"""Is the landmark-quality score of use? NN2 trained without it, weighted by it, filtered by it."""

from training.recipes import Recipe, Row

RECIPE = Recipe(
    title="NN2 and the quality of its landmarks",
    rows=(
        Row("NN2", "NN2"),
        Row("NN2, weighted by quality", "NN2", {"landmark_quality": "weight"}),
        Row("NN2, worst tenth left out", "NN2", {"landmark_quality": "filter"}),
    ),
    seeds=(0, 1, 2),
    differs=("the paper has no such table; the question comes from its section on data."),
    findings="models.emotion.findings:quality_quarters",
    shared={"preset": "paper"},
    full={"preset": "paper"},
    quick={"epochs": 2},
)
