"""Options of the reference tools without a counterpart: accepted without effect, or refused with a replacement."""

from __future__ import annotations

from ai8x_tool.settings.option import Legacy, refused

_SEARCH = "train the architecture that the search found as a model of its own"
_TEST = "leave it out: it is only for the vendor's own hardware tests"
_COMPUTED = "leave it out: the value is computed automatically"
_SIMULATION = "leave it out: `ai8x run` runs the project without hardware"

ARCHITECTURE_SEARCH = (
    refused("--nas", fix=_SEARCH),
    refused("--nas-policy", fix=_SEARCH, kind=str),
    refused("--nas-kd-resume-from", fix=_SEARCH, kind=str),
    Legacy(("--nas-stage-transition-list",), str),
    Legacy(("--load-serialized",)),
)
TRAIN = (
    refused("--8bit", "-8", "--8-bit-mode", fix="use ai8x evaluate … --8bit --checkpoint FILE"),
    refused("--save-sample", fix="use ai8x evaluate … --8bit --save-sample N", kind=int),
    Legacy(("--slice-sample",)),
    *ARCHITECTURE_SEARCH,
)

EVALUATE = (
    *(Legacy((name,), int) for name in ("--epochs", "--num-best-scores")),
    *(Legacy((name,), float) for name in ("--momentum",)),
    Legacy(("--lr", "--learning-rate"), float),
    Legacy(("--weight-decay", "--wd"), float),
    Legacy(("--activation-stats", "--act-stats"), str),
    *(
        Legacy((name,), str)
        for name in ("--compress", "--copy-output-folder", "--show-train-accuracy", "--optimizer", "--compiler-backend")
    ),
    *(Legacy((name,)) for name in ("--reset-optimizer", "--pretrained", "--kd-pretrained")),
    refused("--yaml-template", fix="use ai8x train --yaml-template FILE", kind=str),
    *ARCHITECTURE_SEARCH,
)

SYNTHESIZE = (
    refused("--ai85", fix="use --device MAX78000"),
    refused("--simple1b", fix=_TEST),
    refused("--rtl", "--rtl-sim", fix=_SIMULATION),
    refused("--rtl-preload", "--rtl-preload-weights", fix=_SIMULATION),
    Legacy(("--slow-load",), int),
    *(Legacy((f"--eclipse-{name}",), str) for name in ("includes", "variables", "openocd-args")),
    *(Legacy((f"--debug-{name}",)) for name in ("new-streaming", "computation", "latency")),
    Legacy(("--debug", "-D")),
    Legacy(("--log-pooling",)),
    Legacy(("--kernel-format",), str),
    refused("--riscv-cache", "--no-riscv-cache", fix="use --riscv; the cache is always on"),
    refused("--old-kernel-loader", fix="leave it out: the new loader is always used"),
    refused("--fixed-input", fix="use --synthesize-input VALUE, which computes the known answers for the same input"),
    refused("--reshape-inputs", fix="use a sample with as many channels as the network's input"),
    refused("--input-split", fix=_SIMULATION, kind=int),
    refused("--read-ahead", fix="set `readahead: true` in the layers"),
    refused("--calcx4", fix="set `calcx4: true` in the layers"),
    refused("--streaming-layers", fix="set `streaming: true` in the layers", kind=str),
    refused("--allow-streaming", fix="use --fifo with streaming layers"),
    refused("--ignore-activation", fix="set `activate: None` in the layers"),
    refused("--ignore-hw-limits", fix="change the network: `ai8x analyze` shows what does not fit"),
    *(refused(f"--override-{name}", fix=_COMPUTED, kind=int) for name in ("start", "rollover", "delta1", "delta2")),
    *(refused(f"--increase-{name}", fix=_COMPUTED, kind=int) for name in ("start", "delta1", "delta2")),
    refused("--max-proc", fix="set `processors` in the layers", kind=int),
    refused("--clock-trim", fix="change the trim values in the program", kind=str),
    refused("--apb-base", fix="leave it out: the device determines the base address", kind=str),
    *(refused(name, fix=_TEST, kind=int) for name in ("--ready-sel", "--ready-sel-fifo", "--ready-sel-aon")),
    refused("--repeat-layers", fix=_TEST, kind=int),
    *(
        refused(name, fix=_TEST)
        for name in ("--stop-start", "--ext-rdy", "--debug-snoop", "--snoop-loop", "--mlator-noverify")
    ),
    *(refused(name, fix=_TEST) for name in ("--pretend-zero-sram", "--zero-unused")),
)
