"""Gathering pictures, from a server on this machine that misbehaves in every way it can."""

import csv
import hashlib
import io
import json
import socket
import threading
import time
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import datasets.web
import models.commands.gather
import run
from datasets.downloads import COLUMNS, PictureRecord, gather, licence_code, read_manifest
from datasets.errors import InputError
from datasets.fish_pages import read_pages
from datasets.gbif import read_archive, species_name
from datasets.web import Fetcher, FetchError, Manners

QUICK = Manners(rate=0, timeout=5, attempts=3, backoff=0.001, max_bytes=200_000)


def picture(kind="JPEG", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


class Server:
    """Answers by path: `routes[path]` is a list of answers, the last of which stays.

    An answer is (status, headers, body), or a function that is given the request's handler.
    """

    def __init__(self):
        self.routes, self.asked, server = {}, Counter(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 - http.server's name
                path = self.path
                server.asked[path] += 1
                answers = server.routes.get(path, [(404, {}, b"")])
                answer = answers[min(server.asked[path], len(answers)) - 1]
                if callable(answer):
                    return answer(self)
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": len(body), **headers}.items():
                    if value is not None:
                        self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def at(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.http.server_port}{path}"

    def show(self, path, body, kind="image/jpeg", status=200, **headers):
        """One more answer at a path; returns its address."""
        answer = (status, {"Content-Type": kind, **headers}, body)
        self.routes.setdefault(path, []).append(answer)
        return self.at(path)

    def redirect(self, path, location):
        self.routes[path] = [(302, {"Location": location}, b"")]
        return self.at(path)


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


def record(address, label="Amphiprion clarkii", number="1", **more):
    return PictureRecord(label, "gbif", number, address, **more)


def got(records, folder, manners=QUICK):
    with Fetcher(manners) as fetcher:
        return gather(records, folder, fetcher)


def reason(address, manners=QUICK):
    """Why an address cannot be fetched as a picture."""
    with Fetcher(manners) as fetcher, pytest.raises(FetchError) as refusal:
        fetcher.fetch(address, ("image/",))
    return str(refusal.value)


def fetched(address, manners=QUICK):
    with Fetcher(manners) as fetcher:
        return fetcher.fetch(address, ("image/",))


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def rows(folder):
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- into folders, with a manifest


def test_pictures_come_into_class_folders_with_one_row_each(server, tmp_path):
    jpeg, png = picture(), picture("PNG", 1)
    records = [
        record(server.show("/a.jpg", jpeg), creator="A.\nDiver", licence="CC BY 4.0"),
        record(server.show("/b.jpg", png, "application/octet-stream"), "Amphiprion ocellaris"),
        record(server.at("/gone.jpg")),
    ]
    summary = got([*records, records[0]], tmp_path / "new" / "to")
    first, second, third = rows(tmp_path / "new" / "to")
    assert (summary.fetched, summary.present, summary.had()) == (2, 0, 2)
    assert summary.labels == {"Amphiprion clarkii": 1, "Amphiprion ocellaris": 1}
    assert summary.licences == {"cc-by": 1, "unknown": 1}
    assert [failure[2] for failure in summary.failures] == ["the server answers 404 Not Found"]
    assert tuple(first) == COLUMNS
    assert first["file"].startswith("Amphiprion_clarkii/gbif_1_") and first["file"].endswith(".jpg")
    assert second["file"].endswith(".png")  # what it is, not what its address says
    assert (tmp_path / "new" / "to" / first["file"]).read_bytes() == jpeg
    assert first["sha256"] == hashlib.sha256(jpeg).hexdigest()
    assert first["bytes"] == str(len(jpeg))
    assert first["creator"] == "A. Diver"
    assert (third["file"], third["status"]) == ("", "failed: the server answers 404 Not Found")
    assert len(files(tmp_path)) == 3


def test_what_is_there_unchanged_is_not_fetched_again(server, tmp_path):
    records = [record(server.show(f"/{n}", picture(seed=n)), number=str(n)) for n in range(3)]
    records.append(record(server.at("/late")))
    got(records, tmp_path)
    changed, removed = (tmp_path / rows(tmp_path)[n]["file"] for n in (0, 1))
    changed.write_bytes(b"torn")
    removed.unlink()
    server.show("/late", picture(seed=9))
    server.asked.clear()
    summary = got(records, tmp_path)
    assert (summary.fetched, summary.present) == (3, 1)
    assert server.asked == {"/0": 1, "/1": 1, "/late": 1}
    assert [row["status"] for row in rows(tmp_path)] == ["ok"] * 4  # one row each, the newest
    assert changed.read_bytes() == picture(seed=0)


def test_an_interruption_loses_nothing(server, tmp_path):
    records = [record(server.show(f"/{n}", picture(seed=n)), number=str(n)) for n in range(4)]

    def interrupted():
        yield from records[:2]
        assert len(rows(tmp_path)) == 2  # on the disk already: the power may go off
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        got(interrupted(), tmp_path)
    assert [row["status"] for row in rows(tmp_path)] == ["ok", "ok"]
    with open(tmp_path / "manifest.csv", "a") as file:
        file.write("Amphiprion_clarkii/gbif_2_torn.jpg,Amphip")
    assert len(read_manifest(tmp_path)) == 2
    summary = got(records, tmp_path)
    assert (summary.fetched, summary.present) == (2, 2)
    assert max(server.asked.values()) == 1
    assert len(rows(tmp_path)) == 4


def test_an_interrupted_writing_leaves_no_file_under_the_final_name(server, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    address = server.show("/a", picture())
    got([], tmp_path)
    monkeypatch.setattr("os.replace", lambda part, path: path.name[0] == "g" and stopped())
    with pytest.raises(KeyboardInterrupt):
        got([record(address)], tmp_path)
    assert files(tmp_path) == ["manifest.csv"]


def test_no_name_leaves_the_folder(server, tmp_path):
    address = server.show("/..%2F..%2Fa.jpg", picture())
    labels = ("../../evil", "/etc/cron.d", "..", "a\\b", ".hidden", "Ä ö\x00\u202e", "x" * 300)
    got([record(address, label, "../../../x\\y\x1b[2J") for label in labels], tmp_path / "to")
    assert files(tmp_path) == [f"to/{name}" for name in files(tmp_path / "to")]
    found = [row["file"] for row in rows(tmp_path / "to")]
    assert len(set(found)) == len(labels)
    for name in found:
        assert name.count("/") == 1 and len(name) < 200
        assert not set(name) & set("\\\x00\x1b") and name[0] not in "./"


def test_a_foreign_manifest_is_not_overwritten(tmp_path):
    (tmp_path / "manifest.csv").write_text("name,price\n")
    with pytest.raises(InputError, match="another folder as --to"):
        got([], tmp_path)
    assert (tmp_path / "manifest.csv").read_text() == "name,price\n"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        got([], tmp_path / "file" / "to")


# --- a server in trouble


def test_a_slow_answer_is_given_up_and_tried_again(server):
    def sleepy(handler):
        time.sleep(0.6)

    manners = Manners(rate=0, timeout=0.2, attempts=2, backoff=0.001)
    server.routes["/slow"] = [sleepy]
    server.routes["/late"] = [sleepy, (200, {"Content-Type": "image/png"}, b"late")]
    assert reason(server.at("/slow"), manners) == "no answer within 0.2 s (2 attempts)"
    assert server.asked["/slow"] == 2
    assert fetched(server.at("/late"), manners).data == b"late"


def test_only_passing_troubles_are_met_again(server, pauses):
    for status in (404, 403, 410):
        server.show(f"/{status}", b"", status=status)
        assert reason(server.at(f"/{status}")).startswith(f"the server answers {status}")
        assert server.asked[f"/{status}"] == 1
    assert pauses == []
    for status in (500, 503):
        server.show("/busy", b"", status=status)
    server.show("/busy", b"at last")
    assert fetched(server.at("/busy"), Manners(rate=0)).data == b"at last"
    assert pauses == [1.0, 2.0]


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert reason(address) == "no connection, or it broke off (3 attempts)"


def test_retry_after_is_honoured_up_to_a_limit(server, pauses):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    for wait in ("7", soon, "86400", "nonsense"):
        server.show("/much", b"", status=429, **{"Retry-After": wait})
    server.show("/much", b"now")
    assert fetched(server.at("/much"), Manners(rate=0, attempts=5)).data == b"now"
    assert pauses == [7, pytest.approx(40, abs=5), 120, 8]


def test_a_body_that_breaks_off_is_noticed(server, tmp_path):
    whole = picture()
    for body in (whole[:300], whole):
        server.show("/once", body, **{"Content-Length": len(whole)})
    server.show("/always", whole[:300], **{"Content-Length": len(whole)})
    summary = got([record(server.at("/once")), record(server.at("/always"))], tmp_path)
    assert summary.fetched == 1
    assert [failure[2] for failure in summary.failures] == ["the answer broke off (3 attempts)"]
    assert server.asked == {"/once": 2, "/always": 3}
    assert len(files(tmp_path)) == 2


def test_what_is_no_picture_is_refused(server, tmp_path):
    page = b"<html><body>Please log in</body></html>"
    records = [
        record(server.show("/page", page, "text/html; charset=utf-8")),
        record(server.show("/disguised", page)),
        record(server.show("/half", picture()[:-400])),
        record(server.show("/empty", b"")),
    ]
    summary = got(records, tmp_path)
    reasons = [failure[2] for failure in summary.failures]
    assert reasons[:2] == ["is text/html and not image", "is not a picture"]
    assert reasons[2].startswith("is damaged") and reasons[3] == "is empty"
    assert files(tmp_path) == ["manifest.csv"]


def test_an_oversized_body_is_not_read_to_its_end(server):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.end_headers()
        try:
            for _ in range(4000):
                handler.wfile.write(bytes(2**14))
                sent.append(2**14)
        except OSError:
            pass

    server.routes["/endless"] = [endless]
    server.show("/announced", b"", **{"Content-Length": 10**9})
    for path in ("/endless", "/announced"):
        assert reason(server.at(path)) == "has more than the 0.191 MB allowed"
    assert sum(sent) < 40 * 2**20


# --- redirects


def test_a_redirect_to_another_host_is_followed_and_recorded(server, tmp_path):
    server.show("/store/a.jpg", picture())
    there = server.at("/store/a.jpg", "localhost")
    got([record(server.redirect("/a", there))], tmp_path)
    assert rows(tmp_path)[0]["final_address"] == there
    assert rows(tmp_path)[0]["address"] == server.at("/a")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_a_redirect_stays_within_http(server, location):
    assert "is redirected to no http or https address" in reason(server.redirect("/a", location))


def test_redirects_come_to_an_end(server):
    for number in range(6):
        server.redirect(f"/{number}", f"/{number + 1}")
    server.show("/6", b"found")
    assert reason(server.at("/0")) == "is redirected more than 5 times"
    assert fetched(server.at("/1")).data == b"found"


def test_a_public_host_cannot_send_us_into_a_private_network(server, monkeypatch):
    server.show("/secret", picture())
    address = server.redirect("/a", server.at("/secret")).replace("127.0.0.1", "localhost")
    assert fetched(address).data == picture()  # localhost is private itself
    private = datasets.web._is_private
    monkeypatch.setattr(datasets.web, "_is_private", lambda host: host != "localhost")
    server.asked.clear()
    assert reason(address) == "is redirected to 127.0.0.1, which is in a private network"
    assert server.asked == {"/a": 1}
    for number in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "1.1.1.1"):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, n=number: [(0, 0, 0, "", (n, 0))])
        assert private("example.org") is (number != "1.1.1.1")


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "", "http://", "/etc/passwd", "http://["]
)
def test_only_http_is_asked(address):
    assert "no http or https address" in reason(address)


