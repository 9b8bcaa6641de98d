"""Trained weights by name."""

import hashlib

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import shipped
from ai8x_tool.settings.files import read_recipe
from ai8x_tool.settings.weights import FOLDER, checkpoint_path, list_cards, read_card
from tests.conftest import ROOT


def test_every_shipped_checkpoint_has_a_card():
    cards = {card.name: card for card in list_cards()}
    files = {path.name for path in shipped(FOLDER).glob("*.pth.tar")}
    assert files <= {card.content["file"] for card in cards.values()} and {"mnist", "kws20_v3_tts"} <= set(cards)
    assert sum((shipped(FOLDER) / name).stat().st_size for name in files) < 1.5e6
    for card in cards.values():
        recipe = read_recipe(card.content["recipe"])
        assert (recipe.common["model"], recipe.common["dataset"]) == (card.content["model"], card.content["dataset"])
        assert "test samples, 8 bit" in card.text
        if card.content["file"] in files:
            assert card.checked().name == card.content["file"]
    assert "synthetic speech" in cards["kws20_v3_tts"].text


def test_checkpoints_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    assert checkpoint_path(Path("mnist")) == ROOT / FOLDER / "ai85net5-q.pth.tar"
    assert checkpoint_path(Path("ai85net5-q.pth.tar")) == ROOT / FOLDER / "ai85net5-q.pth.tar"
    with pytest.raises(Ai8xError, match="checkpoint not found"):
        checkpoint_path(Path("nothing"))


def test_weights_that_are_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    content, place = b"weights", "https://example.org/far.pth.tar"
    digest = hashlib.sha256(content).hexdigest()
    (folder / "far.yaml").write_text(f"file: far.pth.tar\nsha256: {digest}\nurl: {place}\nmodel: ai85net5\n")
    card = read_card(folder / "far.yaml")
    assert card.text == f"ai85net5, not here: {place}"
    with pytest.raises(Ai8xError, match=f"'far' are not here .get {place} and put it there"):
        card.checked()
    (folder / "far.pth.tar").write_bytes(content)
    assert checkpoint_path(folder.relative_to(tmp_path).parent.parent / "far") == folder / "far.pth.tar"
    (folder / "far.pth.tar").write_bytes(b"others")
    with pytest.raises(Ai8xError, match="its checksum is not that of its card"):
        card.checked()


@pytest.mark.parametrize("text", ["file: ../x\nsha256: a\n", "file: x\n", "file: x\nsha256: a\nodd: 1\n", "[]"])
def test_cards_that_are_none(text, tmp_path):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(Ai8xError):
        read_card(tmp_path / "card.yaml")
