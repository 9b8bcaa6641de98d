"""Conversion of the settings of ``ai8x synthesize`` to the options of each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai8x_tool.checkpoint import PREPROCESSING, Checkpoint, read_checkpoint
from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.codegen.file_names import FileNames
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import resolved_path
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.lowering.options import SynthesizedInput
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.readers.preprocessing import checked_preprocessing
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.synthesize import SynthesisOptions


def project_name(settings: SynthesizeSettings, network: Path | None) -> str:
    """Return the project's name: the given one, or that of its folder, of the `network` file or of the checkpoint.

    The first of these that exists is used.
    """
    folder, source = settings.check or settings.output, network or settings.checkpoint or Path("network")
    return settings.prefix or (resolved_path(folder).name if folder is not None else source.name.partition(".")[0])


def project_options(settings: SynthesizeSettings) -> ProjectOptions:
    """Return the options of the C project."""
    checkpoint = settings.checkpoint_file()
    source = checkpoint or settings.weight_input
    known = None if checkpoint is None else read_checkpoint(checkpoint)
    return ProjectOptions(
        name=project_name(settings, settings.network_file()),
        network=settings.network_file().name,
        checkpoint=source.name if source else "test arrays",
        board=_board(settings.board_name, settings.part),
        timer=settings.timer,
        softmax=settings.softmax,
        unload=settings.unload or settings.softmax,
        scale_output=settings.scale_output,
        mlator=settings.mlator,
        debug_wait=settings.debugwait,
        no_wfi=not settings.wfi,
        fifo_wait=settings.fifo_wait,
        boost=_port_and_pin(settings.boost),
        riscv=settings.uses_riscv,
        riscv_flash=settings.riscv_flash,
        riscv_debug=settings.riscv_debug,
        riscv_exclusive=settings.riscv_exclusive,
        deepsleep=settings.deepsleep,
        energy=settings.energy,
        forever=settings.forever,
        verify_writes=settings.verify_writes,
        verify_kernels=settings.verify_kernels,
        pll=settings.pll is not False,
        balance_speed=not settings.max_speed,
        divider=settings.clock_divider,
        switch_delay=settings.switch_delay,
        defines=tuple((settings.define or "").split()),
        arm_defines=tuple(settings.define_default_arm.split()),
        riscv_defines=tuple(settings.define_default_riscv.split()),
        files=FileNames(
            settings.c_filename.removesuffix(".c"),
            settings.api_filename,
            settings.weight_filename,
            settings.sample_filename,
            settings.sample_output_filename,
            settings.log_filename,
        ),
        templates=settings.templates,
        class_names=() if known is None else known.class_names,
        preprocessing=_preprocessing(known),
        data_note=None if known is None else known.data_note,
    )


def _board(name: str, device: Device) -> str:
    """Return the name of a board in the SDK's spelling. Raises Ai8xError for an unknown board."""
    found = next((board for board in device.boards if board.lower() == name.lower()), None)
    if found is None:
        known = f"{device.name} boards: {', '.join(device.boards)}; for your own board, set BOARD in project.mk"
        raise Ai8xError(f"--board-name {name!r}: unknown board{nearest(name, list(device.boards))}", fix=known)
    return found


def _preprocessing(known: Checkpoint | None) -> dict[str, Any] | None:
    stored = None if known is None else known.extras.get(PREPROCESSING)
    return None if known is None or stored is None else checked_preprocessing(stored, str(known.path))


def synthesis_options(settings: SynthesizeSettings) -> SynthesisOptions:
    """Return the options of every stage before the C project."""
    fast = settings.fast_fifo or settings.fast_fifo_quad
    return SynthesisOptions(
        parameters=ParameterOptions(settings.skip_checkpoint_layers, settings.ignore_bn, _layer_list(settings.no_bias)),
        network=ResolveOptions(
            stop_after=settings.stop_after,
            start_layer=settings.start_layer,
            input_offset=settings.input_offset,
            output_width=settings.output_width,
            ignore_streaming=settings.ignore_streaming,
        ),
        mapping=MappingOptions(
            weight_start=settings.weight_start,
            deduplicate=settings.deduplicate_weights,
            fifo=settings.fifo or fast,
            fast_fifo=fast,
            quad=settings.fast_fifo_quad,
            ignore_bias_groups=settings.ignore_bias_groups,
            overlap_data=settings.overlap_data,
        ),
        lowering=LoweringOptions(
            express=settings.mexpress,
            pipeline=settings.pipeline is not False,
            average_rounding=settings.avg_pool_rounding,
            one_shot=settings.one_shot,
            link_layers=settings.link_layer,
            fifo_go=settings.fifo_go,
            powerdown=settings.powerdown,
            init_tram=settings.init_tram,
            zero_memory=settings.zero_sram,
            write_zero_registers=settings.write_zero_registers,
            max_verify_length=settings.max_verify_length,
            known_answers=settings.kat,
            synthesized_input=_pattern(settings.synthesize_input, settings.synthesize_words),
        ),
        accept_wrong_data=not settings.error_stop or settings.verify is False,
        skip_yaml_layers=settings.skip_yaml_layers,
        weight_input=settings.weight_input,
        bias_input=settings.bias_input,
        warn_zero=settings.warn_zero,
        map_seconds=settings.map_seconds,
        parallel_outputs=settings.parallel_outputs,
    )


def _pattern(increment: str | None, words: int) -> SynthesizedInput | None:
    if increment is None:
        return None
    try:
        return SynthesizedInput(int(increment, 0), words)
    except ValueError:
        raise Ai8xError(f"--synthesize-input {increment}: must be a number, for example 0x2580") from None


def _port_and_pin(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        port, pin = (int(part) for part in text.split("."))
    except ValueError:
        raise Ai8xError(f"--boost {text}: must be PORT.PIN, for example 2.5") from None
    return port, pin


def _layer_list(text: str | None) -> tuple[int, ...] | None:
    """Return the layers in `text`; () for None, None (all layers) for "all"."""
    if text is None:
        return ()
    if text.strip().lower() == "all":
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise Ai8xError(f"--no-bias {text}: must be layer numbers separated by commas, or 'all'") from None
