"""Folder of a run: log file, copies of the configuration, links to the latest run."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import unwritable, write_file
from ai8x_tool.settings.training import OutputSettings
from ai8x_tool.training.world import World


class RunLog:
    """Writes each console message, with the time, to the log file, and the error that ends its block.

    With `links`, ``latest`` links to this run.
    """

    def __init__(self, out_dir: Path, name: str | None, console: Console, *, links: bool = True) -> None:
        self.console = console
        self.folder = _create_folder(out_dir, name)
        self.file = self.folder / f"{self.folder.name}.log"
        with self._failures(self.file):
            self._stream = self.file.open("a", encoding="utf-8", errors="backslashreplace")
        console.log = self.record
        if links:
            _link(out_dir / "latest", Path(self.folder.name))
            _link(out_dir / "latest_log_dir", Path(self.folder.name))
            _link(out_dir / "latest_log_file", Path(self.folder.name) / self.file.name)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with contextlib.suppress(Ai8xError):  # the first error is the relevant one
            if isinstance(error, Ai8xError):
                self.record(f"error: {error}")
            elif isinstance(error, Exception):
                self.record("".join(traceback.format_exception(error)).rstrip())
        self.close()

    def info(self, text: str) -> None:
        """Write `text` to the log file and show it."""
        self.console.info(text)

    def record(self, text: str, at: float | None = None) -> None:
        """Write `text` to the log file only; `at` is its time in seconds since the epoch (default: now)."""
        now = time.time() if at is None else at
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now * 1000) % 1000:03d}"
        with self._failures(self.file):
            self._stream.write("".join(f"{stamp} - {line}\n" for line in text.splitlines() or [""]))
            self._stream.flush()

    def keep(self, *files: Path) -> None:
        """Copy configuration files to the folder ``configs`` of the run."""
        target = self.folder / "configs"
        with self._failures(target):
            target.mkdir(exist_ok=True)
            for file in files:
                shutil.copyfile(file, target / file.name)

    def write(self, data: bytes, path: Path) -> None:
        """Write a file atomically."""
        write_file(data, path)

    def copy_to(self, target: Path) -> None:
        """Copy the folder of the run to `target`, merging it with existing content."""
        with self._failures(target):
            shutil.copytree(self.folder, target, dirs_exist_ok=True)

    def close(self) -> None:
        """Close the log file."""
        self.console.log = None
        self._stream.close()

    @contextlib.contextmanager
    def _failures(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(path, error) from None


class SilentLog(RunLog):
    """Log of all processes but the first: it writes nothing. `folder` is that of the first process."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.console, self.folder = console, folder
        self.file = folder / f"{folder.name}.log"

    def record(self, text: str, at: float | None = None) -> None:
        """Do nothing, like the other methods."""

    def keep(self, *files: Path) -> None:
        """Do nothing."""

    def write(self, data: bytes, path: Path) -> None:
        """Do nothing."""

    def copy_to(self, target: Path) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _create_folder(out_dir: Path, name: str | None) -> Path:
    stamp = (f"{name}___" if name else "") + time.strftime("%Y.%m.%d-%H%M%S")
    for attempt in range(100):
        folder = out_dir / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not out_dir.is_dir():
                break
        except OSError as error:
            raise unwritable(out_dir, error) from None
    raise unwritable(out_dir, OSError("it must be a folder and must not contain 100 runs of the same second"))


def _link(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, if the system allows it."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    with contextlib.suppress(OSError, NotImplementedError):
        if link.is_dir() and not link.is_symlink():
            return
        temporary.symlink_to(target)
        temporary.replace(link)


def open_run_log(settings: OutputSettings, console: Console, world: World) -> RunLog:
    """Return the log of a run: a file in the first process, nothing in the others."""
    with world.first_process_first():
        log = RunLog(settings.out_dir, settings.name, console) if world.is_first else None
    if log is not None:
        for text in console.warnings:  # from the preparation
            log.record(f"warning: {text}")
    folder = world.broadcast(log.folder if log else Path())
    return log or SilentLog(folder, console)
