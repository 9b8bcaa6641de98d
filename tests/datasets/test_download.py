from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ai8x_tool.console import Console
from ai8x_tool.data import download
from ai8x_tool.data.download import Download, extract, fetch
from ai8x_tool.errors import Ai8xError

CONTENT = bytes(range(256)) * 40
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@dataclass
class Server:
    """Serves CONTENT below ``/good``, ``/norange`` (ignores ranges), ``/broken`` (breaks off once) and ``/wrong``."""

    address: str = ""
    ranges: list[str | None] = field(default_factory=list)
    broken: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            kind = self.path.split("/")[1]
            if kind == "missing":
                self.send_error(404)
                return
            body = CONTENT[::-1] if kind == "wrong" else CONTENT
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and kind != "norange" else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            breaks_off = kind == "broken" and state.broken == 0
            state.broken += kind == "broken"
            self.wfile.write(body[start : 3000 if breaks_off else None])

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


def _download(server: Server, *kinds: str, checksum: str = SHA256) -> Download:
    return Download("file.bin", len(CONTENT), checksum, [f"{server.address}/{kind}/file.bin" for kind in kinds])


def test_downloads_and_is_quiet_the_second_time(server: Server, tmp_path: Path, console: Console) -> None:
    for _ in range(2):
        path = fetch(_download(server, "good"), tmp_path / "a" / "b", console)
        assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [item.name for item in path.parent.iterdir()] == ["file.bin"]


def test_md5_is_known_too(server: Server, tmp_path: Path, console: Console) -> None:
    checksum = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
    assert fetch(_download(server, "good", checksum=checksum), tmp_path, console).is_file()


def test_resumes_what_an_earlier_try_left(server: Server, tmp_path: Path, console: Console) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1234])
    assert fetch(_download(server, "good"), tmp_path, console).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1234-"]


def test_starts_again_where_the_server_ignores_ranges(server: Server, tmp_path: Path, console: Console) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1234])
    assert fetch(_download(server, "norange"), tmp_path, console).read_bytes() == CONTENT


def test_continues_after_a_broken_connection(server: Server, tmp_path: Path, console: Console) -> None:
    assert fetch(_download(server, "broken"), tmp_path, console).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000-"]


def test_next_server_where_one_has_not_got_it(server: Server, tmp_path: Path, console: Console) -> None:
    assert fetch(_download(server, "missing", "good"), tmp_path, console).read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_removed(server: Server, tmp_path: Path, console: Console) -> None:
    with pytest.raises(Ai8xError, match=r"sha256 of the downloaded file\.bin must be"):
        fetch(_download(server, "wrong"), tmp_path, console)
    assert list(tmp_path.iterdir()) == []


def test_failure_says_where_to_put_the_file(server: Server, tmp_path: Path, console: Console) -> None:
    with pytest.raises(Ai8xError, match=r"cannot download file\.bin.*404.*put file\.bin into") as caught:
        fetch(_download(server, "missing"), tmp_path, console)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_existing_file_needs_neither_network_nor_write(tmp_path: Path, console: Console) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    download = Download("file.bin", 4, SHA256, ["http://127.0.0.1:9/file.bin"])
    assert fetch(download, tmp_path, console).read_bytes() == b"mine"


def _archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_extracts_files_and_folders(tmp_path: Path, console: Console) -> None:
    folder = tarfile.TarInfo("./yes")
    folder.type = tarfile.DIRTYPE
    archive = _archive(tmp_path / "a.tar.gz", (folder, b""), (tarfile.TarInfo("./yes/1.wav"), b"one"))
    extract(archive, tmp_path / "out", console)
    assert (tmp_path / "out/yes/1.wav").read_bytes() == b"one"


@pytest.mark.parametrize(
    "evil",
    [
        tarfile.TarInfo("../evil"),
        tarfile.TarInfo("/tmp/evil"),
        tarfile.TarInfo("a/../../evil"),
        _link("evil", "/etc/passwd", tarfile.SYMTYPE),
        _link("evil", "../../x", tarfile.LNKTYPE),
        _link("evil", "", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_refuses_members_that_leave_the_folder(tmp_path: Path, console: Console, evil: tarfile.TarInfo) -> None:
    archive = _archive(tmp_path / "a.tar.gz", (tarfile.TarInfo("good"), b"good"), (evil, b""))
    with pytest.raises(Ai8xError, match="must be a file or folder inside the archive"):
        extract(archive, tmp_path / "out", console)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize("keep", [0.1, 0.6, 0.98])
def test_truncated_archive_leaves_nothing(tmp_path: Path, console: Console, keep: float) -> None:
    archive = tmp_path / "a.tar.gz"
    members = [(tarfile.TarInfo(f"{i}.bin"), hashlib.sha256(bytes([i])).digest() * 50) for i in range(20)]
    content = _archive(archive, *members).read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(Ai8xError, match="the archive is damaged"):
        extract(archive, tmp_path / "out", console)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_file_that_is_no_archive(tmp_path: Path, console: Console) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(Ai8xError, match="the archive is damaged"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out", console)


def _plain(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> bytearray:
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("change", ["header", "checksum", "end"])
def test_damaged_members_are_not_taken_for_the_end(tmp_path: Path, console: Console, change: str) -> None:
    """Without compression nothing but the members themselves tells that one of them is damaged."""
    archive = tmp_path / "a.tar"
    content = _plain(archive, *((tarfile.TarInfo(f"{i}.bin"), bytes([i]) * 600) for i in range(4)))
    second = 512 + 1024
    if change == "end":
        del content[4 * second :]
    else:
        content[second + (0 if change == "header" else 150)] ^= 1
    archive.write_bytes(content)
    last = "3.bin" if change == "end" else "0.bin"
    with pytest.raises(
        Ai8xError, match=rf"a\.tar: the archive is damaged: the data after '{last}' are damaged or missing"
    ):
        extract(archive, tmp_path / "out", console)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_archives_that_fill_the_disk(tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ALWAYS_UNPACKED", 1 << 20)
    bombs = {"large": [(tarfile.TarInfo("zeros"), bytes(1 << 24))]}
    bombs["many"] = [(tarfile.TarInfo(f"{i}"), b"") for i in range(1000)]
    for name, members in bombs.items():
        archive = _archive(tmp_path / f"{name}.tar.gz", *members)
        with pytest.raises(Ai8xError, match="it unpacks to more than 20 times its size"):
            extract(archive, tmp_path / "out", console)
        archive.unlink()
    assert not list(tmp_path.iterdir())
