"""Programs that give no diagnostics."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from tests.support.diagnosed_programs import FIFO, STREAM, STREAM_WEIGHTS, Good


@pytest.fixture(scope="module", params=[MAX78000, MAX78002], ids=lambda device: device.name)
def good(request):
    return Good(request.param)


@pytest.fixture(scope="module")
def new():
    return Good(MAX78002)


@pytest.fixture(scope="module", params=[MAX78000, MAX78002], ids=lambda device: device.name)
def stream(request):
    return Good(request.param, STREAM, STREAM_WEIGHTS, (3, 16, 16), FIFO)
