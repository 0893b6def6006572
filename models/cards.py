"""Cards of runs and exports: Markdown from the templates beside this file."""

from __future__ import annotations

from pathlib import Path

import jinja2

from training.baselines import p_text
from training.distribution import setting_text


def render(template: str, **values) -> str:
    """A filled-in template of `models/templates`.

    Raises:
        jinja2.UndefinedError: it names a value that was not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"p_text": p_text, "setting_text": setting_text, "bounded": _bounded}
    return environment.get_template(template).render(**values)


def _bounded(share: float, bounds) -> str:
    """A share in percent with its interval."""
    return f"{100 * share:.1f} % ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"
