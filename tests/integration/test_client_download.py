"""The download client against a real HTTP server that misbehaves in every way we could think of."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from imaging_hub.cli.download import app, verify_app
from imaging_hub.client import download, hub, manifest, verify
from imaging_hub.client.transfer import CHUNK_BYTES
from imaging_hub.errors import TransferError

TOKEN = "secret-token"
RELEASE = "release-1"


@dataclass
class Answer:
    """What the server is about to send for an object; a fault changes it."""

    digest: str
    start: int
    nth: int
    """How many times this object has been asked for, this one included."""
    body: bytes
    status: int = 206
    total: int = 0
    cut: int | None = None
    """Break the connection after so many bytes."""
    problem: dict[str, str] | None = None


Fault = Callable[[Answer], None]


@dataclass
class Served:
    """A hub of a few files, its faults, and what it was asked."""

    files: dict[str, bytes]
    fault: Fault = lambda answer: None
    state: str = "READY"
    token: str = TOKEN
    requests: list[tuple[str, int]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    manifest: bytes = b""
    url: str = ""

    def __post_init__(self) -> None:
        self.objects = {hashlib.sha256(body).hexdigest(): body for body in self.files.values()}
        self.write_manifest([(path, hashlib.sha256(body).hexdigest(), len(body)) for path, body in self.files.items()])

    def write_manifest(self, rows: list[tuple[str, str, int]]) -> None:
        columns = dict(zip(("path", "digest", "size"), map(list, zip(*rows, strict=True)), strict=True))
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out)
        self.manifest = out.getvalue()


def handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.headers["Authorization"] != f"Bearer {served.token}":
                self.problem(401, {"code": "not-authenticated", "detail": "who?"})
            elif self.path == f"/api/v1/releases/{RELEASE}":
                self.plain(json.dumps(self.release()).encode(), "application/json")
            elif self.path == f"/api/v1/releases/{RELEASE}/manifest":
                self.plain(served.manifest, "application/vnd.apache.parquet")
            elif found := re.fullmatch(rf"/api/v1/releases/{RELEASE}/objects/([0-9a-f]{{64}})", self.path):
                self.object(found[1])
            else:
                self.problem(404, {"code": "not-found", "detail": "nothing there"})

        def release(self) -> dict[str, object]:
            return {
                "state": served.state,
                "instances": len(served.files),
                "bytes": sum(map(len, served.files.values())),
                "manifest_digest": hashlib.sha256(served.manifest).hexdigest(),
            }

        def object(self, digest: str) -> None:
            start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])  # type: ignore[index]
            body = served.objects[digest]
            with served.lock:
                served.requests.append((digest, start))
                nth = sum(1 for asked, _ in served.requests if asked == digest)
                answer = Answer(digest, start, nth, body[start:], total=len(body))
                served.fault(answer)
            if answer.problem:
                self.problem(answer.status, answer.problem)
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            if answer.status == 206:
                last = answer.start + len(answer.body) - 1
                self.send_header("Content-Range", f"bytes {answer.start}-{last}/{answer.total}")
            self.end_headers()
            out = answer.body if answer.cut is None else answer.body[: answer.cut]
            with suppress(OSError):  # the client may have had enough
                self.wfile.write(out)
            served.sent[digest] += len(out)
            if answer.cut is not None:
                self.close_connection = True
                self.connection.shutdown(1)

        def plain(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def problem(self, status: int, body: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Start hubs; they end with the test. Pauses between attempts are as good as none."""
    monkeypatch.setattr(hub.HubConnection.__init__, "__kwdefaults__", {"pause_seconds": 0.001})
    servers: list[ThreadingHTTPServer] = []

    def start(files: dict[str, bytes], fault: Fault | None = None) -> Served:
        served = Served(files)
        if fault:
            served.fault = fault
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(served))
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def some_files(count: int = 6, size: int = 700_000, seed: int = 7) -> dict[str, bytes]:
    chance = random.Random(seed)
    return {f"P-{n % 3}/study{n % 3}/series{n}/{n:04d}.dcm": chance.randbytes(size + n) for n in range(count)}


