"""KWS_20_TTS: the keywords of KWS_20 spoken by eSpeak NG. Needs no download.

Every voice belongs to exactly one split: training, validation and test results are about voices the others do not
have. Variants of one voice (edward and edward2; the klatt voices; steph, steph2 and steph3) stay together. The voices
were drawn by the SHA-256 of their names, not by how well they are understood: in that order the first 23 are for the
test, the next 10 for validation. Distorted voices (steph and Hugo with theirs, Andy, ian, travis, zac) serve training
only.

Not used are whispering voices (whisper, whisperf, caleb), robots and strong echoes (UniRobot, anikaRobot, robosoft1–8,
Demonic, RicishayMax1–3, announcer, klatt4), formants far from human ones (Tweaky, kaukovalta) and ``fast``, which is
the default voice under another name.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ai8x_tool.data.cache import cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.espeak import require_espeak
from ai8x_tool.data.speech import COMMAND_WORDS, class_numbers, shift_limits, speech_split
from ai8x_tool.data.stock_inputs import LABELS_20
from ai8x_tool.data.synthetic_speech import RECORDING, SpeechPlan, write_speech

if TYPE_CHECKING:
    from ai8x_tool.console import Console

ACCENTS = ("en", "en-us", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
TEST_VOICES = (
    *("Alicia", "Andrea", "aunty", "boris", "david", "edward", "edward2", "grandpa", "klatt", "klatt2"),
    *("klatt3", "klatt5", "klatt6", "m2", "m3", "m4", "m7", "michel", "Nguyen", "norbert", "pablo", "paul"),
    *("sandro",),
)
VALIDATION_VOICES = (*("Annie", "antonio", "Denis", "Diogo", "f1", "Henrique", "m8", "robert", "shelby", "Storm"),)
TRAINING_VOICES = (
    *("adam", "Alex", "Andy", "anika", "AnxiousAndy", "belinda", "benjamin", "croak", "ed", "f2", "f3"),
    *("f4", "f5", "Gene", "Gene2", "grandma", "gustave", "Hugo", "ian", "iven", "iven2", "iven3", "iven4"),
    *("Jacky", "john", "Lee", "linda", "m1", "m5", "m6", "marcelo", "Marco", "Mario", "max", "Michael"),
    *("miguel", "Mike", "mike2", "Mr serious", "pedro", "quincy", "Reed", "rob", "steph", "steph2"),
    *("steph3", "travis", "victor", "zac"),
)
PLANS = {
    "train": SpeechPlan(TRAINING_VOICES, ACCENTS, COMMAND_WORDS, repeats=8, seed=20, varied_size=True),
    "validation": SpeechPlan(VALIDATION_VOICES, ACCENTS, COMMAND_WORDS, repeats=6, seed=21, distorted=True),
    "test": SpeechPlan(TEST_VOICES, ACCENTS, COMMAND_WORDS, repeats=4, seed=22),
}
# Every word is spoken equally often, in the test too: with the weight of KWS_20, 0.07, unknown words would mostly be
# taken for keywords.
CLASS_WEIGHTS = (1.0,) * (len(LABELS_20) - 1) + (0.5,)
# Change with everything that changes the samples and is not part of the plans.
VERSION = 2


def load(data_dir: Path, console: Console, plans: dict[str, SpeechPlan]) -> Dataset:
    """Return the set of `plans` (train, validation, test), spoken now unless it is cached below `data_dir`/KWS_TTS."""

    def build(folder: Path) -> None:
        require_espeak()
        total = sum(map(len, plans.values()))
        console.info(f"speaking {total} words with eSpeak NG for the dataset KWS_20_TTS (once, less than a minute)")
        with console.progress("Speaking", total) as progress:
            for name, plan in plans.items():
                write_speech(folder, name, plan, progress)

    key = {"version": VERSION, "plans": {name: repr(plan) for name, plan in plans.items()}}
    arrays = cached_arrays(Path(data_dir) / "KWS_TTS", "speech", key, build)

    def split(name: str) -> Split:
        raw = arrays[f"{name}-samples"]
        numbers = torch.from_numpy(class_numbers(plans[name].words, LABELS_20))
        limits = torch.tensor([shift_limits(RECORDING)], dtype=torch.int16).expand(len(raw), 2)
        return speech_split(raw, numbers[arrays[f"{name}-words"]], limits if name == "train" else None)

    return Dataset(split("train"), split("validation"), split("test"))


datasets = [
    DatasetEntry(
        name="KWS_20_TTS",
        input=(128, 128),
        labels=LABELS_20,
        load=partial(load, plans=PLANS),
        class_weights=CLASS_WEIGHTS,
        note="synthetic speech (eSpeak NG)",
        description="20 spoken keywords and unknown words, 128×128, synthesized on this computer",
    )
]
