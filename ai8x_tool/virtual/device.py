"""The virtual device: the bus interface of the accelerator model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device, find_device
from ai8x_tool.device.distinct import distinct
from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, QUADRANTS
from ai8x_tool.device.registers import CLEAR_BIAS, FAST_FIFO_STATUS, FIFO_STATUS, REGISTERS_CLEARED
from ai8x_tool.device.stores import Stores
from ai8x_tool.virtual.address_map import AddressBlock, classify, find_register, locate, segments
from ai8x_tool.virtual.byte_collector import ByteCollector
from ai8x_tool.virtual.data_memory import HOST
from ai8x_tool.virtual.diagnostics import Diagnostic, Diagnostics
from ai8x_tool.virtual.fifo import FAST, fifo_name, frame_input
from ai8x_tool.virtual.machine import LayerRun, Machine, Run
from ai8x_tool.virtual.start_checks import check_start, is_powered_down

Array = npt.NDArray[Any]

_MEMORIES = (AddressBlock.BIAS, AddressBlock.KERNEL, AddressBlock.DATA, AddressBlock.TRAM)


class HasStores(Protocol):
    """An object that returns the stores of a program."""

    def stores(self) -> Stores:
        """Return the stores in program order."""


class VirtualDevice:
    """A model of the accelerator of a MAX78000 or MAX78002, accessed by its bus.

    >>> from ai8x_tool.virtual import VirtualDevice
    >>> device = VirtualDevice("MAX78000")
    >>> device.write(0x5010_0000, 8)  # clock on
    >>> device.write(0x5040_0000, 0x01020304)
    >>> hex(device.read(0x5040_0000))
    '0x1020304'

    With `strict`, errors and warnings raise Ai8xError; otherwise they are collected in `diagnostics`, as notes are.
    With `trace`, `layers` also keeps the inputs, weights and sums of every layer, not only its output.
    """

    def __init__(self, device: Device | str, *, strict: bool = False, trace: bool = False) -> None:
        self.device = find_device(device) if isinstance(device, str) else device
        self._diagnostics = Diagnostics(strict)
        self._machine = Machine.of(self.device, self._diagnostics)
        self._pending: list[tuple[int, int, int]] = []
        self._run: Run | None = None
        self._waiting = False
        self._completed = 0
        self._runs: dict[int, LayerRun] = {}
        self._machine.hooks.append(self._remember)
        self._trace = trace
        self._byte_collector = ByteCollector(self.device)

    # -- Python interface ------------------------------------------------------------------------------------------

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """The diagnostics found so far."""
        self._flush()
        return list(self._diagnostics.found)

    @property
    def hooks(self) -> list[Callable[[LayerRun], None]]:
        """Functions called after every executed layer."""
        return self._machine.hooks

    @property
    def layers(self) -> dict[int, LayerRun]:
        """The last execution of every hardware layer, in the order of execution."""
        self._flush()
        return dict(self._runs)

    @property
    def completed(self) -> int:
        """Number of completed runs."""
        self._flush()
        return self._completed

    def load(self, program: Stores | HasStores) -> VirtualDevice:
        """Perform the stores of a program or of a trace, and return the device; a start among them runs the layers."""
        self._flush()
        self._apply(program if isinstance(program, Stores) else program.stores())
        return self

    def run(self) -> VirtualDevice:
        """Complete the run and return the device; report the reason if the program cannot complete."""
        self._flush()
        if self._waiting and self._run is not None and self._run.frame is not None:
            frame = self._run.frame
            for number, count in frame.missing(self._machine.fifos).items():
                text = f"{fifo_name(number)} starves: it received {frame.words - count} of {frame.words} words"
                self._diagnostics.report("error", text, layer=self._run.first, register="IFRM")
        elif self._run is None and not self._completed:
            self._diagnostics.report("error", "the accelerator was never started", register="CTL")
        else:
            if self._run is not None:
                self._run.close()
            for number, count in self._machine.fifos.waiting().items():
                text = f"{fifo_name(number)} holds {count} words that no run has used"
                self._diagnostics.report("warning", text, register="CTL")
        return self

    def words(self, addresses: Array) -> Array:
        """Return the words (uint32) of data memory at byte `addresses`. Raises ValueError for other addresses."""
        return self._machine.data.load_words(*self._data_words(addresses))

    def writers(self, addresses: Array) -> Array:
        """Return the origins of the four bytes of each word of data memory at byte `addresses`, in a further axis.

        The origin is the hardware layer that wrote the byte last, or a negative number if no layer of the last run did.
        Raises ValueError for addresses outside data memory.
        """
        return self._machine.data.origin[self._data_words(addresses)]

    def _data_words(self, addresses: Array) -> tuple[Array, Array]:
        self._flush()
        blocks, quadrants, offsets = classify(self.device, np.asarray(addresses))
        instance, word = self._data_place(quadrants, offsets)
        if (blocks != AddressBlock.DATA).any() or (word >= self._machine.data.size).any():
            raise ValueError("the addresses must lie in data memory")
        return instance, word

    # -- Bus -------------------------------------------------------------------------------------------------------

    def write(self, address: int, value: int, size: int = 4) -> None:
        """Store `size` bytes of `value`. Stores take effect in order, before the next load at the latest."""
        self._pending.append((address, value, size))

    def read(self, address: int, size: int = 4) -> int:
        """Return `size` bytes from `address`."""
        self._flush()
        self._check_aligned(address, size, "load from")
        word = self._load_word(address & ~3)
        return word >> 8 * (address & 3) & ((1 << 8 * size) - 1)

    @property
    def interrupt(self) -> bool:
        """True while the completion flag of any quadrant is set."""
        self._flush()
        registers = self._machine.registers
        done = registers.table["CTL"].encode({"done": 1})
        return any(registers.read("CTL", quadrant) & done for quadrant in range(QUADRANTS))

    # -- Stores ----------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            columns = np.fromiter(chain.from_iterable(pending), np.int64, 3 * len(pending)).reshape(-1, 3).T
            self._apply(Stores.of(columns[0], columns[1] & 0xFFFF_FFFF, columns[2]))

    def _apply(self, stores: Stores) -> None:
        blocks, quadrants, offsets = classify(self.device, stores.addresses)
        misaligned = stores.addresses & (stores.sizes.astype(np.int64) - 1)
        if misaligned.any():
            first = int(misaligned.argmax())
            self._check_aligned(int(stores.addresses[first]), int(stores.sizes[first]), "store to")
        for part in segments(self.device, blocks, quadrants, offsets, stores.sizes):
            block, quadrant = AddressBlock(int(blocks[part.start])), int(quadrants[part.start])
            values, sizes = stores.values[part], stores.sizes[part]
            if block in _MEMORIES:
                self._check_access(block, quadrant, int(stores.addresses[part.start]))
            if block is AddressBlock.DATA:
                self._store_data(quadrant, offsets[part], values, sizes)
            elif block is AddressBlock.KERNEL:
                self._store_kernels(quadrant, offsets[part], values, sizes)
            elif block is AddressBlock.BIAS:
                self._machine.biases.store(quadrant, offsets[part] // 4, values)
            elif block is AddressBlock.TRAM:
                continue
            elif block in (AddressBlock.FIFO_DATA, AddressBlock.FAST_FIFO_DATA):
                self._push(block, offsets[part], values)
            else:
                self._store_words(block, quadrant, stores.addresses[part], offsets[part], values)

    def _store_words(self, block: AddressBlock, quadrant: int, addresses: Array, offsets: Array, values: Array) -> None:
        for address, offset, value in zip(addresses.tolist(), offsets.tolist(), values.tolist(), strict=True):
            if block is AddressBlock.REGISTER:
                self._store_register(quadrant, address, offset, value)
            elif block is AddressBlock.COMMON:
                self._machine.registers.store(address, value)
            else:
                self._diagnostics.report("error", "store to an address without register or memory", address=address)

    def _check_access(self, block: AddressBlock, quadrant: int, address: int, access: str = "stored to") -> None:
        name = block.name.lower()
        if not self._machine.registers.fields("CTL", quadrant)["clock"]:
            text = f"{name} memory is {access} while the quadrant's clock is off"
            self._diagnostics.report("error", text, quadrant=quadrant, address=address, register="CTL")
        if is_powered_down(self._machine.registers, self.device, quadrant):
            text = f"{name} memory is {access} while it is powered down"
            self._diagnostics.report("error", text, quadrant=quadrant, address=address, register="AON")
        if self._waiting:
            text = f"{name} memory is {access} while the accelerator runs"
            self._diagnostics.report("warning", text, quadrant=quadrant, address=address)

    def _check_aligned(self, address: int, size: int, access: str) -> None:
        if address % size:
            text = f"a {8 * size}-bit {access} an address that is not a multiple of {size}"
            self._diagnostics.report("error", text, address=address)

    def _data_place(self, quadrants: Any, offsets: Any) -> tuple[Any, Any]:
        step = self.device.addresses.instance_stride
        return 4 * quadrants + offsets // step, offsets % step // 4

    def _store_data(self, quadrant: int, offsets: Array, values: Array, sizes: Array) -> None:
        instance, word = self._data_place(quadrant, offsets)
        memory = self._machine.data
        beyond = word >= memory.size
        if beyond.any():
            text = f"store to word {int(word[beyond][0]):#x} of an instance, which has {memory.size:#x} words"
            address = self.device.quadrant(self.device.addresses.data, quadrant) + int(offsets[beyond][0])
            self._diagnostics.report("error", text, quadrant=quadrant, address=address)
            instance, word, values, sizes = (x[~beyond] for x in (instance, word, values, sizes))
            offsets = offsets[~beyond]
        if (sizes == 4).all():
            memory.store_words(instance, word, values, HOST)
            return
        for i in range(len(sizes)):
            lanes = offsets[i] % 4 + np.arange(sizes[i])
            data = np.frombuffer(int(values[i]).to_bytes(4, "little"), np.int8)[: sizes[i]]
            memory.store_bytes(instance[i], word[i], lanes, data, HOST)

    def _store_kernels(self, quadrant: int, offsets: Array, values: Array, sizes: Array) -> None:
        inside, place = np.divmod(offsets, self.device.addresses.kernel_stride)
        processor = PROCESSORS_PER_QUADRANT * quadrant + int(inside[0])
        memory = self._machine.kernels
        if not self._machine.registers.fields("CTL", quadrant)["express"]:
            memory.store_parts(processor, place, values)
            return
        if sizes[0] == 1:
            memory.select(processor, int(place[0]))
            values = values[1:]
        memory.append(processor, values)

    def _push(self, block: AddressBlock, offsets: Array, values: Array) -> None:
        numbers = offsets // 4 if block is AddressBlock.FIFO_DATA else np.full(len(offsets), FAST)
        for number in distinct(numbers).tolist():
            self._machine.fifos.push(number, values[numbers == number])
        run = self._run
        if not self._waiting or run is None or run.frame is None:
            return
        for number in sorted(set(distinct(numbers).tolist()) - set(run.frame.feeds)):
            text = f"{fifo_name(number)} receives data, but is not in use"
            self._diagnostics.report("error", text, layer=run.first, register="CTL")
            self._machine.fifos.drop(number)
        self._proceed()

    # -- Registers -------------------------------------------------------------------------------------------------

    def _store_register(self, quadrant: int, address: int, offset: int, value: int) -> None:
        place = find_register(self.device, offset)
        if place is None:
            text = "there is no register at this address"
            self._diagnostics.report("error", text, quadrant=quadrant, address=address)
            return
        registers = self._machine.registers
        if self._waiting and place.name not in ("CTL", "SRAM"):
            text = f"{value:#x} is written while the accelerator runs"
            layer = place.layer if registers.table[place.name].layer_step else None
            self._diagnostics.report("warning", text, layer=layer, quadrant=quadrant, register=place.name)
        unknown = value & ~registers.table[place.name].known_bits
        if unknown:
            text = f"bits {unknown:#x} of the value {value:#x} have no known meaning"
            layer = place.layer if registers.table[place.name].layer_step else None
            self._diagnostics.report("warning", text, layer=layer, quadrant=quadrant, register=place.name)
        before = registers.words.get(address, 0)
        registers.store(address, value)
        if place.name == "TEST":
            self._test(quadrant, value)
        elif place.name == "CTL":
            self._control(quadrant, before, value)

    def _test(self, quadrant: int, code: int) -> None:
        """Clear the memories or registers that a TEST code selects."""
        machine = self._machine
        clears = self.device.clear_registers is not None and code & ~CLEAR_BIAS == self.device.clear_registers
        if code and not clears and all(code != test.start for test in self.device.tests):
            text = f"code {code:#x} does not start a known function"
            self._diagnostics.report("warning", text, quadrant=quadrant, register="TEST")
        own = slice(PROCESSORS_PER_QUADRANT * quadrant, PROCESSORS_PER_QUADRANT * (quadrant + 1))
        if clears:
            machine.registers.clear_layers(quadrant)
            if code & CLEAR_BIAS:
                machine.biases.clear(quadrant)
        for test in self.device.tests:
            if code != test.start:
                continue
            if test.memory == "data":
                machine.data.clear(slice(4 * quadrant, 4 * quadrant + 4))
            elif test.memory == "kernel":
                machine.kernels.clear(own)
            elif test.memory == "bias":
                machine.biases.clear(quadrant)

    def _control(self, quadrant: int, before: int, value: int) -> None:
        """Handle a store to CTL, which starts or continues a run or only changes the register."""
        table = self._machine.registers.table["CTL"]
        old, new = table.decode(before), table.decode(value)
        self._byte_collector.control(quadrant, before=old["mlator"], after=new["mlator"])
        if not new["run"] or self._waiting or (new["master"] or old["master"]) != quadrant:
            return
        if not old["run"]:
            self._start(quadrant)
        elif self._run is None or self._run.finished or not new.get("one_shot") or old["done"] > new["done"]:
            return  # A handler that clears its flag starts nothing.
        self._proceed()

    def _start(self, master: int) -> None:
        registers = self._machine.registers
        quadrants = registers.running()
        check_start(registers, self.device, quadrants, master, self._diagnostics)
        if self._run is not None:
            self._run.close()
            self._machine.data.begin_run()
        frame = frame_input(registers, self.device, quadrants, master, self._diagnostics)
        self._run = Run(self._machine, quadrants, master, frame)

    def _proceed(self) -> None:
        """Execute all layers, or one in one-shot mode, once the input is complete."""
        run = self._run
        if run is None:
            return
        at_start = run.position == run.first and run.untouched
        self._waiting = at_start and run.frame is not None and bool(run.frame.missing(self._machine.fifos))
        if self._waiting:
            return
        one_shot = bool(self._machine.registers.fields("CTL", run.master).get("one_shot"))
        run.step()
        while not run.finished and not one_shot:
            run.step()
        if run.finished:
            run.close()
        self._completed += run.finished
        for quadrant in run.quadrants:
            address = self._machine.registers.address("CTL", quadrant)
            done = self._machine.registers.table["CTL"].encode({"done": 1})
            self._machine.registers.store(address, self._machine.registers.words.get(address, 0) | done)

    def _remember(self, run: LayerRun) -> None:
        self._runs.pop(run.layer.index, None)
        self._runs[run.layer.index] = run if self._trace else replace(run, work=None)

    # -- Loads -----------------------------------------------------------------------------------------------------

    def _load_word(self, address: int) -> int:
        block, quadrant, offset = locate(self.device, address)
        machine = self._machine
        if block in _MEMORIES:
            self._check_access(block, quadrant, address, "loaded from")
        if block is AddressBlock.REGISTER:
            return self._load_register(quadrant, address, offset)
        if block is AddressBlock.COMMON:
            status = address in (FAST_FIFO_STATUS, self.device.base + FIFO_STATUS)
            return 0 if status else machine.registers.words.get(address, 0)
        if block is AddressBlock.KERNEL:
            inside, place = divmod(offset, self.device.addresses.kernel_stride)
            return machine.kernels.load_word(PROCESSORS_PER_QUADRANT * quadrant + inside, place)
        if block is AddressBlock.BIAS:
            return int(machine.biases.values[quadrant, offset // 4]) & 0xFF
        if block is AddressBlock.DATA:
            instance, word = self._data_place(quadrant, offset)
            if word < machine.data.size:
                return int(machine.data.load_words(instance, word))
        if block is not AddressBlock.TRAM:
            self._diagnostics.report("error", "load from an address without register or memory", address=address)
        return 0

    def _load_register(self, quadrant: int, address: int, offset: int) -> int:
        place = find_register(self.device, offset)
        if place is None:
            text = "there is no register at this address"
            self._diagnostics.report("error", text, quadrant=quadrant, address=address)
            return 0
        if place.name == "TEST":
            return self._test_result(self._machine.registers.words.get(address, 0))
        if place.name == "MLAT":
            return self._byte_collector.load(quadrant, self._machine.registers, self._machine.data)
        return self._machine.registers.words.get(address, 0)

    def _test_result(self, code: int) -> int:
        """Return the status bits for the successful completion of the function started by `code`."""
        if self.device.clear_registers is not None and code & ~CLEAR_BIAS == self.device.clear_registers:
            return REGISTERS_CLEARED
        return next((test.done for test in self.device.tests if test.start == code), 0)
