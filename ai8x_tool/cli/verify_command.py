"""``ai8x verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ai8x_tool.cli.common import EXIT_FAILED, Json, Quiet, Verbose, make_console, option, run

_WHAT, _DATA, _HW = "Network", "Samples", "Hardware"

# Help ends with commands that work as they stand.
EPILOG = (
    "Examples:  [bold]ai8x verify kws20_v3[/]   |   "
    "[bold]ai8x verify mnist --checkpoint mnist-q.pth.tar --trained logs/latest/qat_best.pth.tar --samples 100[/]"
)


def verify(
    recipe: Annotated[str | None, typer.Argument(help="A recipe (see `ai8x list recipes`).")] = None,
    network: Annotated[
        str | None, option("--config-file", "--network", panel=_WHAT, help="Network description (YAML).")
    ] = None,
    checkpoint: Annotated[
        str | None, option("--checkpoint-file", "--checkpoint", panel=_WHAT, help="Quantized checkpoint.")
    ] = None,
    trained: Annotated[
        Path | None, option("--trained", panel=_WHAT, help="Checkpoint before quantization, for the first link.")
    ] = None,
    model: Annotated[str | None, option("--model", "--arch", panel=_WHAT, help="Model of the checkpoint.")] = None,
    settings: Annotated[
        Path | None, option("--settings", panel=_WHAT, help="Settings of a project (its ai8x.yaml).")
    ] = None,
    sample_input: Annotated[
        Path | None, option("--sample-input", panel=_DATA, help="Sample to verify with (.npy).")
    ] = None,
    samples: Annotated[
        int | None, option("--samples", "-n", panel=_DATA, help="Verify with this many test samples.")
    ] = None,
    dataset: Annotated[
        str | None, option("--dataset", panel=_DATA, help="Data set (see `ai8x list datasets`).")
    ] = None,
    data: Annotated[Path, option("--data", panel=_DATA, help="Folder of all data sets (data).")] = Path("data"),
    device: Annotated[str | None, option("--device", panel=_HW, help="MAX78000 or MAX78002.")] = None,
    fifo: Annotated[bool | None, option("--fifo", panel=_HW, help="Feed the input through FIFOs.")] = None,
    fast_fifo: Annotated[bool | None, option("--fast-fifo", panel=_HW, help="Feed it through the fast FIFO.")] = None,
    firmware: Annotated[
        bool | None,
        option("--firmware/--no-firmware", panel=_HW, help="Compile and run the program (default: if possible)."),
    ] = None,
    avg_pool_rounding: Annotated[
        bool | None, option("--avg-pool-rounding", panel=_HW, help="Average pooling rounds.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prove that the program computes what was trained: every link, every layer, every value."""
    flags = {
        **{"network": network, "checkpoint": checkpoint, "model": model, "sample_input": sample_input},
        **{"dataset": dataset, "device": device, "fifo": fifo, "fast_fifo": fast_fifo, "riscv": fast_fifo},
        **{"avg_pool_rounding": avg_pool_rounding, "prefix": "verify"},
    }
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> None:
        from ai8x_tool.report.proof import show_proof
        from ai8x_tool.settings.resolve import resolve
        from ai8x_tool.settings.synthesis import SynthesizeSettings
        from ai8x_tool.verify.run import VerifyOptions
        from ai8x_tool.verify.run import verify as verify_chain

        options = VerifyOptions(trained, samples, data, firmware)
        chosen = resolve(SynthesizeSettings, "synthesize", recipe, settings, flags)
        proof = verify_chain(recipe, chosen, options, console)
        show_proof(proof, console)
        console.result({"schema": "ai8x-verify/1"} | proof.document())
        if not proof.complete:
            console.error(proof.text())
            raise typer.Exit(EXIT_FAILED)

    run(console, work)
