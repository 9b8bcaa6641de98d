"""Downloads: verification, continuation after interruptions, safe unpacking."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import lzma
import os
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console, Progress

_BLOCK = 1 << 20
_MOST_EXPANSION = 20
_ALWAYS_UNPACKED = 1 << 26
_DISK_BLOCK = 4096
_TIMEOUT = 30  # seconds without a response
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_TRIES = 3  # number of continuations from a server that keeps delivering data


@dataclass(frozen=True)
class Download:
    """A file: its `name`, `size` in bytes, `checksum` as ``algorithm:hex digits``, and addresses."""

    name: str
    size: int
    checksum: str
    urls: Sequence[str]


def fetch(download: Download, folder: Path, console: Console) -> Path:
    """Return the path of `download` in `folder`; an existing file is returned without network access.

    Received data are kept in ``<name>.part``, from which the next attempt continues, and renamed to ``<name>`` when
    they are complete and the checksum matches. Raises Ai8xError with the reason and the folder for the file.
    """
    path = folder / download.name
    if path.is_file():
        return path
    part = path.with_name(f"{path.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        console.info(f"downloading {download.name} ({download.size / 1e6:.1f} MB) to {folder}")
        with console.progress("Downloading", download.size) as progress:
            reasons = _try_all(download, part, progress)
        if reasons is not None:
            fix = f"put {download.name} into {folder}, or pass --data with the folder that contains it"
            raise Ai8xError(f"cannot download {download.name}: {reasons}", where=str(path), fix=fix)
        _check(download, part)
        part.replace(path)
    except OSError as error:
        fix = "free some disk space, or use --data with a folder that can be written"
        raise Ai8xError(f"cannot write {download.name}: {error}", where=str(folder), fix=fix) from error
    return path


def _try_all(download: Download, part: Path, progress: Progress) -> str | None:
    """Complete `part` from the first server that succeeds; return None, or the reason of the last failure."""
    reason = "the download has no address"
    shown = 0
    for url in download.urls:
        for _ in range(_TRIES):
            done = part.stat().st_size if part.exists() else 0
            if done >= download.size:
                return None
            progress.advance(done - shown)
            try:
                shown = _continue(url, part, done, progress)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                    raise
                reason = f"{url}: {str(error).strip('<>').removeprefix('urlopen error ')}"
                shown = part.stat().st_size if part.exists() else 0
                if shown <= done:
                    break
        if part.exists() and part.stat().st_size >= download.size:
            return None
    return reason


def _continue(url: str, part: Path, done: int, progress: Progress) -> int:
    """Append the data of `url` after the first `done` bytes to `part`; return the resulting size."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        # A server may ignore the range and send the whole file (status 200).
        append = done > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT
        size = done if append else 0
        if not append:
            progress.advance(-done)
        with part.open("ab" if append else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                size += len(block)
                progress.advance(len(block))
        if (answer.length or 0) > 0:
            raise http.client.IncompleteRead(b"", answer.length)
    return size


def _check(download: Download, part: Path) -> None:
    algorithm, _, expected = download.checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with part.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        part.unlink()
        message = f"{algorithm} of the downloaded {download.name} must be {expected}, but is {digest.hexdigest()}"
        raise Ai8xError(message, where=str(part.parent), fix="the download was deleted; try again")


def extract(archive: Path, folder: Path, console: Console) -> None:
    """Unpack the tar file `archive` into the new folder `folder`, which is created atomically.

    Raises Ai8xError for damaged archives and for members outside the folder (absolute paths, ``..``, links, devices).
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    console.info(f"unpacking {archive.name} to {folder}")
    try:
        unfinished.mkdir(parents=True)
        with archive.open("rb") as file, tarfile.open(fileobj=file) as tar:
            _extract_members(tar, unfinished, file, console)
        unfinished.replace(folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        fix = f"delete {archive} and download it again"
        raise Ai8xError(f"the archive is damaged: {error}", where=str(archive), fix=fix) from error
    except OSError as error:
        raise Ai8xError(f"cannot unpack {archive.name}: {error}", where=str(folder)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _extract_members(tar: tarfile.TarFile, folder: Path, archive: BinaryIO, console: Console) -> None:
    position, unpacked, last = 0, 0, "the beginning"
    packed = os.fstat(archive.fileno()).st_size
    with console.progress("Unpacking", packed) as progress:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # a list of many members could exhaust the memory
            unpacked += _DISK_BLOCK + member.size
            if unpacked > _MOST_EXPANSION * packed + _ALWAYS_UNPACKED:
                raise ValueError(f"it unpacks to more than {_MOST_EXPANSION} times its size")
            _extract_member(tar, member, folder)
            last = repr(member.name)
            progress.advance(archive.tell() - position)
            position = archive.tell()
    _check_end(tar, last)


def _check_end(tar: tarfile.TarFile, last: str) -> None:
    """Raise ValueError unless the archive ends properly; tarfile mistakes damaged members for the end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(tarfile.BLOCKSIZE)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise ValueError(f"the data after {last} are damaged or missing")
    while tar.fileobj.read(_BLOCK):  # the checksum of the compressed data comes last
        pass


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name)  # the folder contains no links, so the name determines the target
    target = folder / name
    inside = not name.is_absolute() and ".." not in name.parts
    if not inside or not (member.isfile() or member.isdir()):
        raise ValueError(f"{member.name!r} must be a file or folder inside the archive")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member)
    assert source is not None  # regular files always have content
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, _BLOCK)
