"""The stores of golden cases, and of programs with a store changed."""

from __future__ import annotations

import json

import numpy as np

from ai8x_tool.device import find_device
from ai8x_tool.device.stores import Stores


def golden_stores(folder):
    """Return (device, stores, arrays) of the golden case in `folder`."""
    arrays = np.load(folder / "golden.npz")
    info = json.loads((folder / "case.json").read_text())
    stores = Stores.of(arrays["addr"], arrays["value"], arrays["width"])
    return find_device(info["device"]), stores, arrays


def mismatches(device, arrays):
    """Return how many known answers of a golden case `device` does not hold."""
    if "out_addr" not in arrays:
        return 0
    different = (device.words(arrays["out_addr"]) ^ arrays["out_value"]) & arrays["out_mask"]
    return int(np.count_nonzero(different))


def replaced(stores, index, value):
    """Return `stores` with another value at `index`."""
    values = stores.values.copy()
    values[index] = value
    return Stores.of(stores.addresses, values, stores.sizes)
