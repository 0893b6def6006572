"""A training of FinalNN that is interrupted while one of its branches is trained."""

import keras
import pytest

from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from tests.typed import typed

pytestmark = pytest.mark.usefixtures("small_nn1")


def test_a_fusion_interrupted_in_a_branch_goes_on_there(
    capsys, caplog, tmp_path, monkeypatch, few_faces
):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr("models.artefact.write_report", lambda *_: None)
    monkeypatch.setattr("models.artefact.write_savedmodel", lambda *_: None)
    monkeypatch.setitem(NN2.Options.PRESETS["recommended"], "epochs", 1)
    prepare = NN1.prepareModel

    def interrupted(model):
        def stop(epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt

        prepare(model)
        stopper = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
        phase = model.phases[0]
        object.__setattr__(phase, "callbacks", (*phase.callbacks, stopper))

    words = ["--model", "FinalNN", "--epochs", "1", "--out", str(tmp_path), "--run", "it"]
    monkeypatch.setattr(NN1, "prepareModel", interrupted)
    code, _, _ = typed(capsys, *words)
    assert code == 130
    assert caplog.messages[-1].endswith("--run it --resume")
    assert (tmp_path / "NN1" / ".it.partial").exists()
    monkeypatch.setattr(NN1, "prepareModel", prepare)
    code, _, _ = typed(capsys, *words, "--resume")
    assert code == 0
    assert not list(tmp_path.rglob(".*"))
    history = (tmp_path / "NN1" / "it" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + NN1.Options.SYNTHETIC_RECOMMENDED["epochs"]