def assert_whole(dest: Path, files: dict[str, bytes]) -> None:
    for path, body in files.items():
        assert (dest / path).read_bytes() == body
    assert verify(dest).ok
    assert not list(dest.rglob("*.part"))


def test_a_release_arrives_whole_and_verified(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = {**some_files(), "P-9/empty.dcm": b""}
    served = serve(files)
    summary = download(served.url, TOKEN, RELEASE, tmp_path / "out")
    assert (summary.files, summary.complete) == (7, True)
    assert summary.bytes == sum(map(len, files.values()))
    assert_whole(tmp_path / "out", files)
    asked = len(served.requests)
    download(None, TOKEN, f"{served.url}/releases/{RELEASE}", tmp_path / "out")
    assert len(served.requests) == asked, "what is there and right is not fetched again"


def test_a_connection_cut_at_random_bytes_refetches_at_most_a_chunk_each_time(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    files = some_files(size=1_500_000)
    chance = random.Random(1)
    cuts: Counter[str] = Counter()

    def cut(answer: Answer) -> None:
        if cuts[answer.digest] < 4:
            cuts[answer.digest] += 1
            answer.cut = chance.randrange(1, len(answer.body))

    served = serve(files, cut)
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)
    assert sum(cuts.values()) == 4 * len(files)
    for digest, body in served.objects.items():
        assert served.sent[digest] - len(body) <= cuts[digest] * CHUNK_BYTES


def test_a_second_run_resumes_inside_a_file_from_its_true_offset(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=1, size=2_000_000)

    def lost(answer: Answer) -> None:
        answer.cut = 0 if answer.nth > 1 else 1_000_000

    served = serve(files, lost)
    with pytest.raises(TransferError) as stopped:
        download(served.url, TOKEN, RELEASE, tmp_path)
    assert stopped.value.code == "unreachable"
    assert not (tmp_path / manifest.NAME).exists(), "the manifest comes last"
    (part,) = tmp_path.rglob("*.part")
    have = part.stat().st_size
    assert 1_000_000 - CHUNK_BYTES < have <= 1_000_000
    served.fault = lambda answer: None
    gained: list[int] = []
    download(served.url, TOKEN, RELEASE, tmp_path, begin=lambda summary: gained.append)
    assert gained[0] == have, "progress begins at the true offset"
    assert sum(gained) == 2_000_000
    assert served.requests[-1][1] == have
    assert_whole(tmp_path, files)


def test_no_flipped_bit_is_ever_accepted(serve: Callable[..., Served], tmp_path: Path) -> None:
    """Each object is damaged at first: it is refetched once. Those damaged for ever are never kept."""
    files = some_files(count=24, size=20_000)
    chance = random.Random(2)

    def flip(answer: Answer) -> None:
        if answer.nth == 1:
            place = chance.randrange(len(answer.body))
            body = bytearray(answer.body)
            body[place] ^= 1 << chance.randrange(8)
            answer.body = bytes(body)

    served = serve(files, flip)
    download(served.url, TOKEN, RELEASE, tmp_path / "once")
    assert_whole(tmp_path / "once", files)
    assert set(Counter(digest for digest, _ in served.requests).values()) == {2}

    served.requests.clear()
    served.fault = lambda answer: setattr(answer, "body", bytes([answer.body[0] ^ 1]) + answer.body[1:])
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path / "always")
    assert refused.value.code == "digest-mismatch"
    assert not list((tmp_path / "always").rglob("*.dcm"))
    assert not (tmp_path / "always" / manifest.NAME).exists()


def test_a_damaged_partial_file_of_an_earlier_run_is_found_and_replaced(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    files = some_files(count=1)
    served = serve(files)
    (path,) = files
    part = tmp_path / f"{path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)
    assert [start for _, start in served.requests] == [1000, 0]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda answer: setattr(answer, "total", answer.total + 1), "wrong-length"),
        (lambda answer: setattr(answer, "status", 416), "wrong-length"),
        (lambda answer: setattr(answer, "body", answer.body[:-5]), "unreachable"),
        (lambda answer: setattr(answer, "start", 3), "wrong-length"),
    ],
)
def test_a_wrong_length_is_an_error_and_leaves_no_file(
    serve: Callable[..., Served], tmp_path: Path, fault: Fault, code: str
) -> None:
    def forever(answer: Answer) -> None:
        if answer.start == 0 or code != "unreachable":
            fault(answer)
        else:
            answer.body = b""

    served = serve(some_files(count=2), forever)
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path)
    assert refused.value.code == code
    assert not list(tmp_path.rglob("*.dcm"))


