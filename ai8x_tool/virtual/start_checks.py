"""Checks at the start of a run."""

from __future__ import annotations

from ai8x_tool.device.facts import Device
from ai8x_tool.device.registers import AON_CONTROL, MEMORY_CONTROL
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.registers import RegisterFile

_OWN = ("run", "master", "sync", "done", "fifo", "fast_fifo", "fifo_group", "mlator", "mlator_lane")
"""Fields of CTL that may differ between quadrants."""
_POWER_DOWN_LSB = 12
_IGNORED = {"simple_1bit": "1-bit weights by XOR", "external_ready": "the external ready input"}


def is_powered_down(registers: RegisterFile, device: Device, quadrant: int) -> bool:
    """Return whether the memories of `quadrant` are switched off."""
    return bool(registers.words.get(device.base + AON_CONTROL, 0) >> _POWER_DOWN_LSB + quadrant & 1)


def check_start(
    registers: RegisterFile, device: Device, quadrants: tuple[int, ...], master: int, diagnostics: Diagnostics
) -> None:
    """Report quadrants that cannot take part in a run, or whose settings differ from those of the master."""
    for quadrant in quadrants:
        _check_quadrant(registers, device, quadrant, diagnostics)
        if quadrant != master:
            _check_follower(registers, quadrant, master, diagnostics)
    fifo = any(registers.fields("CTL", quadrant)["fifo"] for quadrant in quadrants)
    if not fifo:
        _check_unused_fifo(registers, quadrants, diagnostics)
    _check_master(registers, device, master, fifo, diagnostics)


def _check_unused_fifo(registers: RegisterFile, quadrants: tuple[int, ...], diagnostics: Diagnostics) -> None:
    for quadrant in quadrants:
        fields = registers.fields("CTL", quadrant)
        for field in (name for name in ("fast_fifo", "fifo_group", "stream", "quad") if fields[name]):
            text = f"{field} = 1, but no FIFO is in use"
            diagnostics.report("warning", text, quadrant=quadrant, register="CTL")


def _check_master(registers: RegisterFile, device: Device, master: int, fifo: bool, diagnostics: Diagnostics) -> None:
    reference = registers.fields("CTL", master)
    for field, meaning in _IGNORED.items():
        if reference[field]:
            text = f"{field} = 1, but {meaning} is not modeled"
            diagnostics.report("warning", text, quadrant=master, register="CTL")
    for field, expected in (("sync", fifo), ("fifo_stream", fifo and bool(reference["stream"]))):
        if bool(reference[field]) != expected:
            text = f"{field} = {reference[field]}, but {int(expected)} follows from fifo = {int(fifo)} and stream"
            diagnostics.report("warning", text, quadrant=master, register="CTL")
    if reference.get("snoop") and not any(registers.read(f"SNP{unit}_C1", master) & 1 for unit in (1, 2)):
        diagnostics.report("note", "snoop = 1, but no unit is enabled", quadrant=master, register="CTL")
    for field in ("binary", "quad"):
        if reference[field] and not device.binary_weights:
            text = f"{field} = 1, which this device does not support"
            diagnostics.report("warning", text, quadrant=master, register="CTL")
    count = registers.fields("LCNT", master)
    if count["first"] > device.last_start_layer:
        text = f"the start layer is {count['first']}, the device supports up to {device.last_start_layer}"
        diagnostics.report("error", text, quadrant=master, register="LCNT")


def _check_quadrant(registers: RegisterFile, device: Device, quadrant: int, diagnostics: Diagnostics) -> None:
    if not registers.fields("CTL", quadrant)["clock"]:
        diagnostics.report("error", "is started while its clock is off", quadrant=quadrant, register="CTL")
    if is_powered_down(registers, device, quadrant):
        diagnostics.report("error", "is started while its memories are powered down", quadrant=quadrant, register="AON")
    control = registers.read("SRAM", quadrant)
    if control != MEMORY_CONTROL:
        text = f"data memory control is {control:#x}, not {MEMORY_CONTROL:#x}"
        diagnostics.report("warning", text, quadrant=quadrant, register="SRAM")


def _check_follower(registers: RegisterFile, quadrant: int, master: int, diagnostics: Diagnostics) -> None:
    mine, theirs = registers.fields("CTL", quadrant), registers.fields("CTL", master)
    if not mine["sync"]:
        text = f"runs, but is not synchronized to quadrant {master}"
        diagnostics.report("error", text, quadrant=quadrant, register="CTL")
    if mine["master"] != master:
        text = f"names quadrant {mine['master']} as master, but quadrant {master} was started"
        diagnostics.report("error", text, quadrant=quadrant, register="CTL")
    for field in (name for name in mine if name not in _OWN and mine[name] != theirs[name]):
        text = f"{field} = {mine[field]:#x}, but {theirs[field]:#x} in quadrant {master}"
        diagnostics.report("warning", text, quadrant=quadrant, register="CTL")
    snoop = [name for name in registers.table if name.startswith("SNP")] if theirs.get("snoop") else []
    for name in ("LCNT", *snoop):
        value, reference = registers.read(name, quadrant), registers.read(name, master)
        if value != reference:
            text = f"{value:#x}, but {reference:#x} in quadrant {master}"
            diagnostics.report("warning", text, quadrant=quadrant, register=name)
