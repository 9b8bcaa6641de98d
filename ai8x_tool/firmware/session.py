"""Inference with any sample through the functions of a project's ``cnn.h``; common to all kinds of sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy.typing as npt

from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.build import Firmware
from ai8x_tool.firmware.bus import Bus
from ai8x_tool.firmware.interface import FILE, Interface
from ai8x_tool.firmware.result import FirmwareRun

Array = npt.NDArray[Any]
_PREPARE = ("cnn_enable", "cnn_init", "cnn_load_weights", "cnn_load_bias")


class Session(ABC):
    """A program on its bus."""

    def __init__(self, firmware: Firmware, bus: Bus) -> None:
        self.firmware = firmware
        self._accelerator = bus
        self._finished: FirmwareRun | None = None
        self._prepared = False

    @abstractmethod
    def _run(self) -> FirmwareRun:
        """Run the program from reset to its end."""

    @abstractmethod
    def _call(self, function: str) -> None:
        """Call a function of the program. Raises Ai8xError if it does not return."""

    @abstractmethod
    def _load(self, function: str, data: bytes) -> None:
        """Call `function`, which is ``cnn_load_input()`` or its variant for frames, with `data`."""

    @abstractmethod
    def _unload(self) -> bytes:
        """Call ``cnn_unload()`` and return what it wrote."""

    def run(self) -> FirmwareRun:
        """Run the program from reset to its end."""
        self._finished = self._run()
        return self._finished

    def forget(self) -> None:
        """Power up again before the next inference, so that programs that clear memories forget the one before."""
        self._prepared = False

    def close(self) -> None:  # noqa: B027  (most sessions hold nothing)
        """Release the resources of the session."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def infer(self, sample: Array, where: str = "sample", frame: bytes | None = None) -> list[Array]:
        """Run the network with `sample`, (channels, rows, columns) or (channels, length) of −128…127.

        `frame` is the image of `sample`, with red, green and blue of each pixel; it is passed to projects that load
        frames of cameras. Returns the outputs, each (channels, rows, columns) of int64. The program is run first if it
        has not run yet. Raises Ai8xError if the sample does not fit the project, or the project cannot load samples.
        """
        interface = self._interface()
        function, data = "cnn_load_input", interface.sample_bytes(sample, where)
        if frame is not None and self.firmware.project.loads_frames and len(frame) == len(data):
            function, data = "cnn_load_input_rgb888", frame
        self.prepare()
        self._call("cnn_configure")
        if interface.fifo:
            self._call("cnn_start")
        self._load(function, data)
        if not interface.fifo:
            self._call("cnn_start")
        self._call("shim_wait")
        for _ in range(interface.continues):
            self._call("cnn_continue")
            self._call("shim_wait")
        return interface.split_output(self._unload())

    def _interface(self) -> Interface:
        project = self.firmware.project
        folder, fix = str(project.folder), "generate the project again with --overwrite"
        if project.interface is None:
            raise Ai8xError(f"the project has no {FILE}: only its own sample can be run", where=folder, fix=fix)
        if not project.loads_inputs:
            raise Ai8xError(
                "the project has no cnn_load_input(): only its own sample can be run", where=folder, fix=fix
            )
        if project.interface.outputs is None:
            raise Ai8xError("the project does not unload its outputs", where=folder, fix="leave out --no-unload")
        return project.interface

    def prepare(self) -> None:
        """Power the accelerator up and load everything again, since the program has switched it off at its end.

        This is the first step of an inference unless it has been done. Raises Ai8xError if the program does not end.
        """
        finished = self._finished or self.run()
        if finished.fault:
            raise Ai8xError(finished.fault, where=str(self.firmware.project.folder))
        if not self._prepared:
            for function in _PREPARE:
                self._call(function)
            self._prepared = True
