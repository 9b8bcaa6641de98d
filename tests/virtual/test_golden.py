"""Every golden program gives its known answers when the virtual device sees nothing but its stores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import yaml

from ai8x_tool.device import DEVICES
from ai8x_tool.device.registers import registers
from ai8x_tool.errors import Ai8xError
from ai8x_tool.virtual import VirtualDevice
from tests.support.golden_cases import entries, golden_folder
from tests.support.program_stores import golden_stores, mismatches
from tests.support.turns import in_turn

pytestmark = pytest.mark.golden

COUNTS = {"MAX78000": 211, "MAX78002": 308}
STARVING = ("fifostream-group-notvga64x48-hwc__fastfifo", "fifostream-group-notvga64x48-hwc__fifo")
PARTLY_UNDEFINED = ("conv1d-dilation7-pad0", "conv1d-dilation13-k2-pad0")
COUNT_LIMITS = ("snoop-xval", "snoop-noxval", "snoop2-noxval")
TRAILING = "demo-svhn_tinierssd"
LATE_START = ("fifostream-notvga40x30-hwc__fastfifo", "fifostream-notvga40x30-hwc__fifo")


@dataclass(frozen=True)
class Outcome:
    """`raised` is what strict mode said; diagnostics are then those of a second, lenient run."""

    name: str
    wrong: int
    raised: str
    diagnostics: list
    completed: int


def outcome(entry):
    device, stores, arrays = golden_stores(golden_folder() / entry)
    name, raised = entry.rpartition("/")[2], ""
    try:
        virtual = VirtualDevice(device, strict=True).load(stores).run()
    except Ai8xError as error:
        raised = str(error)
        virtual = VirtualDevice(device).load(stores).run()
    return Outcome(name, mismatches(virtual, arrays), raised, virtual.diagnostics, virtual.completed)


@pytest.mark.parametrize("device", in_turn([device.name for device in DEVICES], 2))
def test_golden_programs(golden, device):
    """Execute every accepted golden program of a device, strictly."""
    results = [outcome(entry) for entry in entries("accept") if f"/{device.lower()}/" in entry]
    assert len(results) == COUNTS[device]
    wrong = {r.name: r.wrong for r in results if r.wrong}
    assert sorted(wrong) == sorted(STARVING)
    assert all(r.completed == 1 for r in results if not r.wrong)
    check_reports(results)
    noted = {r.name for r in results if any(d.severity == "note" for d in r.diagnostics)}
    assert noted == {*PARTLY_UNDEFINED, TRAILING, *((*COUNT_LIMITS, *LATE_START) if device == "MAX78002" else ())}
    # The two layers of the known programs that overwrite their own input do so behind their last use of it.
    trailing = {r.name: [d.layer for d in r.diagnostics if "trailing overlap" in d.message] for r in results}
    assert {name: layers for name, layers in trailing.items() if layers} == {TRAILING: [2, 3]}


def check_reports(results):
    """Only the starving FIFOs are reported, and strict mode stops at them alone."""
    severe = {r.name: [d for d in r.diagnostics if d.severity != "note"] for r in results}
    severe = {name: found for name, found in severe.items() if found}
    assert sorted(severe) == sorted(STARVING)
    assert all("starve" in d.message for found in severe.values() for d in found)
    raised = {r.name: r.raised for r in results if r.raised}
    assert sorted(raised) == sorted(STARVING)
    assert all("starve" in text and "\n" not in text for text in raised.values())


def test_snoop_results_read_back(golden):
    """The last eight numbers of a `snoop` list are what the result registers must hold afterwards."""
    cases = [e for e in entries("accept") if "/snoop" in e]
    assert len(cases) == 18
    for entry in cases:
        expected = yaml.safe_load((golden / entry / "network.yaml").read_text())["snoop"][24:]
        device, stores, _ = golden_stores(golden / entry)
        virtual = VirtualDevice(device).load(stores).run()
        names = [f"SNP{unit}_{name}" for unit in (1, 2) for name in ("ACC", "HIT", "MAX", "AM")]
        assert [virtual.read(registers(device)[n].address(device, 0)) for n in names] == expected, entry


def test_stores_one_by_one_and_in_two_loads(golden):
    """How the stores arrive makes no difference: single writes, blocks cut anywhere, or all at once."""
    device, stores, arrays = golden_stores(golden / "accept/max78002/fifostream-16ch-hwc__fifo")
    single = VirtualDevice(device)
    for store in zip(stores.addresses.tolist(), stores.values.tolist(), stores.sizes.tolist(), strict=True):
        single.write(*store)
    assert single.completed == 1
    assert mismatches(single, arrays) == 0
    for cut in np.random.default_rng(3).integers(0, len(stores), 8).tolist():
        parts = [
            type(stores)(stores.addresses[s], stores.values[s], stores.sizes[s])
            for s in (slice(0, cut), slice(cut, None))
        ]
        assert mismatches(VirtualDevice(device).load(parts[0]).load(parts[1]).run(), arrays) == 0