def test_bytes_beyond_the_announced_length_are_cut_off(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=2)
    served = serve(files, lambda answer: setattr(answer, "body", answer.body + b"more"))
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)


def test_a_server_without_ranges_is_used_from_the_beginning(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=2)

    def whole(answer: Answer) -> None:
        answer.body, answer.status, answer.start = served.objects[answer.digest], 200, 0
        answer.cut = 500_000 if answer.nth == 1 else None

    served = serve(files, whole)
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)


def test_a_server_that_never_gets_to_the_end_is_given_up(serve: Callable[..., Served], tmp_path: Path) -> None:
    def never(answer: Answer) -> None:
        answer.body, answer.status, answer.start, answer.cut = served.objects[answer.digest], 200, 0, 600_000

    served = serve(some_files(count=1), never)
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path)
    assert refused.value.code == "unreachable"
    assert len(served.requests) < 20


def test_a_busy_server_is_waited_for(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=4)

    def busy(answer: Answer) -> None:
        if answer.nth < 3:
            answer.status, answer.problem = 503, {"code": "storage-unavailable"}

    served = serve(files, busy)
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)


def test_a_permit_that_ends_half_way_stops_the_download_and_says_so(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    files = some_files(count=12, size=50_000)

    def ends(answer: Answer) -> None:
        if len(served.requests) > 5:
            answer.status, answer.problem = 403, {"code": "permit-expired", "detail": "the permit is over"}

    served = serve(files, ends)
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path, parallel=2)
    assert refused.value.code == "permit-expired"
    assert "ask for a new one" in refused.value.hint
    assert max(Counter(digest for digest, _ in served.requests).values()) == 1, "a refusal is not retried"
    assert len(served.requests) < len(files), "one refusal stops the others"
    assert not (tmp_path / manifest.NAME).exists()
    with pytest.raises(TransferError, match="did not end"):
        verify(tmp_path)
    served.fault = lambda answer: None
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert_whole(tmp_path, files)


@pytest.mark.parametrize(
    ("state", "code", "word"),
    [("PREPARING", "release-preparing", "--wait"), ("FAILED", "release-failed", "operator")],
)
def test_a_release_that_is_not_ready_says_what_to_do(
    serve: Callable[..., Served], tmp_path: Path, state: str, code: str, word: str
) -> None:
    served = serve(some_files(count=1))
    served.state = state
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path / "out")
    assert refused.value.code == code
    assert word in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_an_unknown_token_and_an_unknown_release_are_named(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(some_files(count=1))
    for token, release, code in ((TOKEN, "other", "not-found"), ("x", RELEASE, "not-authenticated")):
        with pytest.raises(TransferError) as refused:
            download(served.url, token, release, tmp_path)
        assert refused.value.code == code
        assert refused.value.hint


@pytest.mark.parametrize(
    ("url", "release", "code"),
    [
        ("http://hub.example", RELEASE, "insecure-url"),
        ("ftp://127.0.0.1", RELEASE, "insecure-url"),
        (None, RELEASE, "no-url"),
        ("https://hub.example", "../../x", "not-found"),
        ("https://hub.example", "a/b", "not-found"),
    ],
)
def test_a_token_is_not_sent_where_it_should_not_be(tmp_path: Path, url: str | None, release: str, code: str) -> None:
    with pytest.raises(TransferError) as refused:
        download(url, TOKEN, release, tmp_path)
    assert refused.value.code == code


GOOD = "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        "../escape.dcm",
        "a/../../escape.dcm",
        "/etc/escape",
        "a//b",
        "./a",
        "",
        "a/",
        "C:/x",
        "C:x",
        "\\\\host\\share",
        "a\\..\\..\\b",
        "CON",
        "a/nul.dcm",
        "com1",
        "a/LPT9.txt",
        "a.",
        "a ",
        " a",
        "-rf",
        ".hidden",
        "a/b.part",
        "a\nb",
        "a\x00b",
        "é.dcm",
        "a:stream",
        "x" * 300,
        "manifest.parquet",
        "MANIFEST.PARQUET",
    ],
)
def test_a_manifest_path_that_could_harm_is_refused_before_anything_is_written(
    serve: Callable[..., Served], tmp_path: Path, path: str
) -> None:
    served = serve(some_files(count=1))
    served.write_manifest([("ok.dcm", GOOD, 1), (path, GOOD, 1)])
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path / "out")
    assert refused.value.code == "manifest-path"
    assert list(tmp_path.iterdir()) == []
    assert served.requests == []


