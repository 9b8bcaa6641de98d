"""Datasets that are put in place manually: tiny ones in their real layout."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ai8x_tool.data.qr_code import check_bytes, format_bits, qr_code
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset, load_plugin
from tests.support import dataset_layouts as layouts

ROOT = Path(__file__).resolve().parents[2]


def plugin(name: str) -> ModuleType:
    return load_plugin(ROOT / "datasets" / f"{name}.py")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("cats_vs_dogs", "dogs-vs-cats"),
        ("VGGFace2_FaceID", "bb_landmark"),
        ("ImageNet", "ILSVRC2012_img_train.tar"),
        ("PascalVOC_2007_2012_256_320_augmented", "VOCtrainval_06-Nov-2007.tar"),
        ("AISegment_352", "clip_img and matting"),
        ("Kinetics400", "<class>"),
        ("qrcode_160_120", "BG-20k"),
        ("MSnoise", "noise_train"),
        ("AFSK", "zeros.bit"),
    ],
)
def test_one_line_says_what_is_missing(name, missing, tmp_path, console):
    with pytest.raises(Ai8xError) as error:
        find_dataset(name).load(tmp_path, console)
    text = str(error.value)
    assert missing in text and str(tmp_path) in text and "\n" not in text


def test_cats_and_dogs(tmp_path, console):
    layouts.cats_and_dogs(tmp_path)
    data = find_dataset("cats_vs_dogs").load(tmp_path, console)
    inputs, targets = data.test.batch(torch.arange(4))
    assert inputs.shape == (4, 3, 128, 128) and targets.tolist() == [0, 0, 1, 1]
    assert inputs[:2, 0].mean() > 20 > inputs[:2, 2].mean() and inputs[2:, 2].mean() > 20 > inputs[2:, 0].mean()
    stored = data.test.raw[:, 1:].tolist()
    assert stored[0] == [153, 190] and min(stored[1]) == 153
    one, two = (data.train.batch(torch.arange(4), generator())[0] for _ in range(2))
    assert torch.equal(one, two) and one.shape == inputs.shape and not torch.equal(one, inputs)
    (tmp_path / "cats_vs_dogs" / "test" / "dogs" / "dog.0.jpg").write_bytes(b"none")
    with pytest.raises(Ai8xError, match=r"dog\.0\.jpg: cannot be read as an image"):
        find_dataset("cats_vs_dogs").load(tmp_path, console)


def test_faces(tmp_path, console):
    layouts.faces(tmp_path)
    pair, aligned, whole = (find_dataset(f"VGGFace2_{name}") for name in ("FaceID", "FaceID_dr", "FaceDetection"))
    data = pair.load(tmp_path, console)
    inputs, targets = data.test.batch(torch.tensor([0, 15]))
    assert len(data.train) == 48 and len(data.test) == 16 and targets.tolist() == [0, 3]
    assert inputs.shape == (2, 6, 112, 112) == (2, *pair.input)
    assert data.train.batch(torch.arange(3), generator())[0].shape == (3, 6, 112, 112)
    alone = aligned.load(tmp_path, console).test.batch(torch.tensor([0, 15]))[0]
    assert torch.equal(alone, inputs[:, 3:]) and len(aligned.labels) == 8631
    images, objects = whole.load(tmp_path, console).test.batch(torch.tensor([0]))
    assert images.shape == (1, 3, 224, 168) and objects.tolist() == [[[4 / 32, 4 / 32, 28 / 32, 28 / 32, 1]]]
    table = tmp_path / "VGGFace-2" / "bb_landmark" / "loose_bb_test.csv"
    table.write_text("NAME_ID,X,Y,W,H\n../secret,1,2,3,4\n")
    with pytest.raises(Ai8xError, match=r"'\.\./secret' is not an image with 4 numbers"):
        pair.load(tmp_path, console)


def test_faces_are_aligned():
    vggface2 = plugin("vggface2")
    turn = torch.tensor([[0.0, -2.0], [2.0, 0.0]])
    found = vggface2.similarity(vggface2.POINTS, vggface2.POINTS @ turn.T + torch.tensor([3.0, 4.0]))
    assert torch.allclose(found, torch.tensor([[0.0, -2.0, 3.0], [2.0, 0.0, 4.0]]), atol=1e-3)
    square = vggface2.squared(torch.full((3, 20, 40), 200), torch.tensor([30.0, 0.0, 10.0, 20.0]))
    assert square.shape == (3, 112, 112) and square[0, 50, 5] == 200 and square[0, 50, 105] == 0


def test_photographs_of_a_thousand_classes(tmp_path, console, monkeypatch):
    imagenet = plugin("imagenet")
    monkeypatch.setattr(imagenet, "CLASSES", 2)
    layouts.imagenet_archives(tmp_path / "ImageNet", 2)
    data = imagenet.load(tmp_path, console, purpose="classes")
    inputs, targets = data.train.batch(torch.arange(4))
    assert targets.tolist() == [0, 0, 1, 1] and inputs.shape == (4, 3, 112, 112)
    dark = (40 / 255 - 0.485) / 0.229
    assert float(inputs[0, 0].mean()) == max(-128, round((dark - 0.5) * 256))
    assert data.test.targets.tolist() == [0, 1]  # the kit calls the first image's class 2, which is n00000007
    assert data.train.batch(torch.arange(4), generator())[0].shape == (4, 3, 112, 112)
    (tmp_path / "ImageNet" / "ILSVRC2012_img_val.tar").write_bytes(b"torn")
    with pytest.raises(Ai8xError, match=r"ILSVRC2012_img_val\.tar: cannot be read"):
        imagenet.load(tmp_path, console, purpose="classes")


def test_mosaics_of_photographs(tmp_path, console):
    layouts.colors(tmp_path)
    test = find_dataset("ImageNet_Bayer").load(tmp_path, console).test
    (inputs, pictures), again = test.batch(torch.arange(3)), test.batch(torch.arange(3))
    assert inputs.shape == (3, 4, 64, 64) and pictures.shape == (3, 3, 128, 128) and torch.equal(inputs, again[0])
    assert torch.equal(inputs[:, 1], 128 * pictures[:, 2, ::2, 1::2])


def test_objects_of_twenty_kinds(tmp_path, console):
    layouts.voc(tmp_path)
    entry = find_dataset("PascalVOC_2007_2012_256_320_augmented")
    data = entry.load(tmp_path, console)
    assert len(data.train) == 4 and len(data.test) == 2
    inputs, objects = data.test.batch(torch.tensor([1]))
    assert inputs.shape == (1, 3, 256, 320)
    wanted = torch.tensor([[0.05, 0.2, 0.55, 0.6, 15], [0.5, 0.5, 0.75, 1, 7]])
    assert torch.allclose(objects[0, :2], wanted) and not objects[0, 2:].any()
    inside = inputs[0, 0, 60:140, 30:150]
    assert inside.mean() > 100
    one, two = (data.train.batch(torch.arange(4), generator()) for _ in range(2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and bool((one[1][..., 4] > 0).any(dim=1).all())
    path = tmp_path / "PascalVOC" / "VOCdevkit" / "VOC2007" / "Annotations" / "000002.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    with pytest.raises(Ai8xError, match=r"000002\.xml: cannot be read as an annotation"):
        plugin("pascal_voc").read_objects(path)


def test_portraits(tmp_path, console):
    layouts.portraits(tmp_path, count=24)
    small, large = find_dataset("AISegment_80"), find_dataset("AISegment_352_memory")
    data = small.load(tmp_path, console)
    files = sorted((tmp_path / "AISegment" / "clip_img").rglob("*.jpg"))
    held = sum(map(plugin("aisegment").in_test, files))
    assert 0 < held < 12 and (len(data.train), len(data.test)) == (3 * (24 - held), 3 * held)
    inputs, targets = data.test.batch(torch.tensor([0]))
    assert inputs.shape == (1, 3, 80, 80) and targets[0, 60, 40] == 0 and targets[0, 10, 40] == 1
    assert abs(float(inputs[0, 0, 60, 40]) - (210 - 128)) <= 2  # as JPEG keeps it
    data = large.load(tmp_path, console)
    inputs, targets = data.test.batch(torch.tensor([0]))
    assert len(data.test) == held and inputs.shape == (1, 48, 88, 88) and targets.shape == (1, 352, 352)


def test_actions(tmp_path, console, monkeypatch):
    kinetics = plugin("kinetics")
    names = ("pull_ups", "push up", "situp", "squat", "yoga")
    for part in ("train", "test"):
        for name in names:
            (tmp_path / "Kinetics" / "raw" / part / name).mkdir(parents=True)
            (tmp_path / "Kinetics" / "raw" / part / name / "0_proc.mp4").write_bytes(b"a video")
    frames = [np.full((120, 160, 3), number, np.uint8) for number in range(120)]
    monkeypatch.setattr(kinetics, "read_video", lambda _path: frames)
    data = kinetics.load(tmp_path, console)
    assert data.train.targets.tolist() == [0, 1, 2, 3, 4] and len(data.test) == 15
    inputs, targets = data.test.batch(torch.tensor([0, 2]))
    assert inputs.shape == (2, 15, 96, 60, 60) and targets.tolist() == [0, 0]
    places = np.linspace(0, 119, 50).round()[1:-1]
    assert inputs[0, 0, 0, 0, 0] == places[0] - 128 and inputs[0, 0, 48, 0, 0] == places[1] - 128
    assert inputs[1, 14, 95, 5, 5] == places[-1] - 128
    assert data.train.batch(torch.tensor([3]), generator())[0].shape == (1, 15, 96, 60, 60)
    assert kinetics.chosen_frames(frames[:99]) is None


def test_codes_on_backgrounds(tmp_path, console):
    layouts.backgrounds(tmp_path)
    plain, points = find_dataset("qrcode_160_120"), find_dataset("qrcode_160_120_kpts_ext")
    assert points.key_points == 4
    data = points.load(tmp_path, console)
    assert (len(data.train), len(data.test)) == (13000, 3250)
    (inputs, objects), again = data.test.batch(torch.arange(4)), data.test.batch(torch.arange(4))
    assert inputs.shape == (4, 3, 120, 160) and objects.shape == (4, 1, 13) and torch.equal(inputs, again[0])
    assert not torch.equal(data.train.batch(torch.arange(4), generator())[0], inputs)
    corners = objects[:, 0, 4:12].view(4, 4, 2)
    assert bool((corners.amin(dim=1) == 0).all()) and bool((corners.amax(dim=1) == 1).all())
    assert len(plain.load(tmp_path, console).test) == 2000


def test_code_of_a_text():
    code = qr_code("hello world")
    assert code.shape == (21, 21) and qr_code("x" * 18).shape == (25, 25) and qr_code("x" * 78).shape == (33, 33)
    assert code[:7, :7].tolist() == code[:7, -7:].tolist() and code[3, 3] and not code[1, 1] and not code[7, :8].any()
    assert format_bits() == 0b111011111000100  # by the table of the standard, for level L and mask 0
    data = [32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17]
    assert check_bytes(data, 10) == [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]  # the example of most textbooks
    with pytest.raises(ValueError, match="too many"):
        qr_code("x" * 79)


def test_noise(tmp_path, console):
    layouts.noises(tmp_path)
    msnoise = plugin("msnoise")
    data = msnoise.load_noise(tmp_path, console, quantized=True)
    assert len(data.train) == 346338 and len(data.test) == 11005 and len(msnoise.TYPES) == 27
    inputs, targets = data.test.batch(torch.arange(40))
    assert set(targets.tolist()) == {msnoise.TYPES.index("Babble"), msnoise.TYPES.index("NeighborSpeaking")}
    loud = inputs[targets == msnoise.TYPES.index("Babble")].std()
    assert loud > 3 * inputs[targets != msnoise.TYPES.index("Babble")].std()
    assert torch.equal(data.test.batch(torch.arange(40))[0], inputs)
    other = msnoise.load_noise(tmp_path, console, quantized=False).test.batch(torch.arange(40))[0]
    assert torch.allclose(other, inputs, atol=0.51)


def test_mixtures_have_the_ratio_that_they_should():
    msnoise = plugin("msnoise")
    time = torch.arange(16384)
    speech = (128 + 100 * (time * 0.1).sin()).round().to(torch.uint8)[None]
    noise = 0.3 * torch.randn(1, 16384, generator=generator())
    loudness = noise.square().mean().sqrt().view(1, 1)
    made = (msnoise.mixed(speech, noise, loudness, torch.tensor([[6.0]])).float() - 128) / 128
    signal = (speech.float() - 128) / 128
    basis = torch.cat([signal / signal.square().mean().sqrt(), noise / loudness])
    shares = torch.linalg.lstsq(basis.T, made.T).solution.flatten()
    assert abs(20 * torch.log10(shares[0] / shares[1]) - 6) < 0.1
    silent = torch.full((1, 16384), 128, dtype=torch.uint8)
    assert torch.equal(msnoise.mixed(silent, noise, loudness, torch.tensor([[6.0]])), silent)


def test_bits_of_a_modem(tmp_path, console):
    folder = tmp_path / "AFSK" / "bits"
    folder.mkdir(parents=True)
    rows = {"zeros": np.arange(5 * 22) % 22 * 10, "ones": np.full(6 * 22, 77)}
    for name, values in rows.items():
        (folder / f"{name}.bit").write_bytes(values.astype(np.uint8).tobytes())
    data = find_dataset("AFSK").load(tmp_path, console)
    assert data.train.targets.tolist() == [0] * 4 + [1] * 4 and data.test.targets.tolist() == [0, 1]
    inputs = data.test.batch(torch.arange(2))[0]
    assert inputs.shape == (2, 1, 22) and inputs[0, 0, [0, 21]].tolist() == [-128, 127] and (inputs[1] == -128).all()


def test_clothes(tmp_path):
    mnist = plugin("mnist")
    raw = torch.arange(28).to(torch.uint8).expand(64, 1, 28, 28)
    moved = mnist.augment_clothes(raw, torch.arange(64), generator())
    assert moved.shape == raw.shape
    steps = moved[:, 0, 14].int().diff(dim=1)[:, 5:20].unique(dim=1)
    assert sorted(set(steps.flatten().tolist())) == [-1, 1] and find_dataset("FashionMNIST").labels[9] == "boot"
