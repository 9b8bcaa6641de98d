"""Phases of a program, and counts of their instructions."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAIN, WAIT = "main program", "wait for the network"
PHASES = {
    "cnn_enable": "initialize",
    "cnn_init": "initialize",
    "cnn_load_weights": "load kernels",
    "cnn_verify_weights": "verify kernels",
    "cnn_load_bias": "load biases",
    "cnn_configure": "configure",
    "load_input": "load input",
    "cnn_load_input": "load input",
    "cnn_load_input_rgb888": "load input",
    "cnn_start": "start",
    "cnn_continue": "start",
    "check_output": "check output",
    "cnn_unload": "unload",
    "softmax_q17p14_q15": "softmax",
    "softmax_shift_q17p14_q15": "softmax",
}
"""Phase that each function begins; functions called by it belong to the phase."""


@dataclass
class Phase:
    """Instructions of one phase, and its accesses to the accelerator."""

    name: str
    instructions: int = 0
    stores: int = 0
    loads: int = 0


class Phases:
    """Counts by phase. `current` is the phase that is running, `returns` the return address of its function."""

    def __init__(self) -> None:
        self._counts = {name: Phase(name) for name in (*PHASES.values(), WAIT, MAIN)}
        self._calls: list[tuple[int, Phase]] = []
        self._base = self.current = self._counts[MAIN]
        self.returns: int | None = None

    @property
    def instructions(self) -> int:
        """Instructions of all phases."""
        return sum(phase.instructions for phase in self._counts.values())

    def used(self) -> tuple[Phase, ...]:
        """Return the current counts of the phases that have run."""
        order = [*dict.fromkeys(PHASES.values())]
        order.insert(order.index("start") + 1, WAIT)
        return tuple(replace(self._counts[name]) for name in (*order, MAIN) if self._counts[name].instructions)

    @property
    def waiting(self) -> bool:
        """Whether the network is running."""
        return self._base.name == WAIT

    def enter(self, function: str, return_address: int) -> None:
        """Begin the phase of `function`, which returns to `return_address`."""
        phase = self._counts[PHASES[function]]
        if phase.name == "start":
            self._base = self._counts[WAIT]
        self._calls.append((return_address, phase))
        self._update()

    def leave(self) -> None:
        """Return to the previous phase."""
        self._calls.pop()
        self._update()

    def end_calls(self) -> None:
        """Leave all phases."""
        self._calls.clear()
        self._update()

    def done(self) -> None:
        """Record that the network is done: instructions outside phases belong to the main program again."""
        self._base = self._counts[MAIN]
        self._update()

    def _update(self) -> None:
        self.returns, self.current = self._calls[-1] if self._calls else (None, self._base)