@pytest.mark.parametrize(
    "rows",
    [
        [("a.dcm", GOOD, 1), ("A.DCM", GOOD, 1)],
        [("a", GOOD, 1), ("A/b.dcm", GOOD, 1)],
        [("a", "0" * 63, 1)],
        [("a", "../" + "0" * 61, 1)],
        [("a", GOOD, -1)],
    ],
)
def test_a_manifest_that_no_folder_can_hold_is_refused(
    serve: Callable[..., Served], tmp_path: Path, rows: list[tuple[str, str, int]]
) -> None:
    served = serve(some_files(count=1))
    served.write_manifest(rows)
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path / "out")
    assert refused.value.code == "manifest-path"


def test_a_manifest_that_is_no_table_is_refused() -> None:
    with pytest.raises(TransferError) as refused:
        manifest.parse(b"PAR1 not really")
    assert refused.value.code == "manifest-malformed"


def test_a_folder_is_of_one_release(serve: Callable[..., Served], tmp_path: Path) -> None:
    one, other = serve(some_files(count=1, seed=1)), serve(some_files(count=1, seed=2))
    download(one.url, TOKEN, RELEASE, tmp_path)
    with pytest.raises(TransferError) as refused:
        download(other.url, TOKEN, RELEASE, tmp_path)
    assert refused.value.code == "other-release"


def test_a_release_larger_than_the_disk_is_refused_before_it_starts(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(some_files(count=1))
    served.write_manifest([("huge.dcm", GOOD, 1 << 60)])
    with pytest.raises(TransferError) as refused:
        download(served.url, TOKEN, RELEASE, tmp_path)
    assert refused.value.code == "disk-full"
    assert served.requests == []


def test_verify_names_what_is_missing_altered_and_extra(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=4, size=1000)
    served = serve(files)
    download(served.url, TOKEN, RELEASE, tmp_path)
    gone, changed, *_ = files
    (tmp_path / gone).unlink()
    content = bytearray((tmp_path / changed).read_bytes())
    content[500] ^= 1
    (tmp_path / changed).write_bytes(content)
    (tmp_path / "note.txt").write_text("mine")
    found = verify(tmp_path)
    assert (list(found.missing), list(found.altered), list(found.extra)) == ([gone], [changed], ["note.txt"])
    (tmp_path / "note.txt").unlink()
    download(served.url, TOKEN, RELEASE, tmp_path)
    assert verify(tmp_path).ok, "downloading again repairs"


def test_the_commands_report_as_json_and_by_their_status(serve: Callable[..., Served], tmp_path: Path) -> None:
    files = some_files(count=3, size=1000)
    served = serve(files)
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    out = str(tmp_path / "out")
    given = [RELEASE, out, "--url", served.url, "--token-file", str(token), "--json"]
    dry = CliRunner().invoke(app, [*given, "--dry-run"])
    assert json.loads(dry.stdout)["complete"] is False
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "release": RELEASE,
        "files": 3,
        "bytes": sum(map(len, files.values())),
        "present_bytes": 0,
        "folder": out,
        "complete": True,
    }
    assert json.loads(CliRunner().invoke(verify_app, [out, "--json"]).stdout)["ok"] is True
    (tmp_path / "out" / next(iter(files))).unlink()
    wrong = CliRunner().invoke(verify_app, [out])
    assert wrong.exit_code == 1
    assert f"missing: {next(iter(files))}" in wrong.stdout
