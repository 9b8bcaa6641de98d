"""``ai8x synthesize``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai8x_tool.cli.common import EXIT_FAILED, Json, Quiet, Verbose, make_console, option, run, warn_without_effect
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.settings.synthesis import SynthesizeSettings
    from ai8x_tool.synthesis.synthesize import Synthesis
    from ai8x_tool.verify.chain import Proof

_IN, _OUT, _FIFO = "Input", "Generated project", "Input through a FIFO"
_NAMES = "File names"
_NET, _HW, _CORE, _CHECK = "Network", "Hardware", "RISC-V", "Checks and debugging"
_COMPAT = "Accepted for old scripts, without effect"

# Help ends with commands that work as they stand.
EPILOG = (
    "Examples:  [bold]ai8x synthesize kws20_v3 --output build/kws20[/]   |   "
    "[bold]ai8x synthesize --config-file net.yaml --checkpoint-file net-q.pth.tar --sample-input sample.npy "
    "--device MAX78000 --output build/net[/]"
)


def synthesize(
    recipe: Annotated[str | None, typer.Argument(help="A recipe (see `ai8x list recipes`).")] = None,
    config_file: Annotated[
        str | None, option("--config-file", "--network", panel=_IN, help="Network description (YAML).")
    ] = None,
    checkpoint_file: Annotated[
        str | None, option("--checkpoint-file", "--checkpoint", panel=_IN, help="Quantized checkpoint.")
    ] = None,
    weight_input: Annotated[
        Path | None, option("--weight-input", panel=_IN, help="Weights of a hand-made network (arch: test), .npy.")
    ] = None,
    bias_input: Annotated[Path | None, option("--bias-input", panel=_IN, help="Its biases, .npy.")] = None,
    sample_input: Annotated[
        Path | None, option("--sample-input", panel=_IN, help="Sample for the known-answer test (.npy).")
    ] = None,
    device: Annotated[str | None, option("--device", panel=_IN, help="MAX78000 or MAX78002.")] = None,
    settings: Annotated[Path | None, option("--settings", panel=_IN, help="Settings saved by an earlier run.")] = None,
    output: Annotated[Path | None, option("--output", "-o", panel=_OUT, help="The project's folder.")] = None,
    test_dir: Annotated[Path | None, option("--test-dir", panel=_OUT, help="Folder above the project's.")] = None,
    prefix: Annotated[str | None, option("--prefix", panel=_OUT, help="Project name.")] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite", panel=_OUT, help="Replace generated files in an existing folder.")
    ] = None,
    board_name: Annotated[str | None, option("--board-name", panel=_OUT, help="Board of the SDK.")] = None,
    c_filename: Annotated[str | None, option("--c-filename", panel=_NAMES, help="Test program (main).")] = None,
    api_filename: Annotated[str | None, option("--api-filename", panel=_NAMES, help="Network (cnn.c).")] = None,
    weight_filename: Annotated[
        str | None, option("--weight-filename", panel=_NAMES, help="Kernels and biases (weights.h).")
    ] = None,
    sample_filename: Annotated[
        str | None, option("--sample-filename", panel=_NAMES, help="Sample (sampledata.h).")
    ] = None,
    sample_output_filename: Annotated[
        str | None, option("--sample-output-filename", panel=_NAMES, help="Known answers (sampleoutput.h).")
    ] = None,
    timer: Annotated[int | None, option("--timer", panel=_OUT, help="Timer that measures the inference.")] = None,
    softmax: Annotated[bool | None, option("--softmax", panel=_OUT, help="Print class probabilities.")] = None,
    unload: Annotated[bool | None, option("--unload/--no-unload", panel=_OUT, help="Generate cnn_unload().")] = None,
    no_scale_output: Annotated[
        bool | None, option("--no-scale-output", panel=_OUT, help="cnn_unload() does not apply final scales.")
    ] = None,
    mlator: Annotated[
        bool | None, option("--mlator", panel=_OUT, help="Unload 8-bit outputs with the byte collector.")
    ] = None,
    no_kat: Annotated[bool | None, option("--no-kat", panel=_OUT, help="No known-answer test.")] = None,
    max_verify_length: Annotated[
        int | None,
        option("--max-verify-length", "--max-checklines", panel=_OUT, help="Words the known-answer test compares."),
    ] = None,
    debugwait: Annotated[int | None, option("--debugwait", panel=_OUT, help="Delay at start, in seconds.")] = None,
    no_wfi: Annotated[bool | None, option("--no-wfi", panel=_OUT, help="Wait without sleeping.")] = None,
    boost: Annotated[str | None, option("--boost", panel=_OUT, help="PORT.PIN of a boost supply.")] = None,
    energy: Annotated[
        bool | None, option("--energy", panel=_OUT, help="A program that measures power, step by step.")
    ] = None,
    forever: Annotated[bool | None, option("--forever", panel=_OUT, help="Run again and again at the end.")] = None,
    no_timer: Annotated[bool | None, option("--no-timer", panel=_OUT, help="Ignore --timer.")] = None,
    define: Annotated[str | None, option("--define", panel=_OUT, help="Preprocessor names.")] = None,
    define_default_arm: Annotated[
        str | None, option("--define-default-arm", panel=_OUT, help="Replaces the Arm core's own names.")
    ] = None,
    define_default_riscv: Annotated[
        str | None, option("--define-default-riscv", panel=_OUT, help="Replaces the RISC-V core's own names.")
    ] = None,
    fifo: Annotated[bool | None, option("--fifo", panel=_FIFO, help="Feed the input through FIFOs.")] = None,
    fast_fifo: Annotated[
        bool | None, option("--fast-fifo", panel=_FIFO, help="Feed it through the fast FIFO (RISC-V).")
    ] = None,
    fast_fifo_quad: Annotated[
        bool | None, option("--fast-fifo-quad", panel=_FIFO, help="Fast FIFO into all quadrants.")
    ] = None,
    no_fifo_wait: Annotated[
        bool | None, option("--no-fifo-wait", panel=_FIFO, help="Do not check whether FIFOs are full.")
    ] = None,
    synthesize_input: Annotated[
        str | None, option("--synthesize-input", panel=_FIFO, help="Repeat the first words, grown by this each time.")
    ] = None,
    synthesize_words: Annotated[
        int | None, option("--synthesize-words", panel=_FIFO, help="How many words repeat (8).")
    ] = None,
    fifo_go: Annotated[bool | None, option("--fifo-go", panel=_FIFO, help="Wait for FIFO data.")] = None,
    riscv: Annotated[bool | None, option("--riscv", panel=_CORE, help="Run on the RISC-V core.")] = None,
    riscv_flash: Annotated[
        bool | None, option("--riscv-flash/--no-riscv-flash", panel=_CORE, help="Input data in flash.")
    ] = None,
    riscv_debug: Annotated[bool | None, option("--riscv-debug", panel=_CORE, help="Set up debugging.")] = None,
    riscv_exclusive: Annotated[bool | None, option("--riscv-exclusive", panel=_CORE, help="Own its SRAM.")] = None,
    deepsleep: Annotated[bool | None, option("--deepsleep", panel=_CORE, help="Arm core sleeps deeply.")] = None,
    pipeline: Annotated[bool | None, option("--pipeline/--no-pipeline", panel=_HW, help="MAX78002.")] = None,
    pll: Annotated[bool | None, option("--pll/--no-pll", " /--apb", panel=_HW, help="MAX78002: clock source.")] = None,
    max_speed: Annotated[
        bool | None, option("--max-speed/--balance-speed", panel=_HW, help="MAX78002: load at full speed, too.")
    ] = None,
    clock_divider: Annotated[int | None, option("--clock-divider", panel=_HW, help="1, 2, 4, 8 or 16.")] = None,
    switch_delay: Annotated[int | None, option("--switch-delay", panel=_HW, help="Power-up delay in ms.")] = None,
    avg_pool_rounding: Annotated[
        bool | None, option("--avg-pool-rounding", panel=_HW, help="Average pooling rounds.")
    ] = None,
    mexpress: Annotated[
        bool | None, option("--mexpress/--no-mexpress", panel=_HW, help="Packed kernel loading.")
    ] = None,
    powerdown: Annotated[bool | None, option("--powerdown", panel=_HW, help="Switch unused memories off.")] = None,
    one_shot: Annotated[bool | None, option("--one-shot", panel=_HW, help="MAX78002: stop after layers.")] = None,
    link_layer: Annotated[bool | None, option("--link-layer", panel=_HW, help="MAX78002: link layers.")] = None,
    no_deduplicate_weights: Annotated[
        bool | None, option("--no-deduplicate-weights", panel=_HW, help="Store equal kernels twice.")
    ] = None,
    weight_start: Annotated[int | None, option("--weight-start", panel=_HW, help="First kernel column.")] = None,
    start_layer: Annotated[int | None, option("--start-layer", panel=_NET, help="MAX78002: first layer.")] = None,
    stop_after: Annotated[int | None, option("--stop-after", panel=_NET, help="Last layer.")] = None,
    input_offset: Annotated[int | None, option("--input-offset", panel=_NET, help="First in_offset.")] = None,
    output_width: Annotated[int | None, option("--output-width", panel=_NET, help="Of the last layer.")] = None,
    skip_checkpoint_layers: Annotated[
        int | None, option("--skip-checkpoint-layers", panel=_NET, help="Ignore the first weights.")
    ] = None,
    skip_yaml_layers: Annotated[
        int | None, option("--skip-yaml-layers", panel=_NET, help="Ignore the first layers.")
    ] = None,
    ignore_bn: Annotated[
        bool | None, option("--ignore-bn", panel=_NET, help="Ignore unfolded batch normalization.")
    ] = None,
    ignore_bias_groups: Annotated[
        bool | None, option("--ignore-bias-groups", panel=_NET, help="Bias may be in any quadrant.")
    ] = None,
    ignore_streaming: Annotated[bool | None, option("--ignore-streaming", panel=_NET, help="No layer streams.")] = None,
    no_bias: Annotated[
        str | None, option("--no-bias", panel=_NET, help="Layers whose bias is ignored, or 'all'.")
    ] = None,
    overlap_data: Annotated[
        bool | None, option("--overlap-data", panel=_CHECK, help="Output may overwrite other data.")
    ] = None,
    no_error_stop: Annotated[
        bool | None, option("--no-error-stop", panel=_CHECK, help="Memory conflicts are warnings.")
    ] = None,
    no_warn_zero: Annotated[
        bool | None, option("--no-warn-zero", panel=_CHECK, help="No warning for all-zero output.")
    ] = None,
    check: Annotated[
        Path | None,
        option("--check", panel=_CHECK, help="Write nothing: compare with a project, exit 1 if it differs."),
    ] = None,
    explain: Annotated[
        str | None, option("--explain", panel=_CHECK, help="Write nothing: show every register of this layer.")
    ] = None,
    verify: Annotated[
        bool | None,
        option(
            "--verify/--no-verify",
            panel=_CHECK,
            help="Prove the whole chain; or not even run the program on the virtual device, as is done by default.",
        ),
    ] = None,
    display_checkpoint: Annotated[
        bool | None, option("--display-checkpoint", panel=_CHECK, help="Show the parameters of every layer.")
    ] = None,
    sample_numpy_filename: Annotated[
        Path | None, option("--sample-numpy-filename", panel=_CHECK, help="Save the last layer's expected output.")
    ] = None,
    log: Annotated[
        bool | None, option("--log/--no-log", "-L", panel=_CHECK, help="Add log.txt: statistics, register writes.")
    ] = None,
    log_filename: Annotated[str | None, option("--log-filename", panel=_NAMES, help="Log (log.txt).")] = None,
    log_intermediate: Annotated[
        bool | None,
        option("--log-intermediate", panel=_CHECK, help="Save every layer's weights, bias and output as .npy."),
    ] = None,
    verify_writes: Annotated[bool | None, option("--verify-writes", panel=_CHECK, help="Read registers back.")] = None,
    verify_kernels: Annotated[
        bool | None, option("--verify-kernels", panel=_CHECK, help="Read kernel memory back.")
    ] = None,
    write_zero_registers: Annotated[
        bool | None, option("--write-zero-registers", panel=_CHECK, help="Write registers that are 0, too.")
    ] = None,
    zero_sram: Annotated[bool | None, option("--zero-sram", panel=_CHECK, help="Test, clear memories.")] = None,
    init_tram: Annotated[bool | None, option("--init-tram", panel=_CHECK, help="Clear the TRAM.")] = None,
    compact_data: Annotated[bool | None, option("--compact-data/--no-compact-data", panel=_COMPAT, help="")] = None,
    compact_weights: Annotated[bool | None, option("--compact-weights", panel=_COMPAT, help="")] = None,
    embedded_code: Annotated[bool | None, option("--embedded-code", "-e", panel=_COMPAT, help="")] = None,
    new_kernel_loader: Annotated[bool | None, option("--new-kernel-loader", panel=_COMPAT, help="")] = None,
    no_version_check: Annotated[bool | None, option("--no-version-check", panel=_COMPAT, help="")] = None,
    short_log: Annotated[
        bool | None, option("--short-log", "--log-last-only", "--verbose-all", panel=_COMPAT, help="")
    ] = None,
    version_check_interval: Annotated[int | None, option("--version-check-interval", panel=_COMPAT, help="")] = None,
    upstream: Annotated[str | None, option("--upstream", panel=_COMPAT, help="")] = None,
    unroll_mlator: Annotated[int | None, option("--unroll-mlator", panel=_COMPAT, help="")] = None,
    unroll_8bit: Annotated[int | None, option("--unroll-8bit", panel=_COMPAT, help="")] = None,
    unroll_wide: Annotated[int | None, option("--unroll-wide", panel=_COMPAT, help="")] = None,
    ignore_energy_warning: Annotated[bool | None, option("--ignore-energy-warning", panel=_COMPAT, help="")] = None,
    ignore_mlator_warning: Annotated[bool | None, option("--ignore-mlator-warning", panel=_COMPAT, help="")] = None,
    no_progress: Annotated[bool | None, option("--no-progress", panel=_COMPAT, help="")] = None,
    yamllint: Annotated[str | None, option("--yamllint", panel=_COMPAT, help="")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn a network description and a quantized checkpoint into a C project for the accelerator."""
    flags = dict(locals())
    console = make_console(json=json, quiet=quiet, verbose=verbose)
    extras = _Extras(bool(display_checkpoint), sample_numpy_filename, bool(log_intermediate))
    warn_without_effect(flags, _WITHOUT_EFFECT, console)
    run(console, lambda: _synthesize(recipe, settings, _settings_flags(flags), extras, console))


