"""Hand-made programs for the virtual device: registers by field name, memories by processor."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.registers import AON_CONTROL, MEMORY_CONTROL, registers
from ai8x_tool.virtual import VirtualDevice


class Board:
    """A virtual device that is initialised. `quadrants` take part in runs, the first is the master."""

    def __init__(self, device, quadrants=(0,), strict=False, **control):
        self.device, self.quadrants = device, quadrants
        self.virtual = VirtualDevice(device, strict=strict, trace=True)
        self.control = {"clock": 1, "express": 1} | control
        self.virtual.write(device.base + AON_CONTROL, 0)
        for quadrant in quadrants:
            self.put("CTL", self.control, quadrant)
            self.put("SRAM", MEMORY_CONTROL, quadrant)

    def address(self, name, quadrant=0, layer=0):
        return registers(self.device)[name].address(self.device, quadrant, layer)

    def put(self, name, fields, quadrant=0, layer=0):
        """Store a register: a number, or values by field name."""
        value = registers(self.device)[name].encode(fields) if isinstance(fields, dict) else fields
        self.virtual.write(self.address(name, quadrant, layer), value)

    def get(self, name, quadrant=0, layer=0):
        return self.virtual.read(self.address(name, quadrant, layer))

    def layer(self, number=0, **fields):
        """Store registers of a layer in all quadrants; a list gives the values of the quadrants in turn."""
        for name, value in fields.items():
            for i, quadrant in enumerate(self.quadrants):
                self.put(name, value[i] if isinstance(value, list) else value, quadrant, number)

    def data_address(self, instance, word):
        return self.device.instance(4 * instance) + 4 * word

    def words(self, instance, word, values):
        for i, value in enumerate(values):
            self.virtual.write(self.data_address(instance, word + i), int(value) & 0xFFFF_FFFF)

    def pixels(self, processors, word, values):
        """Store int8 `values` (processors, pixels), a pixel in each word."""
        values = np.asarray(values)
        for instance in sorted({p // 4 for p in processors}):
            packed = np.zeros(values.shape[1], np.int64)
            for rank, p in enumerate(processors):
                if p // 4 == instance:
                    packed |= (values[rank].astype(np.int64) & 0xFF) << 8 * (p % 4)
            self.words(instance, word, packed.tolist())

    def kernels(self, processor, stream, column=0):
        """Store the byte stream of kernel memory: byte 8 of each column first."""
        data = np.zeros(-(-len(stream) // 9) * 9, np.uint8)
        data[: len(stream)] = np.asarray(stream).astype(np.int64) & 0xFF
        packed = data.reshape(-1, 9)[:, ::-1].ravel()
        packed = np.concatenate([packed, np.zeros(-len(packed) % 4, np.uint8)])
        base = self.device.kernel_base(processor)
        self.virtual.write(base + 4 * column | 1, 1, 1)
        for i, word in enumerate(packed.view(">u4").tolist()):
            self.virtual.write(base + 4 * i, word)

    def bias(self, quadrant, entries):
        base = self.device.quadrant(self.device.addresses.bias, quadrant)
        for i, value in enumerate(entries):
            self.virtual.write(base + 4 * i, value & 0xFF)

    def start(self, last=0, first=0, **control):
        """Store LCNT, then CTL of the other quadrants, then that of the master: the run begins."""
        master = self.quadrants[0]
        for quadrant in self.quadrants:
            self.put("LCNT", {"last": last, "first": first}, quadrant)
        for quadrant in self.quadrants[1:]:
            self.put("CTL", self.control | control | {"run": 1, "sync": 1, "master": master}, quadrant)
        self.go(**control)
        return self

    def go(self, **control):
        self.put("CTL", self.control | control | {"run": 1}, self.quadrants[0])

    def out(self, instance, word, count=1):
        addresses = np.array([self.data_address(instance, word + i) for i in range(count)])
        return self.virtual.words(addresses).tolist()

    def lanes(self, processor, word, count):
        """Return signed bytes of one processor's lane."""
        words = np.array(self.out(processor // 4, word, count), "<u4")
        return words.view(np.int8).reshape(-1, 4)[:, processor % 4].tolist()

    def found(self, severity=None):
        found = self.virtual.run().diagnostics
        return [d for d in found if (d.severity == severity if severity else d.severity != "note")]


def point_wise(device, rows, columns, processors=1, outputs=1, **more):
    """Registers of a 1×1 convolution over rows × columns pixels: one pass, output to lane 0 on at word 0x800."""
    registers_ = {
        "ONED": {"kernel_length": 1},
        "LCTL": {"enable": 1, "max_pool": 1, "shared_output": 1},
        "LCTL2": {"output_span": 8 * (outputs - 1)},
        "ENA": {"processors": processors, "kernels": processors},
        "POST": 0,
        "WPTR": 0x800,
        "WTOFF": 1,
        "WMOFF": 1 << device.write_instance_shift,
        **size(device, rows, columns),
        **kernel_range(device, 0, 8 * (outputs - 1), outputs),
    }
    for name, fields in more.items():
        old = registers_.get(name, {})
        registers_[name] = old | fields if isinstance(fields, dict) and isinstance(old, dict) else fields
    return registers_


def size(device, rows, columns):
    """Registers for rows × columns pixels of a word each, without pooling and padding."""
    if device.next_layer:
        return {
            "RCNT": {"stop": rows - 1, "next": 1},
            "CCNT": {"stop": columns - 1, "next": 1},
            "STRIDE": {"row_words": 1},
        }
    return {"RCNT": {"count": rows - 1}, "CCNT": {"count": columns - 1}}


def kernel_range(device, start, end, outputs):
    if device.next_layer:
        return {"MCNT1": {"end": end}, "MCNT2": {"start": start}, "OCHAN": {"count": outputs - 1}}
    return {"MCNT": {"start": start, "end": end}}


def copy(device, rows, columns, processors=1, **more):
    """Registers of a passthrough of up to 16 processors of quadrant 0."""
    count = processors.bit_count()
    slots = (count - 1) // 4
    registers_ = {
        "ONED": {"kernel_length": 1, "time_slots": slots},
        "LCTL": {"enable": 1, "max_pool": 1, "shared_output": 1},
        "ENA": {"processors": processors},
        "POST": {"time_slots": 1, "passthrough": 1},
        "WPTR": 0x800,
        "WTOFF": 1 << device.write_instance_shift if count > 4 else 1 << device.write_instance_shift - 2,
        **size(device, rows, columns),
    }
    if device.next_layer:
        registers_["OCHAN"] = {"count": slots}
    for name, fields in more.items():
        old = registers_.get(name, {})
        registers_[name] = old | fields if isinstance(fields, dict) and isinstance(old, dict) else fields
    return registers_
