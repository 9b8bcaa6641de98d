"""Speech synthesis by eSpeak NG from the package ``espeakng_loader``.

The C library keeps state (voice phase, noise) between utterances and has one instance per process. Therefore
:func:`synthesize` runs it in a separate process: the same list of utterances always yields the same samples, and the
caller can process a clip while the next one is synthesized.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ai8x_tool.errors import Ai8xError

INSTALL = "pip install ai8x-tool[speech]"

_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_UTF8_TO_END_OF_CLAUSE = 0x1001
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Utterance:
    """A text to speak: `voice` is ``accent+variant``, `rate` words per minute (80…450), `pitch` and `range` 0…100."""

    text: str
    voice: str
    rate: int = 175
    pitch: int = 50
    range: int = 50


class Espeak:
    """eSpeak NG in this process. Raises Ai8xError if it is not installed or does not start."""

    def __init__(self) -> None:
        require_espeak()
        import espeakng_loader  # noqa: PLC0415  (an optional extra)

        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise Ai8xError(f"eSpeak NG cannot be loaded: {error}", fix=INSTALL) from error
        self._library.espeak_Synth.argtypes = [
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]
        self._library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        data = Path(espeakng_loader.get_data_path())
        # eSpeak NG silently ignores a variant that does not exist.
        self._variants = {path.name for path in (data / "voices" / "!v").iterdir()}
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _DO_NOT_EXIT)
        if self.sample_rate <= 0:
            raise Ai8xError(f"eSpeak NG does not start: status {self.sample_rate}", fix=INSTALL)
        self._library.espeak_ng_SetRandSeed(1)
        self._chunks: list[NDArray[np.int16]] = []
        self._callback = _CALLBACK(self._receive)  # kept alive: the library holds a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, utterance: Utterance) -> NDArray[np.int16]:
        """Return the samples of `utterance` at `sample_rate`. Raises Ai8xError for an unknown voice."""
        _, plus, variant = utterance.voice.partition("+")
        known = not plus or variant in self._variants
        if not known or self._library.espeak_SetVoiceByName(utterance.voice.encode()) != 0:
            raise Ai8xError(f"eSpeak NG has no voice {utterance.voice!r}")
        settings = {_RATE: utterance.rate, _VOLUME: 100, _PITCH: utterance.pitch, _RANGE: utterance.range}
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        text = utterance.text.encode() + b"\0"
        self._chunks.clear()
        status = self._library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8_TO_END_OF_CLAUSE, None, None)
        if status != 0 or not self._chunks:
            raise Ai8xError(f"eSpeak NG cannot speak {utterance.text!r}: status {status}")
        return np.concatenate(self._chunks)


def require_espeak() -> None:
    """Raise Ai8xError naming the extra to install if eSpeak NG is missing."""
    if importlib.util.find_spec("espeakng_loader") is None:
        raise Ai8xError("synthetic speech requires eSpeak NG, which is not installed", fix=INSTALL)


def synthesize(utterances: Sequence[Utterance]) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Yield sample rate and samples of every utterance, synthesized in order by a separate process.

    Raises Ai8xError if eSpeak NG is missing or fails.
    """
    require_espeak()
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "ai8x_tool.data.espeak"]
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, env=environment
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin as request:
                request.write(json.dumps([astuple(utterance) for utterance in utterances]).encode())
            for utterance in utterances:
                clip = _read_clip(process.stdout)
                if clip is None:
                    process.wait()
                    raise Ai8xError(f"eSpeak NG failed at {utterance.text!r}: {_last_line(messages)}", fix=INSTALL)
                yield clip
        finally:
            process.kill()


def _last_line(messages: IO[bytes]) -> str:
    messages.seek(0)
    lines = messages.read().decode(errors="replace").split("\n")
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.strip()), "no message")


def _read_clip(stream: IO[bytes]) -> tuple[int, NDArray[np.int16]] | None:
    header = stream.read(8)
    if len(header) < 8:
        return None
    rate, count = np.frombuffer(header, dtype="<i4").tolist()
    data = stream.read(2 * count)
    return (rate, np.frombuffer(data, dtype="<i2").astype(np.int16)) if len(data) == 2 * count else None


def _serve(request: IO[str], answer: IO[bytes]) -> None:
    """Write the utterances of `request` (JSON) to `answer`: rate and count, 32 bits each, then 16-bit samples."""
    espeak = Espeak()
    for fields in json.load(request):
        samples = espeak.speak(Utterance(*fields))
        answer.write(np.array([espeak.sample_rate, len(samples)], dtype="<i4").tobytes())
        answer.write(samples.astype("<i2").tobytes())
    answer.flush()


if __name__ == "__main__":
    try:
        _serve(sys.stdin, sys.stdout.buffer)
    except Ai8xError as failure:
        sys.exit(f"error: {failure}")
