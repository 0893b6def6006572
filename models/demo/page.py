"""The page: what is given, what is answered and why, and batches. Gradio draws it."""

from __future__ import annotations

import logging
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

# Before Gradio is imported: it would ask its makers' server for news, and count its starts.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

from datasets.errors import InputError
from datasets.sheets import TABLE_SUFFIXES
from models.commands.parser import percent
from models.commands.predict import box_of
from models.demo.answering import Answerer, OneAnswer
from models.demo.uploads import kinds_of, without_places
from models.runs import read_json

FONTS = ("system-ui", "sans-serif")  # of the visitor's machine: no font is fetched from another
ROWS_SHOWN = 1000

log = logging.getLogger("menagerie")


def launch(answerer: Answerer, port: int, folder: Path) -> None:
    """Serve the page on this machine alone, until it is stopped.

    Args:
        answerer: of the run.
        port: to listen at.
        folder: for Gradio's copies of what is uploaded.

    Raises:
        OSError: the port is taken.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    build(answerer).queue(max_size=20, default_concurrency_limit=1).launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        show_error=True,  # only of `gr.Error`; others are told apart below
        quiet=True,
        max_file_size=answerer.limits.megabytes * 10**6,
        blocked_paths=[str(Path.cwd())],
        footer_links=[],
        ssr_mode=False,
        mcp_server=False,
        theme=gr.themes.Default(font=list(FONTS), font_mono=["monospace"]),
    )


def build(answerer: Answerer) -> gr.Blocks:
    """The page, not served yet."""
    folder = answerer.run.folder
    metadata = read_json(folder, "metadata.json")
    name = f"{folder.parent.name}/{folder.name}"
    with gr.Blocks(
        title=f"{name} - Menagerie", analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        gr.Markdown(
            f"# {name}\nTrained on {metadata['provenance']}. It knows "
            f"{len(read_json(folder, 'labels.json'))} classes, and answers about nothing else."
        )
        with gr.Tab("One"):
            _one(answerer)
        with gr.Tab("Many"):
            _many(answerer)
        with gr.Tab("About this run"):
            gr.Markdown((folder / "README.md").read_text(encoding="utf-8"))
    return page


def _one(answerer: Answerer) -> None:
    kinds = list(kinds_of(answerer.hears))
    first = "waveform" if answerer.hears else "image"
    views = (first, *answerer.further)
    files = [
        gr.File(label=_title(view), file_types=kinds, elem_id=view, height=140) for view in views
    ]
    names = [column.name for column in answerer.columns]
    row = gr.Dataframe(
        value=[[""] * len(names)],
        headers=names or ["none"],
        column_count=(max(1, len(names)), "fixed"),
        type="array",
        label="Its measurements, in the units of the training table; empty where missing",
        interactive=True,
        visible=bool(names),
        elem_id="measurements",
    )
    box = gr.Textbox(
        label="Box: x_min, y_min, x_max, y_max in pixels",
        visible=answerer.takes_box,
        elem_id="box",
    )
    button = gr.Button("Answer", variant="primary", elem_id="answer")
    with gr.Row():
        said = gr.Markdown(elem_id="said")
        classes = gr.Label(label="Most probable classes", visible=False, elem_id="classes")
    sheet = gr.Image(
        show_label=False,
        format="png",
        visible=False,
        elem_id="why",
        buttons=["download", "fullscreen"],
    )
    gallery = gr.Gallery(
        label="Most similar training specimens", columns=5, visible=False, elem_id="similar"
    )
    nearest = gr.Dataframe(
        headers=["class", "distance", "training specimen"], visible=False, elem_id="nearest"
    )

    def answer(row, box, *uploads):
        given = {view: Path(one) for view, one in zip(views, uploads, strict=True) if one}
        found = _told(lambda: answerer.one(given, _cells(row), _box(box)))
        prediction = found.prediction
        shares = {one["label"]: one["probability"] for one in prediction["top"]}
        lines = [
            [one["label"], round(one["distance"], 4), one["key"]] for one in prediction["nearest"]
        ]
        return (
            _words(found),
            gr.update(value=shares, visible=True),
            gr.update(value=found.sheet, visible=True),
            gr.update(value=found.pictures, visible=bool(found.pictures)),
            gr.update(value=lines, visible=bool(lines)),
        )

    button.click(
        answer,
        [row, box, *files],
        [said, classes, sheet, gallery, nearest],
        api_visibility="private",
    )


def _many(answerer: Answerer) -> None:
    kinds = list(kinds_of(answerer.hears))
    tables = [] if answerer.hears else list(TABLE_SUFFIXES)
    what = "recordings" if answerer.hears else "pictures"
    with_tables = "" if answerer.hears else " A table (.csv) goes with its pictures."
    gr.Markdown(
        f"Several {what}, or a .zip of them: up to {answerer.limits.files} files and "
        f"{answerer.limits.megabytes} MB, {answerer.limits.seconds} seconds.{with_tables}"
    )
    files = gr.File(
        label=f"{what.capitalize()}, or a .zip",
        file_count="multiple",
        file_types=[".zip", *tables, *kinds],
        elem_id="batch",
    )
    button = gr.Button("Answer all", variant="primary", elem_id="answer-all")
    said = gr.Markdown(elem_id="said-of-all")
    download = gr.DownloadButton("Download the answers (CSV)", visible=False, elem_id="download")
    table = gr.Dataframe(visible=False, elem_id="answers")

    def answer(uploads, progress=gr.Progress()):  # noqa: B008 (Gradio looks for it there)
        if not uploads:
            raise gr.Error("nothing was given: drop files first", print_exception=False)

        def told(count: int) -> None:
            progress((count, None), desc="answered", unit="files")

        found = _told(lambda: answerer.many([Path(one) for one in uploads], told))
        with NamedTemporaryFile(
            "w", prefix="answers-", suffix=".csv", dir=answerer.folder, delete=False
        ) as stream:
            found.table.to_csv(stream, index=False)
        lines = [f"**{len(found.table)} answers**"]
        if found.is_cut:
            lines.append(
                f"The time of {answerer.limits.seconds} seconds was over: the rest has no answer. "
                "Send less at once."
            )
        if found.unmeasured:
            lines.append(f"{found.unmeasured} came without measurements: training means stand in.")
        if found.undetected:
            lines.append(
                f"In {found.undetected} no face was detected: their landmarks are those of the "
                "whole picture."
            )
        lines += [f"- could not be read: `{line.replace('`', '')}`" for line in found.broken[:20]]
        if len(found.broken) > 20:
            lines.append(f"- and {len(found.broken) - 20} more")
        return (
            "\n\n".join(lines),
            gr.update(value=stream.name, visible=True),
            gr.update(value=found.table.head(ROWS_SHOWN).round(4), visible=True),
        )

    button.click(answer, [files], [said, download, table], api_visibility="private")


def _told(work: Callable):
    """What a function returns; a mistake is shown as one line, anything else without a word."""
    try:
        return work()
    except InputError as error:
        raise gr.Error(without_places(str(error)), print_exception=False) from None
    except Exception:
        log.exception("a request failed")
        raise gr.Error(
            "this could not be answered, and the reason is on the terminal of the page's owner",
            print_exception=False,
        ) from None


def _words(found: OneAnswer) -> str:
    prediction = found.prediction
    lines = [f"## {prediction['label']}"]
    if "taxon" in prediction:
        path = " > ".join(
            f"{step['taxon']} {percent(step['probability'])}" for step in prediction["path"]
        )
        lines += [
            f"{prediction['rank']}, {percent(prediction['probability'])} sure. "
            f"{prediction['reason'].capitalize()}.",
            path,
        ]
    else:
        lines.append(
            f"Of the answers that were as sure as this one on the validation part, "
            f"{percent(prediction['confidence'])} were right."
        )
    shares = prediction["explanation"].get("shares", {})
    if len(shares) > 1:
        weighed = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
        lines.append(f"It was based on: {weighed}.")
    if found.unmeasured:
        lines.append("No measurements were given: the means of the training specimens stand in.")
    if found.undetected:
        lines.append("No face was detected: the landmarks are those of the whole picture.")
    return "\n\n".join(lines)


def _title(view: str) -> str:
    return {"waveform": "A recording", "image": "A picture"}.get(view, view.replace("_", " "))


def _cells(row) -> list[str]:
    """The one row of a typed table, as text."""
    rows = [["" if cell is None else str(cell).strip() for cell in cells] for cells in row or []]
    rows = [cells for cells in rows if any(cells)]
    if len(rows) > 1:
        raise InputError("measurements: one row is needed; several specimens go into the batch")
    return rows[0] if rows else []


def _box(text: str) -> tuple[float, ...] | None:
    try:
        return box_of(text) if text and text.strip() else None
    except ArgumentTypeError as error:
        raise InputError(f"box: {error}") from None
