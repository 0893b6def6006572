"""NN1 with a hundredth of its weights."""


def make_nn1_small(patch) -> None:
    """Let both networks of NN1 be small, and those of demonstrations train for four epochs.

    Args:
        patch: pytest.MonkeyPatch.
    """
    from models.emotion.nn1 import NN1Options  # here, as conftest.py must not load Keras

    patch.setattr("models.emotion.nn1.COMBINATIONS", 16)
    patch.setattr("models.emotion.nn1.STAGES", (1, 2))
    patch.setitem(NN1Options.PRESETS["recommended"], "width", 8)
    patch.setattr(NN1Options, "SYNTHETIC_RECOMMENDED", {"epochs": 4, "width": 8})
