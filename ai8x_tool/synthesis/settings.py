"""The options of ``ai8x synthesize``, spelled as people know them."""

from __future__ import annotations

from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.codegen.file_names import FileNames
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.lowering.options import SynthesizedInput
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.resources import find_config, search_path
from ai8x_tool.synthesis.synthesize import SynthesisOptions


def project_name(settings: SynthesizeSettings) -> str:
    """Return the project's name: the given one, that of its folder, or, without a folder, the network's."""
    folder = settings.check or settings.output
    return settings.prefix or (folder.resolve().name if folder is not None else settings.network_file().stem)


def project_options(settings: SynthesizeSettings) -> ProjectOptions:
    """Return the options of the C project."""
    source = settings.checkpoint_file() or settings.weight_input
    return ProjectOptions(
        name=project_name(settings),
        network=settings.network_file().name,
        checkpoint=source.name if source else "test arrays",
        board=settings.board_name,
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
    )

    @property
    def part(self) -> Device:
        """The device."""
        return find_device(self.device)

    @property
    def folder(self) -> Path:
        """The project's own folder."""
        return self.output if self.output is not None else (self.test_dir or Path("build")) / str(self.prefix)

    @property
    def uses_riscv(self) -> bool:
        """True if any option asks for a project that runs on the RISC-V core."""
        return self.riscv or self.riscv_debug or self.riscv_exclusive

    def network_file(self) -> Path:
        """Return the network description's file."""
        return find_config("networks", self.network)

    def checkpoint_file(self) -> Path | None:
        """Return the checkpoint's file, None if none was given. Raises Ai8xError if it does not exist."""
        if self.checkpoint is None:
            return None
        given = expand(self.checkpoint)
        if given.is_file():
            return given
        for folder in search_path("models/checkpoints"):
            if (folder / self.checkpoint).is_file():
                return folder / self.checkpoint
        raise Ai8xError("checkpoint not found", where=self.checkpoint)

    def checkpoint_name(self) -> str:
        """Return what the generated files say the weights are from."""
        source = self.checkpoint_file() or self.weight_input
        return source.name if source else "test arrays"

    def sample_file(self, dataset: str) -> Path:
        """Return the sample's file: the given one, or ``sample_<dataset>.npy`` here, in tests/, or as shipped."""
        if self.sample_input is not None:
            return self.sample_input
        name = f"sample_{dataset.lower()}.npy"
        folders = [Path(), Path("tests"), *search_path("models/checkpoints")]
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if found is None:
            fix = "add --sample-input FILE; `ai8x evaluate -8 --save-sample N` writes one"
            raise Ai8xError(f"no sample {name!r} here, in tests/ or among the shipped ones", fix=fix)
        return found

    def project_options(self) -> ProjectOptions:
        """Return the options of the C project."""
        self._check_device()
        return ProjectOptions(
            name=self.prefix or (self.check or self.folder).resolve().name,
            network=self.network_file().name,
            checkpoint=self.checkpoint_name(),
            board=self.board_name,
            timer=self.timer,
            softmax=self.softmax,
            unload=self.unload or self.softmax,
            scale_output=self.scale_output,
            mlator=self.mlator,
            debug_wait=self.debugwait,
            no_wfi=not self.wfi,
            fifo_wait=self.fifo_wait,
            boost=_port_and_pin(self.boost),
            riscv=self.uses_riscv,
            riscv_flash=self.riscv_flash,
            riscv_debug=self.riscv_debug,
            riscv_exclusive=self.riscv_exclusive,
            deepsleep=self.deepsleep,
            energy=self.energy,
            forever=self.forever,
            verify_writes=self.verify_writes,
            verify_kernels=self.verify_kernels,
            pll=self.pll is not False,
            balance_speed=not self.max_speed,
            divider=self.clock_divider,
            switch_delay=self.switch_delay,
            defines=tuple((self.define or "").split()),
            arm_defines=tuple(self.define_default_arm.split()),
            riscv_defines=tuple(self.define_default_riscv.split()),
            files=FileNames(
                self.c_filename.removesuffix(".c"),
                self.api_filename,
                self.weight_filename,
                self.sample_filename,
                self.sample_output_filename,
                self.log_filename,
            ),
        )

    def synthesis_options(self) -> SynthesisOptions:
        """Return the options of every stage before the C project."""
        fast = self.fast_fifo or self.fast_fifo_quad
        return SynthesisOptions(
            parameters=ParameterOptions(self.skip_checkpoint_layers, self.ignore_bn, _layer_list(self.no_bias)),
            network=ResolveOptions(
                stop_after=self.stop_after,
                start_layer=self.start_layer,
                input_offset=self.input_offset,
                output_width=self.output_width,
                ignore_streaming=self.ignore_streaming,
            ),
            mapping=MappingOptions(
                weight_start=self.weight_start,
                deduplicate=self.deduplicate_weights,
                fifo=self.fifo or fast,
                fast_fifo=fast,
                quad=self.fast_fifo_quad,
                ignore_bias_groups=self.ignore_bias_groups,
                overlap_data=self.overlap_data,
            ),
            lowering=LoweringOptions(
                express=self.mexpress,
                pipeline=self.pipeline is not False,
                average_rounding=self.avg_pool_rounding,
                one_shot=self.one_shot,
                link_layers=self.link_layer,
                fifo_go=self.fifo_go,
                powerdown=self.powerdown,
                init_tram=self.init_tram,
                zero_memory=self.zero_sram,
                write_zero_registers=self.write_zero_registers,
                max_verify_length=self.max_verify_length,
                known_answers=self.kat,
                synthesized_input=_pattern(self.synthesize_input, self.synthesize_words),
            ),
            accept_wrong_data=not self.error_stop or self.verify is False,
            skip_yaml_layers=self.skip_yaml_layers,
            weight_input=self.weight_input,
            bias_input=self.bias_input,
            warn_zero=self.warn_zero,
        )

    def _check_device(self) -> None:
        part = self.part
        only_78002 = {
            "--pipeline": self.pipeline,
            "--pll": self.pll,
            "--fifo-go": self.fifo_go,
            "--one-shot": self.one_shot,
            "--link-layer": self.link_layer,
            "--start-layer": self.start_layer > 0,
        }
        for option, wanted in only_78002.items():
            if wanted and not part.pipeline:
                raise Ai8xError(f"{option} needs a MAX78002", fix="leave it out")
        if self.max_speed and (not part.pll_mhz or self.pll is False):
            raise Ai8xError("--max-speed needs the PLL of the MAX78002")
        if (self.fast_fifo or self.fast_fifo_quad) and not self.uses_riscv:
            raise Ai8xError("the fast FIFO can only be written by the RISC-V core", fix="add --riscv")
        if self.deepsleep and not self.uses_riscv:
            raise Ai8xError("--deepsleep is for the Arm core while the RISC-V core works", fix="add --riscv")
        if self.one_shot and self.timer is not None:
            raise Ai8xError("--one-shot and --timer exclude each other")


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
