"""The pictures that pages of FishBase and FishPix show, saved as HTML or read from their address.

The layouts are those that published scrapers of both sites relied on (2018 to 2025); they were not
checked against the sites themselves, and a page laid out otherwise yields fewer pictures or none.

FishBase (`ThumbnailsSummary.php`, `PicturesSummary.php`): a picture is an `<img>` whose address
holds `/images/species/NAME`, `/images/thumbnails/.../tn_NAME` (the full picture is then
`/images/species/NAME`) or `/uploads/NAME`, bare or as the `s` of `workimagethumb.php?s=...`. What
follows it up to the next picture is its caption: the species in `<i>`, the photographer in a link
to `CollaboratorSummary`, a Creative Commons licence where there is one. A page whose captions name
no species is of the species that its address or its first `<i>`, title or heading names. GIFs are
left out: FishBase keeps drawings in them. Stamps and drawings in JPEG have to be removed by hand.

FishPix (`fishimage-e/search`, `fishimage-e/detail`, and the Japanese edition): a picture is an
`<img>` with `photos/NR0010/10004AI.jpg`; the full one ends in `AF.jpg`. The species stands after it
in `span.resultHelvetica`, `span.result` or `<b>`; `KPM-NR 10004` is its number. A search shows 20
hits of "N hits" from `START` on, so the next page is `START` further where no link leads there.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit

from bs4 import BeautifulSoup, NavigableString, Tag

from datasets.downloads import PictureRecord
from datasets.errors import InputError
from datasets.gbif import species_name
from datasets.web import Fetcher, FetchError, host_of

log = logging.getLogger("menagerie")

HOMES = {
    "fishbase": "https://www.fishbase.se/photos/",
    "fishpix": "https://fishpix.kahaku.go.jp/fishimage-e/",
}
MOST_PAGES = 1000
_PAGES = ("text/html", "application/xhtml")
_NEXT = re.compile(r"(next( page| \d+)?|次(へ|ページ)?|›|»)?\s*(>|>>|→)*", re.IGNORECASE)
_CAPTION = 600  # characters; further on is no caption but the end of the page
_DETAIL = re.compile(r"([A-Z]{2}\d{4})/(\w*?\d+)A[A-Z]\.jpe?g$", re.IGNORECASE)
_SAVED_THUMBNAIL = re.compile(r"/(\d+)A[A-Z]\.jpe?g$", re.IGNORECASE)


@dataclass(frozen=True)
class _Page:
    """One page as read.

    Attributes:
        soup: its elements.
        place: its address, or its path where a saved page does not give one.
        base: what its relative addresses are relative to.
    """

    soup: BeautifulSoup
    place: str
    base: str


def read_pages(source: str, place: str, fetcher: Fetcher) -> Iterator[PictureRecord]:
    """The pictures of a saved page, or of an address and the pages that follow it.

    Args:
        source: `fishbase` or `fishpix`.
        place: path of an HTML file, or an http or https address, whose links to the next page
            are followed within the same host.
        fetcher: reads the pages; the pictures are not fetched here.

    Raises:
        InputError: the page cannot be read, or shows no picture in the known layout.
    """
    read = {"fishbase": _fishbase, "fishpix": _fishpix}[source]
    online = place.lower().startswith(("http://", "https://"))
    number = nameless = 0
    for page in _walk(source, place, fetcher) if online else [_saved(source, place)]:
        for record in read(page):
            number += 1
            if record.label:
                yield record
            else:
                nameless += 1
    if not number:
        raise InputError(
            f"{place} shows no picture as a page of {source} does: give a page of its search "
            "results, or save one anew"
        )
    if nameless:
        log.info("%s: %d pictures without a species' name are left out", place, nameless)


def _saved(source: str, place: str) -> _Page:
    path = Path(place).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): give a page saved as HTML, or its "
            "http address"
        ) from None
    soup = BeautifulSoup(data, "html.parser")
    # Browsers write down where a page was saved from in one of these.
    comment = re.search(rb"saved from url=\(\d+\)(https?://[!-~]+)", data[:4096])
    link = soup.find("base", href=True) or soup.find("link", rel="canonical", href=True)
    origin = comment[1].decode() if comment else link["href"] if link else ""
    return _Page(soup, origin or place, urljoin(HOMES[source], origin))


def _walk(source: str, place: str, fetcher: Fetcher) -> Iterator[_Page]:
    """A page on the web and those after it, each once."""
    address, host, seen = place, None, set()
    for _ in range(MOST_PAGES):
        seen.add(address)
        try:
            answer = fetcher.fetch(address, _PAGES)
        except FetchError as error:
            if host is None:
                raise InputError(
                    f"{address} cannot be read ({error}): check it in a browser, or save the page "
                    "and give its path"
                ) from None
            log.info("%s: %s; the pages after it are left out", address, error)
            return
        page = _Page(BeautifulSoup(answer.data, "html.parser"), answer.address, answer.address)
        host = host or host_of(answer.address)
        yield page
        following = (_linked(page, host), _counted(page) if source == "fishpix" else None)
        address = next((one for one in following if one and one not in seen), None)
        if address is None:
            return


def _linked(page: _Page, host: str) -> str | None:
    """The page that a link to the next one leads to."""
    for link in page.soup.find_all(["a", "link"], href=True):
        text = " ".join(link.get_text(" ").split())
        if "next" in (link.get("rel") or []) or (text and _NEXT.fullmatch(text)):
            address = _joined(page.base, link["href"]).partition("#")[0]
            if host_of(address) == host and address != page.base:
                return address
    return None


def _counted(page: _Page) -> str | None:
    """The next page of a FishPix search, counted from the number of its hits."""
    parts = urlsplit(page.base)
    hits = re.search(r"([\d,]*\d)\s*(?:hits?\b|件)", page.soup.get_text(" "))
    if not hits or not parts.path.endswith("/search"):
        return None
    query = dict(parse_qsl(parts.query, keep_blank_values=True, encoding="latin-1"))
    start = query.get("START", "1")
    step = len(list(_fishpix(page)))
    if not step or not start.isdecimal() or int(start) + step > int(hits[1].replace(",", "")):
        return None
    query["START"] = str(int(start) + step)
    return parts._replace(query=urlencode(query, encoding="latin-1")).geturl()


def _fishbase(page: _Page) -> Iterator[PictureRecord]:
    found = [(image, _fishbase_address(page, image)) for image in page.soup.find_all("img")]
    found = [(image, address) for image, address in found if address]
    of_page = _fishbase_species(page)
    seen = set()
    for (image, address), following in itertools.zip_longest(found, [one for one, _ in found[1:]]):
        if address in seen:
            continue
        seen.add(address)
        caption = _caption(image, following)
        names = [species_name(part.get_text(" ")) for part in _tags(caption, "i", "em")]
        links = [part.get("href") or "" for part in _tags(caption, "a")]
        authors = [
            part for part in _tags(caption, "a") if "collaborator" in part.get("href", "").lower()
        ]
        text = _text(caption)
        licence = [link for link in links if "creativecommons.org/" in link]
        licence += re.findall(r"\bCC(?:[- ]BY(?:[- ](?:NC|ND|SA))*|[- ]?0)\b(?: \d\.\d)?", text)
        yield PictureRecord(
            label=next(filter(None, [*names, *map(_queried_species, links)]), of_page),
            source="fishbase",
            source_id=urlsplit(address).path.rpartition("/")[2].rpartition(".")[0],
            address=address,
            page=page.place,
            licence=licence[0] if licence else "",
            creator=authors[0].get_text(" ") if authors else "",
        )


def _fishbase_address(page: _Page, image: Tag) -> str:
    """Where the full picture lies; '' for what is no photograph."""
    address = _joined(page.base, image.get("src") or "")
    if "workimagethumb" in address.lower():
        address = _joined(page.base, _query(address).get("s", ""))
    path = urlsplit(address).path
    name = path.rpartition("/")[2]
    if not name or name.lower().endswith(".gif"):
        return ""
    if name.startswith("tn_") and ("/thumbnails/" in path or "_files/" in path):
        return urljoin(page.base, f"/images/species/{name.removeprefix('tn_')}")
    lowered = path.lower()
    return address if "/images/species/" in lowered or "/uploads/" in lowered else ""


def _fishbase_species(page: _Page) -> str:
    names = [_queried_species(page.base)]
    for tag in ("i", "title", "h1", "h2"):
        names += [species_name(part.get_text(" ")) for part in page.soup.find_all(tag)]
    return next(filter(None, names), "")


def _queried_species(address: str) -> str:
    query = {name.lower(): value for name, value in _query(address).items()}
    genus = query.get("genusname") or query.get("genus", "")
    return species_name(f"{genus} {query.get('speciesname') or query.get('species', '')}")


def _fishpix(page: _Page) -> Iterator[PictureRecord]:
    found = [(image, _fishpix_address(page, image)) for image in page.soup.find_all("img")]
    found = [(image, address) for image, address in found if address]
    for (image, address), following in itertools.zip_longest(found, [one for one, _ in found[1:]]):
        # A page of one picture may name the species above it.
        parts = list(page.soup.descendants) if len(found) == 1 else _caption(image, following)
        tags = [part for part in parts if isinstance(part, Tag)]
        names = [part for part in tags if "resultHelvetica" in (part.get("class") or [])]
        names += [part for part in tags if "result" in (part.get("class") or [])]
        names += [part for part in tags if part.name == "b"]
        text = _text(parts)
        number = re.search(r"KPM-NR\s*\d+", text)
        author = re.search(r"Photograph(?:er|ed by)\s*[:：]?\s*([^\[\]:：\n]+)", text)
        detail = next(
            (part["href"] for part in tags if "detail" in (part.get("href") or "")), page.base
        )
        yield PictureRecord(
            label=next(filter(None, (species_name(part.get_text(" ")) for part in names)), ""),
            source="fishpix",
            source_id=number[0] if number else address.rpartition("/")[2][: -len("AF.jpg")],
            address=address,
            page=_joined(page.base, detail) or page.place,
            creator=author[1] if author else "",
        )


def _fishpix_address(page: _Page, image: Tag) -> str:
    source = image.get("src") or ""
    found = _DETAIL.search(source)
    if found:
        return _joined(page.base, f"{source[: found.start()]}{found[1]}/{found[2]}AF.jpg")
    # A browser that saves the pictures too forgets their folder: one for each thousand.
    saved = _SAVED_THUMBNAIL.search(source)
    if saved:
        return urljoin(page.base, f"/photos/NR{int(saved[1]) // 1000:04d}/{saved[1]}AF.jpg")
    return ""


def _caption(image: Tag, following: Tag | None) -> list:
    """Elements and strings between a picture and the next, as far as a caption reaches."""
    parts, length = [], 0
    for part in image.next_elements:
        if part is following or length > _CAPTION:
            break
        parts.append(part)
        length += len(_text([part]))
    return parts


def _text(parts: Iterable) -> str:
    """The visible strings among these; comments and scripts are other kinds of strings."""
    return " ".join(part.strip() for part in parts if type(part) is NavigableString)


def _tags(parts: Iterable, *names: str) -> list[Tag]:
    return [part for part in parts if isinstance(part, Tag) and part.name in names]


def _query(address: str) -> dict[str, str]:
    try:
        return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    except ValueError:
        return {}


def _joined(base: str, address: str) -> str:
    """An absolute address; '' where there is none."""
    try:
        return urljoin(base, address.strip()) if address.strip() else ""
    except ValueError:
        return ""