def test_the_host_that_is_checked_is_the_one_that_is_asked():
    assert datasets.web.host_of("http://127.0.0.1\\@public.example/a") == "127.0.0.1"
    assert datasets.web.host_of("http://public.example@[::1]:80/a") == "::1"


def test_requests_to_one_host_keep_their_distance(server, pauses):
    server.show("/a", b"a")
    with Fetcher(Manners(rate=30)) as fetcher:
        for host in ("127.0.0.1", "localhost", "127.0.0.1"):
            fetcher.fetch(server.at("/a", host), ("image/",))
    assert pauses == [pytest.approx(30, abs=3)]


# --- names and licences


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Amphiprion clarkii (Bennett, 1830)", "Amphiprion clarkii"),
        ("Amphiprion (Actinicola) percula Lacepède", "Amphiprion percula"),
        ("Amphiprion × leucokranos Allen, 1973", "Amphiprion leucokranos"),
        ("Amphiprion Bloch & Schneider, 1801", ""),
        ("Amphiprion sp. 1", ""),
        ("amphiprion clarkii", ""),
        ("", ""),
    ],
)
def test_a_scientific_name_is_reduced_to_genus_and_epithet(text, name):
    assert species_name(text) == name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("http://creativecommons.org/licenses/by-nc/4.0/legalcode", "cc-by-nc"),
        ("https://creativecommons.org/licenses/by/4.0/", "cc-by"),
        ("CC_BY_NC_4_0", "cc-by-nc"),
        ("CC BY-NC-SA 2.0", "cc-by-nc-sa"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("CC0_1_0", "cc0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("© A. Diver, all rights reserved", "other"),
        ("not CC-BYE", "other"),
        ("", "unknown"),
    ],
)
def test_a_licence_has_one_code(text, code):
    assert licence_code(text) == code


