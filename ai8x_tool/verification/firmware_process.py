"""The process that compiles and runs a generated project.

It works while PyTorch is imported and the other links of the chain are verified, which takes as long as the firmware.
"""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from types import TracebackType

from ai8x_tool.console import Console
from ai8x_tool.engine import LayerTensors
from ai8x_tool.errors import Ai8xError
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.verification.firmware import Array, FirmwareCheck, check_firmware


class FirmwareProcess:
    """A context in which the project of `synthesis` is compiled, and run once the samples are known.

    The process is a copy of this one, and uses neither PyTorch nor a GPU.
    """

    def __init__(self, synthesis: Synthesis) -> None:
        self._synthesis = synthesis
        self._count = 0
        data, self._data = Pipe(duplex=False)
        self._results, results = Pipe(duplex=False)
        own = (self._data, self._results)
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_serve, args=(synthesis, data, results, own), daemon=True)
        self._process.start()
        data.close()
        results.close()

    def __enter__(self) -> FirmwareProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._data.close()
        self._results.close()  # if the process still runs, it ends at its next message
        self._process.join()

    def start(self, samples: Array) -> None:
        """Let the program run with each of `samples` (N, C, H, W) once it has passed its own check."""
        self._count = len(samples)
        self._send(samples)

    def result(self, tensors: LayerTensors, console: Console) -> FirmwareCheck:
        """Wait for the comparison with what the engine computes from the samples.

        Raises Ai8xError if the project cannot be compiled or run.
        """
        outputs = [layer.index for layer in self._synthesis.network.outputs()]
        message: object = 0
        with console.progress("firmware", self._count) as progress:
            for _ in range(self._count):
                message = self._received()
                if not isinstance(message, int):
                    break
                progress.advance()
        if isinstance(message, int):
            self._send(LayerTensors({index: tensors.outputs[index] for index in outputs}, tensors.order))
            message = self._received()
        if isinstance(message, Ai8xError):
            raise message
        assert isinstance(message, FirmwareCheck)
        return message

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # the process has ended: the message that is received next tells why
            self._data.send(message)

    def _received(self) -> object:
        try:
            return self._results.recv()
        except EOFError:
            self._process.join()
            text = f"the process that runs the firmware ended early (status {self._process.exitcode})"
            raise Ai8xError(text, fix="free memory, or add --no-firmware") from None


def _serve(synthesis: Synthesis, data: Connection, results: Connection, others: tuple[Connection, ...]) -> None:
    """Check the firmware of `synthesis`; `others` are the ends of the pipes that belong to the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other process, and this one with it
    for connection in others:
        connection.close()
    with suppress(EOFError, BrokenPipeError):
        try:
            results.send(check_firmware(synthesis, data.recv, results.send))
        except Ai8xError as error:
            results.send(error)
