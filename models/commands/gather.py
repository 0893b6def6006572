"""`run.py gather`: fetch pictures of species into class folders, with a manifest."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasets.downloads import LICENCES, MANIFEST, PictureRecord, Summary, gather, licence_code
from datasets.errors import InputError
from datasets.fish_pages import read_pages
from datasets.gbif import read_archive
from datasets.taxonomy_files import write_observations
from datasets.web import Fetcher, Manners
from models.commands.parser import Parser, print_json, user_path

SOURCES = ("gbif", "fishbase", "fishpix")


def run(words: list[str]) -> int:
    parser = Parser("gather", "Fetch pictures of species into class folders, with a manifest.")
    parser.add_argument("source", metavar="SOURCE", choices=SOURCES, help=", ".join(SOURCES))
    parser.add_argument(
        "places",
        metavar="PLACE",
        nargs="+",
        help="gbif: archives from GBIF (.zip or folder); else saved pages of results, or addresses",
    )
    parser.add_argument(
        "--to", type=user_path, required=True, help="folder of the class folders and the manifest"
    )
    parser.add_argument(
        "--rate", type=_seconds, default=1.0, help="seconds between two requests to a host (1)"
    )
    parser.add_argument("--limit", type=_number, help="fetch no more than this many pictures")
    parser.add_argument(
        "--licences", type=_licences, help=f"only these, with commas between: {', '.join(LICENCES)}"
    )
    parser.add_json()
    arguments = parser.parse(words, "gather")
    left_out: Counter = Counter()
    with Fetcher(Manners(rate=arguments.rate)) as fetcher:
        records = _records(arguments.source, arguments.places, fetcher)
        records = _licensed(records, arguments.licences or LICENCES, left_out)
        records = itertools.islice(records, arguments.limit)
        first = next(records, None)  # a mistake shows before anything is written
        if first is None:
            raise InputError(_nothing_listed(arguments.places, left_out))
        try:
            summary = gather(itertools.chain([first], records), arguments.to, fetcher)
        except KeyboardInterrupt:
            print("\nthe same command goes on where this one stopped", file=sys.stderr)
            raise
    if not summary.had():
        _, address, reason = summary.failures[0]
        raise InputError(
            f"none of {len(summary.failures)} pictures could be fetched (the first, {address}: "
            f"{reason}): see the column status of {arguments.to / MANIFEST}"
        )
    table = None
    if arguments.source == "gbif":
        table = write_observations(arguments.places, arguments.to)
    _report(summary, left_out, arguments, table)
    return 0


def _records(source: str, places: list[str], fetcher: Fetcher) -> Iterator[PictureRecord]:
    for place in places:
        yield from read_archive(place) if source == "gbif" else read_pages(source, place, fetcher)


def _licensed(
    records: Iterable[PictureRecord], accepted: tuple[str, ...], left_out: Counter
) -> Iterator[PictureRecord]:
    for record in records:
        code = licence_code(record.licence)
        if code in accepted:
            yield record
        else:
            left_out[code] += 1


def _nothing_listed(places: list[str], left_out: Counter) -> str:
    if left_out:
        return (
            f"no picture of {', '.join(places)} has a licence that --licences names: there are "
            f"{_counted(left_out)}"
        )
    return (
        f"{', '.join(places)} lists no picture of a species: check that the download or the page "
        "holds occurrences with pictures, named down to the species"
    )


def _report(
    summary: Summary, left_out: Counter, arguments: argparse.Namespace, table: Path | None
) -> None:
    manifest = arguments.to / MANIFEST
    if arguments.json:
        print_json(
            {
                "folder": str(arguments.to),
                "manifest": str(manifest),
                "observations": None if table is None else str(table),
                "fetched": summary.fetched,
                "present": summary.present,
                "failed": [
                    {"label": label, "address": address, "reason": reason}
                    for label, address, reason in summary.failures
                ],
                "labels": dict(summary.labels),
                "licences": dict(summary.licences),
                "left_out": dict(left_out),
            }
        )
        return
    print(
        f"{arguments.to}: {summary.fetched} fetched, {summary.present} there already, "
        f"{len(summary.failures)} failed"
    )
    print(f"species: {_counted(summary.labels)}")
    print(f"licences: {_counted(summary.licences)}")
    if left_out:
        print(f"left out for their licence: {_counted(left_out)}")
    print(f"where each one came from: {manifest}")
    if table is not None:
        print(f"the taxa of each one: {table}")
    for label, address, reason in summary.failures:
        print(f"failed: {label}, {address}: {reason}")


def _counted(counts: Counter) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds from 0 on")
    return value


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


def _licences(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in LICENCES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"'{', '.join(unknown)}' is no licence: take some of {','.join(LICENCES)}"
        )
    return names
