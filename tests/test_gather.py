"""Fetching pictures, from a server on this machine that misbehaves in every way it can."""

import hashlib
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

import datasets.web
from datasets.downloads import COLUMNS, read_manifest
from datasets.errors import InputError
from datasets.web import Fetcher, Manners
from tests.local_server import fetched, files, got, picture, reason, record, rows

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
