"""Single-bit changes of golden programs, and proofs for those that nobody can notice.

A change is noticed if a layer writes, or adds up, something else, or if the diagnostics change. UNUSED names the fields
of registers that no functional model needs and nothing else in the program repeats; every other unnoticed change must
be proven harmless for the data at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ai8x_tool.device.registers import FAST_FIFO_DATA, FIFO_DATA, registers
from ai8x_tool.device.stores import Stores
from ai8x_tool.virtual import VirtualDevice
from ai8x_tool.virtual.address_map import AddressBlock, classify, find_register
from ai8x_tool.virtual.layer import Kind as LayerKind
from tests.support.program_stores import replaced
from tests.support.reference_device import place, places_read, pooled

CATEGORIES = {
    "register": (AddressBlock.REGISTER, AddressBlock.COMMON),
    "weight": (AddressBlock.KERNEL,),
    "bias": (AddressBlock.BIAS,),
    "input": (AddressBlock.DATA, AddressBlock.FIFO_DATA, AddressBlock.FAST_FIFO_DATA),
}

TIME = "speed, not results: time is not modeled"
UNUSED = {
    ("CTL", "wait_states"): (TIME, lambda p: True),
    ("CTL", "no_pipeline"): (TIME, lambda p: len(p.running) == 1),
    ("CTL", "done"): ("a flag that the part sets", lambda p: True),
    ("CTL", "mlator"): ("loads of MLAT only", lambda p: True),
    ("CTL", "mlator_lane"): ("loads of MLAT only", lambda p: True),
    ("CTL", "express"): (
        "loading of kernels, which is over",
        lambda p: not (p.blocks[p.index :] == AddressBlock.KERNEL).any(),
    ),
    ("CTL", "average_round"): (
        "no layer has average pooling",
        lambda p: all(
            r.layer.operation.maximum or not r.layer.operation.pool or r.layer.one_dimensional for r in p.runs
        ),
    ),
    ("CTL", "one_shot"): ("there is one layer", lambda p: len(p.runs) == 1),
    ("LCTL", "readahead"): (TIME, lambda p: p.run.layer.passes == 1),
    ("LCTL", "shared_output"): (
        "how the generator spreads outputs; doubtful only for convolutions over several quadrants",
        lambda p: p.run.layer.kind is LayerKind.PASSTHROUGH or len(p.running) == 1,
    ),
    ("LCTL2", "output_span"): (
        "depthwise layers that move channels rank their processors",
        lambda p: p.run.layer.kind is LayerKind.DEPTHWISE and not p.run.layer.write.broadcast,
    ),
    ("LCTL2", "write_increment"): (
        "there is a single output pixel and pass",
        lambda p: p.run.written.values.shape[-1] == 1 and p.run.layer.write.pass_step == 0,
    ),
    ("POST", "tcalc"): (TIME, lambda p: p.field("LCTL", "readahead") == 1),
    ("STR1", "start"): (TIME, lambda p: True),
    ("STR1", "fifo_go"): (TIME, lambda p: p.layer == p.runs[0].layer.index),
    ("STR2", "delta1"): (TIME, lambda p: True),
    ("STR2", "delta2"): (TIME, lambda p: True),
    ("FMAX", "words"): ("the size of a buffer that the model does not need", lambda p: True),
    ("WTOFF", "offset"): ("there is one time slot", lambda p: len(p.run.layer.processors) <= 4),
    ("SNP", "results"): ("a result, loaded by the host", lambda p: True),
    ("SNP", "disabled"): ("the unit is not enabled", lambda p: True),
    ("FIFO", "thresholds"): (TIME, lambda p: True),
    ("AON", "wait_states"): (TIME, lambda p: True),
}


@dataclass(eq=False)
class Program:
    """A golden program and its unchanged execution."""

    device: object
    stores: object

    def __post_init__(self):
        self.blocks, self.quadrants, self.offsets = classify(self.device, self.stores.addresses)
        self.machine, self.runs = execute(self.device, self.stores)
        self.diagnostics = [str(d) for d in self.machine.diagnostics]

    def choose(self, generator):
        """Return (index, bit) of a random change; categories come equally often."""
        present = [k for k in CATEGORIES.values() if np.isin(self.blocks, k).any()]
        kinds = present[generator.integers(len(present))]
        index = int(generator.choice(np.flatnonzero(np.isin(self.blocks, kinds))))
        bits = 8 if self.stores.sizes[index] == 1 or self.blocks[index] == AddressBlock.BIAS else 32
        return index, int(generator.integers(bits))

    @cached_property
    def trigger(self):
        """The store that starts the run: the last to CTL."""
        control = registers(self.device)["CTL"]
        addresses = [control.address(self.device, q) for q in range(4)]
        return int(np.flatnonzero(np.isin(self.stores.addresses, addresses))[-1])


def execute(device, stores):
    machine, runs = VirtualDevice(device), []
    machine.hooks.append(runs.append)
    machine.load(stores).run()
    return machine, runs


def same_places(a, b):
    if (a.lane is None) != (b.lane is None):
        return False
    pairs = [(a.instance, b.instance), (a.word, b.word), (a.values, b.values)]
    pairs += [] if a.lane is None else [(a.lane, b.lane)]
    return all(np.array_equal(x, y) for x, y in pairs)


class Mutation:
    """One changed bit."""

    def __init__(self, program, index, bit):
        self.program, self.index, self.bit = program, index, bit
        self.blocks, self.runs, self.device = program.blocks, program.runs, program.device
        value = int(program.stores.values[index]) ^ 1 << bit
        self.stores = replaced(program.stores, index, value)
        self.machine, self.mutants = execute(self.device, self.stores)
        kind = AddressBlock(int(self.blocks[index]))
        self.block = kind
        place = find_register(self.device, int(program.offsets[index])) if kind is AddressBlock.REGISTER else None
        self.register, self.layer = (place.name, place.layer) if place else (None, 0)

    @property
    def noticed(self):
        if [str(d) for d in self.machine.diagnostics] != self.program.diagnostics or len(self.mutants) != len(
            self.runs
        ):
            return True
        pairs = list(zip(self.runs, self.mutants, strict=True))
        return any(
            a.layer.index != b.layer.index
            or not same_places(a.written, b.written)
            or not np.array_equal(a.work.sums, b.work.sums)
            for a, b in pairs
        )

    @property
    def name(self):
        """Register and field, or what else was changed."""
        if self.block is AddressBlock.COMMON:
            offset = int(self.program.stores.addresses[self.index]) - self.device.base
            return ("AON", "wait_states") if offset == 0x1000 else ("FIFO", "thresholds")
        if self.register is None:
            return (self.block.name, "")
        if self.register.startswith("SNP"):
            return self._snoop_name()
        fields = registers(self.device)[self.register].fields
        return self.register, next((f.name for f in fields if f.lsb <= self.bit < f.lsb + f.width), "reserved")

    def _snoop_name(self):
        unit, _, what = self.register.partition("_")
        enabled = self.machine.read(registers(self.device)[f"{unit}_C1"].address(self.device, 0)) & 1
        if what in ("ACC", "HIT", "MAX", "AM"):
            return "SNP", "results"
        return ("SNP", "disabled") if not enabled else (self.register, "value")

    @property
    def running(self):
        return self.runs[0].layer.quadrants

    @property
    def run(self):
        """The layer whose register was changed."""
        return next(r for r in self.runs if r.layer.index == self.layer)

    def field(self, register, field):
        entry = registers(self.device)[register]
        return entry.decode(self.machine.read(entry.address(self.device, 0, self.layer))).get(field)

    # -- Proofs ----------------------------------------------------------------------------------------------------

    def explain(self):
        """Return why nobody can notice the change, None if there is no reason."""
        if self._same_start():
            return "it is overwritten before the start, or never reaches a memory"
        if self.register and registers(self.device)[self.register].layer_step and not self._executed():
            return "the layer is not executed"
        if self.name in UNUSED:
            reason, holds = UNUSED[self.name]
            if holds(self):
                return reason
        proofs = {
            AddressBlock.REGISTER: self._prove_register,
            AddressBlock.KERNEL: self._prove_weight,
            AddressBlock.BIAS: self._prove_bias,
            AddressBlock.DATA: self._prove_input,
            AddressBlock.FIFO_DATA: self._prove_input,
            AddressBlock.FAST_FIFO_DATA: self._prove_input,
        }
        return proofs[self.block]() if self.block in proofs else None

    def _executed(self):
        return any(r.layer.index == self.layer for r in self.runs)

    def _same_start(self):
        """Compare everything that the two programs leave behind before the start."""
        if self.index >= self.program.trigger:
            return False
        states = [state(self.device, stores, self.program.trigger) for stores in (self.program.stores, self.stores)]
        # The store that starts the run replaces what CTL was.
        control = int(self.program.stores.addresses[self.program.trigger])
        for words, _ in states:
            words.pop(control, None)
        memories = zip(states[0][1], states[1][1], strict=True)
        return states[0][0] == states[1][0] and all(np.array_equal(a, b) for a, b in memories)

    def _prove_register(self):
        """Compute outputs from the sums, with the changed shift and activation."""
        a = self.run
        b = next(r for r in self.mutants if r.layer.index == self.layer)
        if self.name[0] == "POST" and self.name[1] in ("shift", "shift_right") and a.layer.write.wide:
            return "the output is what was added up"
        if self.name[1] in ("shift", "shift_right", "relu", "absolute") and a.work.sums is not None:
            values = [finished(r.layer.operation, a.work.sums) for r in (a, b)]
            return "rounding, clamping or activation hide it" if values[0] == values[1] else None
        if self.name[1] in ("pool_first", "max_pool", "average_round", "eltwise_function"):
            changed = self._repooled(a, b.layer)
            return None if changed else "pooling or the operator give the same for these data"
        return None

    def _repooled(self, run, layer):
        """Pool all over again, with the changed registers, and compare with what was."""
        assert run is self.runs[0]
        lanes = state(self.device, self.program.stores, self.program.trigger)[1][2]
        scale = 1 + layer.transposed
        return any(
            pool_at(layer, lanes, layer.read_pointer, rank, e, i, j) != run.work.input[e, rank, i * scale, j * scale]
            for rank in range(len(layer.processors))
            for e, i, j in np.ndindex(layer.passes, *layer.geometry.pooled)
        )

    def _prove_weight(self):
        before, after = (state(self.device, s, self.program.trigger)[1][0] for s in (self.program.stores, self.stores))
        processor, byte = np.argwhere(before != after)[0].tolist()
        bits = int(before[processor, byte] ^ after[processor, byte])
        used = [
            use for run in self.runs for use in weight_uses(run.layer, processor) if use[0] == byte and use[1] & bits
        ]
        if not used:
            return "no kernel uses these bits"
        if all(self._only_zeros(run, processor, byte, bits) for run in self.runs):
            return "it is multiplied with zeros only"
        return None

    def _only_zeros(self, run, processor, byte, bits):
        layer = run.layer
        rank = {p: i for i, p in enumerate(layer.processors.tolist())}.get(processor)
        (top, left), columns = layer.geometry.pad, layer.geometry.kernel[1]
        for at, mask, e, tap in weight_uses(layer, processor):
            if at == byte and mask & bits:
                x = np.pad(run.work.input[e, rank], ((top, top), (left, left)))
                i, j = divmod(tap, columns)
                rows, width = run.work.sums.shape[-2:]
                if x[i : i + rows, j : j + width].any():
                    return False
        return True

    def _prove_bias(self):
        before, after = (state(self.device, s, self.program.trigger)[1][1] for s in (self.program.stores, self.stores))
        quadrant, entry = np.argwhere(before != after)[0].tolist()
        used = any(
            entry in bias_entries(run.layer, quadrant, len(run.work.sums)) for run in self.runs if run.layer.bias
        )
        return None if used else "no output uses this entry"

    def _prove_input(self):
        """A byte that is not read, that pooling absorbs, or that meets zero weights."""
        run = self.runs[0]
        instance, word, fifo = self._place()
        at, pointer = (instance, word, self.bit // 8), 0 if fifo else run.layer.read_pointer
        later = [] if fifo else self._later_reads(at)
        uses = places_read(run.layer, pointer).get(at, [])
        if any(later):
            return None
        if not uses:
            return "no window reaches this byte"
        before, after = (input_lanes(self.device, s, self.program, fifo) for s in (self.program.stores, self.stores))
        for rank, e, i, j in uses:
            same = pool_at(run.layer, before, pointer, rank, e, i, j) == pool_at(
                run.layer, after, pointer, rank, e, i, j
            )
            if not same and (run.work.weights is None or weights_on(run, rank, e, i, j).any()):
                return None
        return "pooling, the operator or zero weights absorb it"

    def _later_reads(self, at):
        """Return for each later layer whether it still finds there what the host stored."""
        reads = []
        for earlier, run in zip(self.runs, self.runs[1:], strict=False):
            if at in places_written(earlier.written):
                break
            reads.append(at in places_read(run.layer, run.layer.read_pointer))
        return reads

    def _place(self):
        address = int(self.program.stores.addresses[self.index])
        if self.block is AddressBlock.DATA:
            step = self.device.addresses.instance_stride
            offset = int(self.program.offsets[self.index])
            return 4 * int(self.program.quadrants[self.index]) + offset // step, offset % step // 4, False
        earlier = int((self.program.stores.addresses[: self.index] == address).sum())
        number = 0 if address == FAST_FIFO_DATA else (address - self.device.base - FIFO_DATA) // 4
        return 4 * number, earlier, True


def upto(stores, end):
    return Stores.of(stores.addresses[:end], stores.values[:end], stores.sizes[:end])


def state(device, stores, end):
    """Return registers and memories (kernels, bias, data) after the first `end` stores."""
    machine = VirtualDevice(device).load(upto(stores, end))._machine
    words = {address: value for address, value in machine.registers.words.items() if value}
    return words, (machine.kernels.stream, machine.biases.values, machine.data.lanes)


def input_lanes(device, stores, program, fifo):
    """Return (instances, words, 4) signed bytes: data memory at the start, or what the FIFOs receive after it."""
    if not fifo:
        return state(device, stores, program.trigger)[1][2]
    lanes = np.zeros((16, len(stores), 4), np.int8)
    for quadrant in range(4):
        port = device.base + FIFO_DATA + 4 * quadrant
        sent = stores.values[np.isin(stores.addresses, (port, FAST_FIFO_DATA))]
        lanes[4 * quadrant, : len(sent)] = sent.astype("<u4").view(np.int8).reshape(-1, 4)
    return lanes


def places_written(written):
    """Return {(instance, word, lane)} of all bytes that a layer wrote."""
    lane = np.arange(4) if written.lane is None else written.lane[..., None]
    index = np.broadcast_arrays(written.instance[..., None], written.word[..., None], lane)
    return set(zip(*(x.ravel().tolist() for x in index), strict=True))


def weights_on(run, rank, e, i, j):
    """Return all weights that pooled pixel (i, j) is multiplied with: at the edges, not every tap meets it."""
    geometry, scale = run.layer.geometry, 1 + run.layer.transposed
    rows, columns = run.work.sums.shape[-2:]
    met = [
        tap
        for tap, (a, b) in enumerate(np.ndindex(*geometry.kernel))
        if 0 <= i * scale + geometry.pad[0] - a < rows and 0 <= j * scale + geometry.pad[1] - b < columns
    ]
    return run.work.weights[..., e, rank, met]


def pool_at(layer, lanes, pointer, rank, e, i, j):
    """Return one pooled pixel of one processor and pass, by loops."""
    processor = int(layer.processors[rank])
    return pooled(layer, lambda y, x, k: int(lanes[place(layer, pointer, processor, y, x, e, k)]), i, j)


def finished(operation, sums):
    """Shift with rounding, clamp, activate, in exact integers."""
    shift = 7 - operation.shift
    result = []
    for total in sums.ravel().tolist():
        y = (total + (1 << shift - 1)) >> shift if shift > 0 else total << -shift
        y = max(-128, min(127, y))
        y = max(y, 0) if operation.relu else y
        result.append(min(abs(y), 127) if operation.absolute else y)
    return result


def weight_uses(layer, processor):
    """Yield (stream byte, bit mask, pass, tap) of every weight that `layer` takes from `processor`."""
    kernels = layer.kernels
    if layer.kind is LayerKind.PASSTHROUGH or processor not in layer.processors.tolist():
        return
    taps, bits = kernels.size[0] * kernels.size[1], kernels.bits
    for number, unit in enumerate(range(kernels.start, kernels.end + 1, bits)):
        base = (unit >> 3) * taps + kernels.offset
        for tap in range(taps):
            yield base + taps - 1 - tap, ((1 << bits) - 1) << (unit & 7), number % layer.passes, tap


def bias_entries(layer, quadrant, outputs):
    """Return the entries of `quadrant` that a layer adds. No parallel kernels."""
    if quadrant not in layer.bias:
        return set()
    offset = layer.bias[quadrant]
    if layer.kind is not LayerKind.DEPTHWISE:
        return {offset + o for o in range(outputs)}
    own = [p % 16 for p in layer.processors.tolist() if p // 16 == quadrant]
    if layer.write.broadcast:
        return {4 * offset + 16 * e + 4 * (p % 4) + p // 4 for p in own for e in range(layer.passes)}
    quadrants = [p // 16 for p in layer.processors.tolist()]
    lowest = int(layer.processors[0])
    positions = [p - (lowest % 16 if quadrant == lowest // 16 else 0) for p in own]
    length = 16 if max(quadrants) > quadrant else max(positions) + 1
    return {offset + e * length + p for p in positions for e in range(layer.passes)}
