"""What a run can be exported to: how a network is written there, and asked there.

Whoever asks gives raw inputs, name -> (batch, ...), and gets `probabilities` (batch, classes) and
`embedding` (batch, width). The packages are imported when they are needed, and only then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras

from datasets.errors import InputError

OUTPUTS = ("probabilities", "embedding")
Answer = Callable[[dict], dict]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: its name in a sentence.
        runtime: what answers in that format.
        file: what is written; further files may lie beside it.
        packages: what must be installed, module -> its name for pip.
        write: (network, file) writes it.
        open: file -> what answers there.
    """

    title: str
    runtime: str
    file: str
    packages: dict[str, str]
    write: Callable[[keras.Model, Path], None]
    open: Callable[[Path], Answer]

    def check_installed(self) -> None:
        """Raises InputError where a package is missing."""
        missing = [name for module, name in self.packages.items() if find_spec(module) is None]
        if missing:
            raise InputError(
                f"{self.title} needs {' and '.join(missing)}: pip install -e '.[export]'"
            )


def _write_onnx(network: keras.Model, path: Path) -> None:
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    network.export(path, format="onnx", verbose=False, opset_version=OPSET)


def _open_onnx(path: Path) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda raw: dict(zip(OUTPUTS, session.run(OUTPUTS, raw), strict=True))


def _write_litert(network: keras.Model, path: Path) -> None:
    import tensorflow as tf

    # The interpreter of LiteRT alone has no operations of TensorFlow.
    own = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    network.export(path, format="litert", verbose=False, target_spec=own)


def _open_litert(path: Path) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    answer = Interpreter(str(path)).get_signature_runner()
    return lambda raw: answer(**raw)


def _write_openvino(network: keras.Model, path: Path) -> None:
    network.export(str(path), format="openvino", verbose=False)


def _open_openvino(path: Path) -> Answer:
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def answer(raw):
        found = model(raw)
        return {name: found[name] for name in OUTPUTS}

    return answer


OPSET = 18
FORMATS = {
    "onnx": Format(
        "ONNX",
        "ONNX Runtime",
        "model.onnx",
        {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
        _write_onnx,
        _open_onnx,
    ),
    "litert": Format(
        "LiteRT",
        "LiteRT",
        "model.tflite",
        {"ai_edge_litert": "ai-edge-litert"},
        _write_litert,
        _open_litert,
    ),
    "openvino": Format(
        "OpenVINO",
        "OpenVINO",
        "model.xml",
        {"openvino": "openvino"},
        _write_openvino,
        _open_openvino,
    ),
}
