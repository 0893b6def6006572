"""A server on this machine that answers what a test tells it, and what such tests share."""

import csv
import io
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from datasets.downloads import PictureRecord, gather
from datasets.web import Fetcher, FetchError, Manners


def picture(kind="JPEG", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


QUICK = Manners(rate=0, timeout=5, attempts=3, backoff=0.001, max_bytes=200_000)


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

            do_POST = do_GET  # noqa: N815

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