@dataclass(frozen=True)
class _Extras:
    """What else to show or save."""

    checkpoint: bool
    output_file: Path | None
    intermediate: bool


_NEGATED = (
    *("no_kat", "no_wfi", "no_fifo_wait", "no_deduplicate_weights", "no_error_stop", "no_warn_zero"),
    "no_scale_output",
)
_WITHOUT_EFFECT = (
    *("compact_data", "compact_weights", "embedded_code", "new_kernel_loader"),
    *("no_version_check", "version_check_interval", "upstream", "short_log", "no_progress", "yamllint"),
    *("unroll_mlator", "unroll_8bit", "unroll_wide", "ignore_energy_warning", "ignore_mlator_warning"),
)
_SHOWN = ("display_checkpoint", "sample_numpy_filename", "log_intermediate")
_NOT_SETTINGS = (*_SHOWN, "recipe", "settings", "json", "quiet", "verbose", *_WITHOUT_EFFECT)


def _settings_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Translate command-line names to settings."""
    values = {key: value for key, value in flags.items() if key not in _NOT_SETTINGS and value is not None}
    for key in _NEGATED:
        if key in values:
            values[key.removeprefix("no_")] = not values.pop(key)
    if values.pop("no_timer", False):
        values.pop("timer", None)
    for flag, key in (("config_file", "network"), ("checkpoint_file", "checkpoint")):
        if flag in values:
            values[key] = values.pop(flag)
    return values


def _synthesize(
    recipe: str | None, settings_file: Path | None, flags: dict[str, Any], extras: _Extras, console: Console
) -> None:
    from ai8x_tool.settings.resolve import resolve
    from ai8x_tool.settings.synthesis import SynthesizeSettings
    from ai8x_tool.synthesis.project import generate_checked, save_intermediate, save_output, write_synthesis
    from ai8x_tool.synthesis.summary import checkpoint_table, synthesis_document, synthesis_table

    settings = resolve(SynthesizeSettings, "synthesize", recipe, settings_file, flags)
    if settings.explain is not None:
        _explain(settings, settings.explain, console)
    elif settings.check is not None:
        _check(settings, settings.check, console)
    else:
        result = generate_checked(settings, console)
        proof = _prove(recipe, settings, result, console) if settings.verify else None
        write_synthesis(result, settings)
        if extras.checkpoint:
            console.show(checkpoint_table(result.network))
        if extras.output_file is not None:
            save_output(result, extras.output_file)
        if extras.intermediate:
            save_intermediate(result, settings.folder / "intermediate")
        console.show(synthesis_table(result, settings.part))
        if proof is not None:
            _show_proof(proof, console)
        console.show(f"project: {settings.folder}")
        proved = {} if proof is None else {"proof": proof.document()}
        console.result(synthesis_document(result, settings.folder) | proved)


def _prove(recipe: str | None, settings: SynthesizeSettings, result: Synthesis, console: Console) -> Proof:
    from ai8x_tool.verify.run import VerifyOptions, verify_synthesis

    proof = verify_synthesis(recipe, settings, result, VerifyOptions(), console)
    if not proof.complete:
        raise Ai8xError(proof.text())
    return proof


def _show_proof(proof: Proof, console: Console) -> None:
    from ai8x_tool.report.proof import show_proof

    show_proof(proof, console)


def _explain(settings: SynthesizeSettings, layer: str, console: Console) -> None:
    from ai8x_tool.report.explain import explain_rows, explain_table, find_layer
    from ai8x_tool.synthesis.project import generate

    program = generate(settings, console).program
    found = find_layer(program, layer)
    console.show(explain_table(program, found))
    console.result({"schema": "ai8x-explain/1", "layer": found.index, "registers": explain_rows(program, found)})


def _check(settings: SynthesizeSettings, folder: Path, console: Console) -> None:
    from ai8x_tool.synthesis.project import differing_files, generate

    different = differing_files(generate(settings, console).files, folder)
    console.result({"schema": "ai8x-check/1", "project": str(folder), "different": different})
    if not different:
        console.show(f"{folder}: up to date")
        return
    console.error(f"{folder}: differs from what would be generated: {', '.join(different)} (generate it again)")
    raise typer.Exit(EXIT_FAILED)