# --- GBIF

META = """<?xml version="1.0"?>{doctype}
<archive xmlns="http://rs.tdwg.org/dwc/text/">
  <core encoding="UTF-8" fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1"
        rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>occurrence.txt</location></files><id index="1"/>
    <field index="0" term="http://rs.tdwg.org/dwc/terms/scientificName"/>
    <field index="2" term="http://rs.gbif.org/terms/1.0/species"/>
  </core>
  <extension encoding="UTF-8" fieldsTerminatedBy="," fieldsEnclosedBy="&quot;"
        ignoreHeaderLines="1" rowType="http://rs.gbif.org/terms/1.0/Multimedia">
    <files><location>{media}</location></files><coreid index="0"/>
    <field index="2" term="http://purl.org/dc/terms/identifier"/>
    <field index="1" term="http://purl.org/dc/terms/type"/>
    <field index="3" term="http://purl.org/dc/terms/creator"/>
    <field term="http://purl.org/dc/terms/license" default="CC_BY_4_0"/>
  </extension>
</archive>"""
OCCURRENCES = (
    "name\tid\tspecies\n"
    'Amphiprion clarkii "Bennett"\t11\tAmphiprion clarkii\n'
    "Amphiprion ocellaris Cuvier, 1830\t12\t\n"
    "Amphiprion Bloch, 1801\t13\t\n"
)
MEDIA = (
    "id,kind,where,who\n"
    '11,StillImage,{0}/a.jpg,"Diver, A."\n'
    "11,MovingImage,{0}/a.mp4,B\n"
    "12,http://purl.org/dc/dcmitype/StillImage,{0}/b.jpg,C\n"
    "13,StillImage,{0}/genus.jpg,D\n"
    "99,StillImage,{0}/nobody.jpg,E\n"
)


