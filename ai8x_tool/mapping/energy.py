"""Time and energy of loading weights and input and of the inference; docs/estimates.md describes the model."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.device.bits import ceil_div
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.mapping.cycles import FIFO_WORD_CYCLES, START_UP_CYCLES, estimated_cycles, kernel_reads
from ai8x_tool.mapping.mapping import LayerMapping, Mapping

LOADING_WATTS = 42.5e-3
"""Power, above idle, while a core copies words into the accelerator."""
ENABLED_WATTS = 6.5e-3
"""Power, above idle, of the accelerator while it is switched on, whatever its clock frequency."""
CYCLE_JOULES = 680e-12
"""Energy of one cycle of the accelerator without kernel reads: clocks, sequencer, data memory, sums."""
KERNEL_READ_JOULES = 24e-12
"""Energy of one processor for reading a kernel and multiplying by it."""
_WORD = 4


@dataclass(frozen=True)
class EnergyPhase:
    """Time and energy (above idle) of one phase."""

    seconds: float
    joules: float


@dataclass(frozen=True)
class Core:
    """The core that loads weights and input, with its cycles per word of four bytes.

    `fifo_cycles` include the test for free space. `megahertz` is None for the device's oscillator.
    """

    weight_cycles: float
    input_cycles: float
    fifo_cycles: float
    megahertz: float | None = None

    def load(self, words: int, word_cycles: float, device: Device) -> EnergyPhase:
        """Return time and energy of copying `words` words at `word_cycles` cycles each."""
        seconds = words * word_cycles / (1e6 * (self.megahertz or device.oscillator_mhz))
        return EnergyPhase(seconds, LOADING_WATTS * seconds)


ARM = Core(weight_cycles=33.8, input_cycles=33, fifo_cycles=43)
RISC_V = Core(weight_cycles=70.5, input_cycles=61.2, fifo_cycles=80, megahertz=60)


@dataclass(frozen=True)
class Estimate:
    """Estimated time and energy of a mapped network.

    `layer_cycles` and `layer_joules` are in the order of the layers, without waiting. `cycles` are all cycles of an
    inference; `waiting_cycles` are those in which the accelerator waits for streamed input. `streams` is whether the
    input is loaded during the inference, which then includes its time and energy; `load_input` is 0 in that case.
    `input_words` words of four bytes are loaded for each inference; a streaming network reads at most `input_rate` of
    them per second (None without streaming). `time_basis` and `energy_basis` describe the accuracy of the figures.
    """

    layer_cycles: tuple[int, ...]
    layer_joules: tuple[float, ...]
    cycles: int
    waiting_cycles: int
    load_weights: EnergyPhase
    load_input: EnergyPhase
    inference: EnergyPhase
    streams: bool
    input_words: int
    input_rate: float | None
    time_basis: str
    energy_basis: str


def estimate(mapping: Mapping, *, clock_mhz: float, pipeline: bool, core: Core = ARM) -> Estimate:
    """Return time and energy of `mapping` at an accelerator clock of `clock_mhz`, with or without the pipeline."""
    device, words, through_fifo = mapping.device, input_words(mapping), _through_fifo(mapping)
    layers = tuple(estimated_cycles(mapped, pipeline=pipeline) for mapped in mapping.layers)
    energies = tuple(
        inference_joules(cycles, kernel_reads(mapped), clock_mhz)
        for mapped, cycles in zip(mapping.layers, layers, strict=True)
    )
    loading = core.load(words, core.fifo_cycles if through_fifo else core.input_cycles, device)
    streaming = _streaming_cycles(mapping, layers, words) if through_fifo else 0
    overhead = START_UP_CYCLES + (FIFO_WORD_CYCLES * words if streaming else 0)
    waiting = max(0, round(loading.seconds * 1e6 * clock_mhz) - streaming) if streaming else 0
    joules = sum(energies) + inference_joules(overhead, 0, clock_mhz) + _idle_joules(waiting, clock_mhz)
    cycles = sum(layers) + overhead + waiting
    return Estimate(
        layer_cycles=layers,
        layer_joules=energies,
        cycles=cycles,
        waiting_cycles=waiting,
        load_weights=core.load(weight_words(mapping), core.weight_cycles, device),
        load_input=EnergyPhase(0.0, 0.0) if streaming else loading,
        inference=EnergyPhase(cycles / (1e6 * clock_mhz), joules + (loading.joules if streaming else 0.0)),
        streams=streaming > 0,
        input_words=words,
        input_rate=1e6 * clock_mhz * words / streaming if streaming else None,
        time_basis=_time_basis(mapping, pipeline=pipeline, streams=streaming > 0),
        energy_basis=_energy_basis(device),
    )


def inference_joules(cycles: int, reads: int, clock_mhz: float) -> float:
    """Return the energy, above idle, of `cycles` of the accelerator in which all processors read `reads` kernels."""
    return _idle_joules(cycles, clock_mhz) + CYCLE_JOULES * cycles + KERNEL_READ_JOULES * reads


def weight_words(mapping: Mapping) -> int:
    """Return the number of words of four bytes copied to kernel memory (packed: express loading)."""
    return sum(kernel_words(mapped) for mapped in mapping.layers)


def kernel_words(mapped: LayerMapping) -> int:
    """Return the number of words of four bytes of one layer's kernels: whole columns in each of its processors."""
    if mapped.kernels.duplicate_of is not None:
        return 0
    return mapped.processors.bit_count() * ceil_div(COLUMN_BYTES * mapped.kernels.length, _WORD)


def input_words(mapping: Mapping) -> int:
    """Return the number of words of four bytes of one input.

    A word contains four pixels of a channel (CHW), one pixel of the channels in one instance of data memory, or,
    through a FIFO, one pixel of any four channels.
    """
    layer = mapping.start.layer
    pixels = layer.in_size[0] * layer.in_size[1]
    if mapping.start.chw:
        return layer.channels_in * layer.operands * ceil_div(pixels, _WORD)
    lanes = ceil_div(layer.channels_in, _WORD) if _through_fifo(mapping) else _instances(mapping.start)
    return pixels * layer.operands * mapping.start.view.input_passes * lanes


def _instances(mapped: LayerMapping) -> int:
    mask = (1 << PROCESSORS_PER_INSTANCE) - 1
    firsts = range(0, PROCESSORS, PROCESSORS_PER_INSTANCE)
    return sum(bool(mapped.own_processors >> first & mask) for first in firsts)


def _through_fifo(mapping: Mapping) -> bool:
    options = mapping.options
    return options.fifo or options.fast_fifo or options.quad


def _streaming_cycles(mapping: Mapping, layers: tuple[int, ...], words: int) -> int:
    """Return the cycles of the layers that run while the input arrives; 0 if the input is loaded before."""
    pairs = zip(mapping.layers, layers, strict=True)
    streaming = sum(cycles for mapped, cycles in pairs if mapped.streaming)
    return streaming + FIFO_WORD_CYCLES * words if streaming else 0


def _idle_joules(cycles: int, clock_mhz: float) -> float:
    return ENABLED_WATTS * cycles / (1e6 * clock_mhz)


def _time_basis(mapping: Mapping, *, pipeline: bool, streams: bool) -> str:
    if any(mapped.calcx4 or mapped.readahead for mapped in mapping.layers):
        return "estimate: calcx4 and read-ahead have not been measured"
    if streams:
        return "estimate: the core loads the input without pause"
    return f"model, ±{5 if pipeline else 1} % of measured networks"


def _energy_basis(device: Device) -> str:
    if device.pipeline:
        return "estimate, ±25 %: depends on the data"
    return "rough estimate: constants of the MAX78002"
