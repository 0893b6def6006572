"""What several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets, for tests marked `real`."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MENAGERIE_DATA") or beside)
    if not folder.is_dir():
        pytest.fail(f"no real data in {folder}: set MENAGERIE_DATA to their folder")
    return folder
