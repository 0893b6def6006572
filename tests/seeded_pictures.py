"""What holds for the pictures of every synthetic set that is drawn from a seed."""

import subprocess
import sys
from pathlib import Path

from datasets.base import content_digest

ROOT = Path(__file__).resolve().parents[1]


def assert_seeded(module, samples):
    """One seed gives the same pictures in another process, another seed gives others."""
    script = f"from {module.__name__} import load; print(*load({samples}, seed=3).frame.digest)"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    here = module.load(samples, seed=3)
    assert run.stdout.split() == here.frame["digest"].tolist()
    assert here.frame["digest"].tolist() == [
        content_digest(one) for one in here.modalities["image"]
    ]
    other = module.load(samples, seed=4)
    assert not set(other.frame["digest"]) & set(here.frame["digest"])
