"""A mirror, played by a server on this machine."""

import gzip
import http.server
import threading

import pytest

from lastbit.data.canonical import TEST_LABELS, idx_header
from lastbit.data.mirrors import download
from lastbit.errors import DataError


@pytest.fixture
def mirror(monkeypatch):
    """A function that starts a server which answers everything with one reply."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(body: bytes, *, status: int = 200, promised: int | None = None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if promised is None else promised))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format, *args):  # noqa: A002 - its name in the base class
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/mnist/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_canonical_file_is_served(mirror, mnist_test):
    content = idx_header(TEST_LABELS.shape) + mnist_test.labels.tobytes()
    assert download(TEST_LABELS, mirror(gzip.compress(content))) == content


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (b"", {"status": 404}, "404"),
        (b"<html>sign in to this network</html>", {}, "cannot be decompressed"),
        (gzip.compress(bytes(10_008)), {}, "not the canonical file"),
        (gzip.compress(bytes(10_008))[:-9], {}, "cannot be decompressed"),
        (gzip.compress(bytes(50_000_000)), {}, "more than 10008 bytes|cannot be decompressed"),
        (b"short", {"promised": 5000}, "IncompleteRead|cannot be decompressed"),
    ],
    ids=["missing", "captive-portal", "wrong-hash", "truncated", "bomb", "cut-off"],
)
def test_anything_else_is_refused(mirror, body, options, message):
    with pytest.raises(DataError, match=message) as caught:
        download(TEST_LABELS, mirror(body, **options))
    assert caught.value.where.endswith("t10k-labels-idx1-ubyte.gz")


def test_an_unreachable_mirror_is_a_data_error():
    with pytest.raises(DataError):
        download(TEST_LABELS, "http://127.0.0.1:9/")
