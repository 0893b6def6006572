"""What several test files share."""

import os
import socket
from pathlib import Path

import pytest

import datasets.web
import models  # noqa: F401 (before TensorFlow, for which it chooses the convolutions)
from datasets.synthetic import faces
from tests.local_server import Server
from tests.small_nn1 import make_nn1_small
from tests.undrawn import leave_undrawn


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets, for tests marked `real`."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MENAGERIE_DATA") or beside)
    if not folder.is_dir():
        pytest.fail(f"no real data in {folder}: set MENAGERIE_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def small_nn1():
    """NN1 of few weights, blocks and epochs: a training of seconds, most of them for its graph."""
    with pytest.MonkeyPatch.context() as patch:
        make_nn1_small(patch)
        yield


@pytest.fixture
def few_faces(monkeypatch):
    """A demonstration set of faces that is drawn at once."""
    small = faces.load(120)
    monkeypatch.setattr(faces, "load", lambda: small)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not drawn, which takes half of the time of a small run."""
    leave_undrawn(monkeypatch)


@pytest.fixture(scope="module")
def eager():
    """Very small networks train sooner than they are compiled."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def server(monkeypatch):
    resolve = socket.getaddrinfo

    def only_here(host, *arguments, **options):
        assert host in ("127.0.0.1", "localhost"), f"the test asks for {host}"
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """What was slept, instead of sleeping."""
    slept = []
    monkeypatch.setattr(datasets.web.time, "sleep", slept.append)
    return slept