def archive(path, at="http://x", **members):
    """A download as GBIF makes it; a member that is None is left out."""
    members = {
        "meta.xml": META.format(doctype="", media="multimedia.txt"),
        "occurrence.txt": OCCURRENCES,
        "multimedia.txt": MEDIA.format(at),
        **{name.replace("_", "."): text for name, text in members.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            if text is not None:
                file.writestr(name, text)
    return path


def test_an_archive_is_read_as_its_meta_xml_says(tmp_path):
    first, second = read_archive(archive(tmp_path / "0001.zip"))
    page = "https://www.gbif.org/occurrence/"
    assert first == PictureRecord(
        "Amphiprion clarkii",
        "gbif",
        "11",
        "http://x/a.jpg",
        f"{page}11",
        "CC_BY_4_0",
        "",
        "Diver, A.",
    )
    assert (second.label, second.address) == ("Amphiprion ocellaris", "http://x/b.jpg")


def test_an_unpacked_archive_without_meta_xml_is_read_by_its_headers(tmp_path):
    (tmp_path / "occurrence.txt").write_text(
        "gbifID\tlicense\treferences\tspecies\n7\tCC0_1_0\thttp://page\tAmphiprion clarkii\n"
    )
    (tmp_path / "multimedia.txt").write_text(
        "gbifID\ttype\tformat\tidentifier\tlicense\trightsHolder\n"
        "7\tStillImage\timage/jpeg\thttp://x/a\t\tA museum\n"
        "7\t\tvideo/mp4\thttp://x/v.jpg\t\t\n"
        "7\t\t\thttp://x/c.PNG\t\t\n"
        "7\t\t\thttp://x/page\t\t\n"
    )
    found = list(read_archive(tmp_path))
    assert [one.address for one in found] == ["http://x/a", "http://x/c.PNG"]
    assert (found[0].page, found[0].licence, found[0].rights_holder) == (
        "http://page",
        "",
        "A museum",
    )


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"meta_xml": META.format(doctype="", media="../../etc/passwd")}, "which is not there"),
        (
            {"meta_xml": META.format(doctype="<!DOCTYPE a [<!ENTITY b 'c'>]>", media="&b;")},
            "declares a DOCTYPE",
        ),
        ({"meta_xml": META[:300]}, "meta.xml"),
        (
            {"meta_xml": META.format(doctype="", media="multimedia.txt").replace("UTF-8", "hex")},
            "hex",
        ),
        ({"meta_xml": None, "multimedia_txt": None}, "no column gbifID|nor multimedia.txt"),
        ({"meta_xml": None, "occurrence_txt": None}, "neither meta.xml nor occurrence.txt"),
        ({"meta_xml": None, "occurrence_txt": "gbifID\tyear\n1\t2\n"}, "has no column species"),
        ({"occurrence_txt": "x" * 2**23}, "a line is too long"),
    ],
)
def test_a_bad_archive_is_refused_in_one_line(tmp_path, members, complaint):
    place = archive(tmp_path / "bad.zip", **members)
    with pytest.raises(InputError, match=complaint) as refusal:
        list(read_archive(place))
    assert str(tmp_path) in str(refusal.value) and "download" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_damaged_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "whole.zip").read_bytes()
    at = whole.index(b"occurrence.txt") + 20
    for data in (b"no zip", whole[: len(whole) // 2], whole[:at] + b"\xff" * 30 + whole[at + 30 :]):
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(InputError, match="cannot be read"):
            list(read_archive(tmp_path / "bad.zip"))
    with pytest.raises(InputError, match="does not exist"):
        list(read_archive(tmp_path / "none.zip"))


# --- FishBase and FishPix

FISHBASE = """<html><head><title>Pictures</title></head><body>
<img src="/images/gifs/logo.gif"><i>Amphiprion clarkii</i>
<table><tr><td><a href="/photos/PicturesSummary.php?ID=1">
<img src="/images/thumbnails/jpg/tn_Amcla_u0.jpg"></a><br>(Amcla_u0.jpg) by
<a href="/collaborators/CollaboratorSummary.php?id=5">Randall, J.E.</a></td>
<td><img src='workimagethumb.php?s={at}/tools/UploadPhoto/uploads/1.jpg&w=300'>
<i>Amphiprion ocellaris</i> <!-- CC BY 4.0 --> CC BY-NC 4.0</td>
<td><img src="/images/species/Amcla_d0.gif"> a drawing</td></tr></table>{filler}
<a href="{more}">next</a></body></html>"""
FISHPIX = """<html><head><meta charset="shift_jis"></head><body><img src="../img/title.jpg">
<span class="captionTimes">3 hits</span><table>{entries}</table></body></html>"""
ENTRY = """<tr><td><img src="../photos/NR00{0}/{0}004AI.jpg" height="130"></td><td>
<span class="result">{1}</span><span class="captionTimes">
<a href="detail?START={2}&amp;SPECIES=A">KPM-NR {0}004</a></span></td></tr>"""


def test_fishbase_pages_and_those_that_follow_on_the_same_host(server):
    more, other = server.at("/photos/2"), server.at("/photos/3", "localhost")
    fills = {"at": "http://store.example", "filler": "x" * 700}
    page = FISHBASE.format(more="2", **fills).encode()
    address = server.show("/photos/1?Genus=Amphiprion&Species=clarkii", page, "text/html")
    for path, following in (("/photos/2", other), ("/photos/3", "1")):
        text = FISHBASE.replace("Amcla_u0", "Amper_u9").replace("clarkii", "perideraion")
        server.show(path, text.format(more=following, **fills).encode(), "text/html")
    with Fetcher(QUICK) as fetcher:
        found = list(read_pages("fishbase", address, fetcher))
    assert server.asked["/photos/2"] == 1 and server.asked["/photos/3"] == 0
    assert found[0] == PictureRecord(
        "Amphiprion clarkii",
        "fishbase",
        "Amcla_u0",
        server.at("/images/species/Amcla_u0.jpg"),
        address,
        creator="Randall, J.E.",
    )
    assert found[1].address == "http://store.example/tools/UploadPhoto/uploads/1.jpg"
    assert (found[1].label, found[1].licence) == ("Amphiprion ocellaris", "CC BY-NC 4.0")
    assert [(one.label, one.page) for one in found[2:3]] == [("Amphiprion perideraion", more)]
    assert len(found) == 4


def test_fishpix_pages_counted_by_their_hits(server):
    first = ENTRY.format(10, "Amphiprion clarkii (Bennett, 1830)", 1)
    first += ENTRY.format(11, "Amphiprion sp.", 2)
    third = ENTRY.format(
        12, "クマノミ</span><span class='resultHelvetica'>Amphiprion frenatus Brevoort", 3
    )
    for path, entries in (("SPECIES=%83N", first), ("SPECIES=%83N&START=3", third)):
        text = FISHPIX.format(entries=entries).encode("shift_jis")
        server.show(f"/fishimage-e/search?{path}", text, "text/html")
    with Fetcher(QUICK) as fetcher:
        found = list(read_pages("fishpix", server.at("/fishimage-e/search?SPECIES=%83N"), fetcher))
    assert [(one.label, one.source_id) for one in found] == [
        ("Amphiprion clarkii", "KPM-NR 10004"),
        ("Amphiprion frenatus", "KPM-NR 12004"),
    ]
    assert found[0].address == server.at("/photos/NR0010/10004AF.jpg")
    assert found[0].page == server.at("/fishimage-e/detail?START=1&SPECIES=A")
    assert sum(server.asked.values()) == 2


def test_saved_pages_know_where_they_came_from(tmp_path):
    origin = "https://fishpix.example/fishimage-e/search?START=1"
    mark = f"<!-- saved from url=(0046){origin} -->\n"
    entry = ENTRY.format(10, "Amphiprion clarkii (Bennett)", 1)
    saved = entry.replace("../photos/NR0010/", "./search_files/")
    for text, base in ((mark + entry, "fishpix.example"), (saved, "fishpix.kahaku.go.jp")):
        (tmp_path / "page.html").write_text(text)
        (found,) = read_pages("fishpix", str(tmp_path / "page.html"), None)
        assert found.address == f"https://{base}/photos/NR0010/10004AF.jpg"


def test_a_page_without_pictures_is_refused(server, tmp_path):
    (tmp_path / "page.html").write_bytes(b"\xff\xfe\x00<html><img><img src='http://['></html>")
    with Fetcher(QUICK) as fetcher:
        for place in (tmp_path / "page.html", tmp_path / "none.html", server.at("/gone")):
            with pytest.raises(InputError, match="shows no picture|cannot be read"):
                list(read_pages("fishbase", str(place), fetcher))


# --- the verb


def typed(capsys, *words):
    code = run.main([str(word) for word in ("gather", *words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def download(server, tmp_path):
    """An archive of two pictures, the second of which is missing."""
    server.show("/a.jpg", picture())
    return archive(tmp_path / "0001.zip", server.at("")), tmp_path / "to"


def test_gather_says_what_it_had(capsys, download):
    place, to = download
    code, out, _ = typed(capsys, "gbif", place, "--to", to, "--rate", 0)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{to}: 1 fetched, 0 there already, 1 failed"
    assert lines[1:3] == ["species: Amphiprion clarkii 1", "licences: cc-by 1"]
    assert lines[-1].startswith("failed: Amphiprion ocellaris, http://127.0.0.1")
    code, out, _ = typed(capsys, "gbif", place, "--to", to, "--rate", 0, "--json", "--limit", 1)
    answer = json.loads(out)
    assert (code, answer["fetched"], answer["present"], answer["failed"]) == (0, 0, 1, [])
    assert [row["status"][:6] for row in rows(to)] == ["ok", "failed"]


def test_gather_refuses_in_one_line(capsys, server, download, tmp_path):
    place, to = download
    page = tmp_path / "page.html"
    page.write_text("<html></html>")
    for words, complaint in (
        (["gbif", place, "--licences", "cc0"], "there are cc-by 2"),
        (["gbif", place, "--licences", "cc0,gpl"], "'gpl' is no licence"),
        (["gbif", place, "--rate", "-1"], "no number of seconds"),
        (["gbif", place, "--rate", "soon"], "no number of seconds"),
        (["gbif", place, "--limit", "0"], "no number from 1 on"),
        (["gbif", place, "--speed", "1"], "gather has no option --speed"),
        (["google", place], "invalid choice"),
        (["gbif", tmp_path / "none.zip"], "does not exist"),
        (["fishpix", page], "shows no picture"),
    ):
        code, out, err = typed(capsys, *words, "--to", to)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and complaint in err and err.count("\n") == 1
        assert not to.exists()
    assert "--to" in typed(capsys, "gbif", place)[2]
    server.routes.clear()
    code, out, err = typed(capsys, "gbif", place, "--to", to, "--rate", 0)
    assert (code, out) == (2, "")
    assert "none of 2 pictures could be fetched" in err.splitlines()[-1]


def test_gather_can_be_interrupted(capsys, download, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    place, to = download
    monkeypatch.setattr(models.commands.gather, "gather", interrupt)
    code, _, err = typed(capsys, "gbif", place, "--to", to)
    assert code == 130
    assert "the same command goes on" in err
