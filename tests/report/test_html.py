"""The HTML report: well-formed, complete in itself, without markup from names, with drawings inside their frames."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import ai8x_tool
from ai8x_tool.analysis import Analysis, analyze_network
from ai8x_tool.analysis.buffers import data_buffers
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.network import INPUT, Layer, build_network
from ai8x_tool.report.html import html_report
from ai8x_tool.report.html.page import device_page
from ai8x_tool.report.html.processor_maps import busy_shares, runs
from ai8x_tool.report.html.shapes import text_width

HOSTILE = '</title><script>alert("x")</script>&\u202e'
WITHOUT_END = {"meta", "rect", "path"}
FIGURES = ("network", "costs", "demand", "data", "kernels", "activity")


class Page(HTMLParser):
    """Checks that every element ends where it should."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.identities, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.identities += [value for name, value in attributes if name == "id"]
        if tag not in WITHOUT_END or (tag == "rect" and not self.get_starttag_text().endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def conv(name, source, outputs, **keys):
    keys = {"kernel": (3, 3), "pad": (1, 1), "activation": "relu", **keys}
    return Layer(name, (source,), "conv2d", channels_out=outputs, bits=8, source=f"{HOSTILE}.py:1", **keys)


def residual(name="b"):
    layers = [conv("a", INPUT, 70), conv(name, "a", 70), Layer("sum", ("a", name), "none", eltwise="add", operands=2)]
    return build_network(HOSTILE, (3, 12, 12), [*layers, conv("c", "sum", 4, pool=(2, 2), pool_stride=(2, 2))])


def too_large():
    return build_network("large", (3, 96, 96), [conv("a", INPUT, 64), conv("b", "a", 4)])


def report(network, *devices):
    found = tuple(analyze_network(network, None, device) for device in devices)
    return html_report(Analysis(network.name, "model", Path(HOSTILE), network.input_shape, found))


@pytest.fixture(scope="module")
def devices():
    """Analyses: one that fits each device, and one that does not fit."""
    return [
        *(analyze_network(residual(), None, device) for device in (MAX78000, MAX78002)),
        analyze_network(too_large(), None, MAX78000),
    ]


def test_well_formed_and_complete_in_itself():
    text = report(residual(), MAX78000, MAX78002)
    page = Page(text)
    assert len(page.identities) == len(set(page.identities))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "use", "image", "a"}
    attributes = {name for _, given in page.tags for name in given}
    assert not attributes & {"src", "href", "xlink:href", "onload", "onclick"}
    assert "http:" not in text and "https:" not in text and "//" not in text
    assert "@import" not in text and "default-src 'none'" in text
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    used = set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.identities) and any("arrow" in name for name in used)
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    headings = "".join(page.texts)
    for title in ("Layers", "Cycles and energy", "Data memory", "Kernel memory", "Processor activity", "Network"):
        assert title in headings


def test_names_never_become_markup():
    text = report(residual(HOSTILE), MAX78000)
    assert "<script" not in text and "\u202e" not in text
    assert "alert(&#34;x&#34;)" in text
    Page(text)


def test_all_there_is_to_see(devices):
    fits, _, not_fitting = (device_page(device) for device in devices)
    assert [name for name in FIGURES if getattr(fits, name) is None] == ["demand"]
    assert [name for name in FIGURES if getattr(not_fitting, name) is None] == ["data", "kernels", "activity"]
    text = report(too_large(), MAX78000)
    assert "does not fit" in text and "36,864" in text
    Page(text)


def assert_inside(page):
    """Assert that boxes and labels of all drawings lie inside their frames."""
    for drawing in (getattr(page, name) for name in FIGURES):
        if drawing is None:
            continue
        for box in drawing.boxes:
            assert box.x >= 0 <= box.y and box.width >= 0 < box.height, box
            assert box.x + box.width <= drawing.width + 0.1 and box.y + box.height <= drawing.height + 0.1, box
        for label in drawing.labels:
            shift = {"start": 0, "middle": 0.5, "end": 1}[label.anchor] * text_width(label.text)
            assert label.x - shift >= 0 and label.x - shift + text_width(label.text) <= drawing.width, label
            assert 0 < label.y <= drawing.height


def test_drawings_stay_in_their_frames(devices):
    for device in devices:
        assert_inside(device_page(device))


def test_names_on_buffers_do_not_cover_each_other(devices):
    for device in devices[:2]:
        labels = [label for label in device_page(device).data.labels if label.style in ("on small", "halo small")]
        assert labels
        for i, one in enumerate(labels):
            for other in labels[:i]:
                apart = abs(one.y - other.y) >= 11 or one.x >= other.x + text_width(other.text)
                assert apart or other.x >= one.x + text_width(one.text), (one, other)


def test_every_buffer_is_in_the_table_and_in_the_drawing(devices):
    for device in devices[:2]:
        page, buffers = device_page(device), data_buffers(device.mapping)
        assert [row.name for row in page.data_rows] == [buffer.name for buffer in buffers]
        titles = " ".join(box.title for box in page.data.boxes)
        for buffer in buffers:
            assert f"{buffer.name}: " in titles and f"{buffer.bytes:,} in all" in titles
            assert all(reader in titles for reader in buffer.readers)


def test_kernels_are_where_they_are_stored(devices):
    """The area that is drawn is what is stored, in words times processors."""
    for device in devices[:2]:
        boxes = [box for box in device_page(device).kernels.boxes if box.style.startswith("value")]
        loaded = device.mapping.kernel_memory.loaded
        lengths = {m.layer.index: m.kernels.length for m in device.mapping.layers if m.layer.has_weights}
        assert len(boxes) >= len(lengths)
        drawn = sum(box.width / 10 * box.height for box in boxes)
        reserved = sum(
            lengths[m.layer.index] * m.processors.bit_count() for m in device.mapping.layers if m.layer.has_weights
        )
        used = int(np.flatnonzero(loaded.any(axis=0)).max()) + 1
        scale = 320 / (-(-used // 64) * 64)
        assert drawn == pytest.approx(reserved * scale, rel=0.02) and reserved >= loaded.sum()


def test_processors_at_work(devices):
    for device in devices[:2]:
        total = sum(layer.cycles for layer in device.layers)
        expected = sum(layer.cycles * layer.processors.bit_count() for layer in device.layers)
        assert total * sum(busy_shares(device.layers)) == pytest.approx(expected)
    assert list(runs(0b1011)) == [(0, 2), (3, 1)] and list(runs((1 << 64) - 1)) == [(0, 64)]


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ai8x_tool.analyze("mnist", html="mnist.html")
    Page((tmp_path / "mnist.html").read_text(encoding="utf-8"))
    made = ai8x_tool.synthesize("mnist", output="project", html="project.html", verify=False)
    text = (tmp_path / "project.html").read_text(encoding="utf-8")
    Page(text)
    assert f"{made.synthesis.statistics.estimate.cycles:,}" in text
    assert "html" not in (tmp_path / "project" / "ai8x.yaml").read_text()
    ai8x_tool.synthesize("mnist", output="other", html="other/report.html", verify=False)
    assert (tmp_path / "other" / "report.html").is_file() and (tmp_path / "other" / "cnn.c").is_file()
