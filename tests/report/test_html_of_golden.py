"""Reports of hand-written programs: with FIFOs, gaps, several passes, calcx4 and read-ahead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai8x_tool.analysis import Analysis, analyze_mapping
from ai8x_tool.report.analysis_text import analysis_lines
from ai8x_tool.report.html import html_report
from ai8x_tool.report.html.page import device_page
from tests.report.test_html import Page, assert_inside
from tests.support.golden_cases import entries, golden_folder, read_case

pytestmark = pytest.mark.golden


def pytest_generate_tests(metafunc):
    every = metafunc.config.getoption("--all-golden")
    chosen = [name for i, name in enumerate(entries("accept")) if every or i % 12 == 0 or "demo-" in name]
    metafunc.parametrize("entry", chosen)


def test_analysis(entry):
    mapping = read_case(golden_folder() / entry).mapping()
    clock_mhz, pipeline = mapping.device.inference_clock()
    found = analyze_mapping(mapping, clock_mhz=clock_mhz, pipeline=pipeline)
    assert all(resource.share <= 1 for resource in found.resources)
    assert all(layer.utilization is None or layer.utilization <= 1 for layer in found.layers)
    waited = found.estimate.cycles - sum(layer.cycles for layer in found.layers)
    assert waited >= 1 and (waited == 1 or found.estimate.streams)
    analysis = Analysis("net", "description", Path("net.yaml"), mapping.network.input_shape, (found,))
    assert max(map(len, analysis_lines(analysis, 80))) <= 80
    Page(html_report(analysis))
    assert_inside(device_page(found))
