"""Paper 004, section 5.4.2: does a stronger face network make the fusion ignore the landmarks?"""

from training.recipes import Recipe, Row

RECIPE = Recipe(
    title="What each modality is worth to the fusion (paper 004, section 5.4.2)",
    rows=(
        Row("NN1", "NN1"),
        Row("NN2", "NN2"),
        Row(
            "FinalNN on NN1",
            "FinalNN",
            {"combine": "features"},
            {"image_run": "NN1", "landmark_run": "NN2"},
        ),
        Row("residual NN1", "NN1", {"network": "residual", "learning_rate": 1e-3}),
        Row(
            "FinalNN on residual NN1",
            "FinalNN",
            {"combine": "features"},
            {"image_run": "residual NN1", "landmark_run": "NN2"},
        ),
    ),
    seeds=(0,),
    differs=("the paper names the effect without figures, so there is nothing to subtract from."),
    findings="models.emotion.findings:modality_drops",
    shared={"preset": "paper"},
    full={"preset": "paper"},
    quick={"epochs": 2},
)
