"""Options are declared once: what the command line makes of the declarations."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from ai8x_tool.cli.main import COMMANDS, build_command

# What scripts use, those of the reference tools included. No spelling may go.
SPELLINGS = {
    "analyze": """
        --device --dataset --input --model --use-bias --qat-policy --checkpoint --pipeline --no-pipeline --pll --no-pll
        --apb --clock-divider --fifo --fast-fifo --overlap-data --map-seconds --settings --html
    """,
    "train": """
        --model --arch -a --dataset --data --device --use-bias --avg-pool-rounding --truncate-testset --settings
        --check --no-check
        --epochs --batch-size -b --optimizer --lr --learning-rate --momentum --weight-decay --wd --compress
        --warmup-epochs --validation-split --valid-size --vs --show-train-accuracy --regression --out-fold-ratio -f
        --anomaly-percentile --obj-detection --enable-obj-detection --obj-detection-params --dr --scaf-margin
        --scaf-scale --scaf-lr --backbone-checkpoint --kd-teacher --kd-resume --kd-relationbased --kd-temperature
        --kd-temp --kd-distill-wt --kd-dw --kd-student-wt --kd-sw --kd-teacher-wt --kd-tw --kd-start-epoch --qat-policy
        --activation-ranges --resume-from --exp-load-weights-from --reset-optimizer --deterministic --det --seed --cpu
        --gpus --distributed --processes --precision --compile --compiler-mode --compiler-backend --workers -j --name -n
        --out-dir -o --copy-output-folder --confusion --clipping --tensorboard --enable-tensorboard --no-tensorboard
        --param-hist --pr-curves --embedding --summary --summary-filename --print-freq -p --evaluate -e --pretrained
        --num-best-scores --activation-stats --act-stats
    """,
    "quantize": """
        --device --config-file -c --qat-weight-bits --compact --clip-method --scale --stddev --calibrate --recipe
        --dataset --data --model --calibration-input --avg-pool-rounding
    """,
    "insert-identity": """
        --layer-name --layer-depth --insert-before --low-memory
    """,
    "evaluate": """
        --checkpoint --exp-load-weights-from --model --arch -a --dataset --data --device --use-bias --truncate-testset
        --settings --8bit --8-bit-mode -8 --network --engine --no-engine --avg-pool-rounding --batch-size -b
        --regression --out-fold-ratio -f --anomaly-percentile --obj-detection --enable-obj-detection
        --obj-detection-params --dr --scaf-margin --scaf-scale --scaf-lr --backbone-checkpoint --kd-teacher --kd-resume
        --kd-relationbased --kd-temperature --kd-temp --kd-distill-wt --kd-dw --kd-student-wt --kd-sw --kd-teacher-wt
        --kd-tw --kd-start-epoch --save-sample --save-sample-file --slice-sample --cpu --gpus --confusion --clipping
        --name -n --out-dir -o --summary --summary-filename --print-freq -p --workers -j --evaluate -e --deterministic
        --det --seed --validation-split --valid-size --vs --qat-policy --compiler-mode --tensorboard
        --enable-tensorboard --no-tensorboard --param-hist --pr-curves --embedding
    """,
    "synthesize": """
        --config-file --network --checkpoint-file --checkpoint --weight-input --bias-input --sample-input --device
        --settings --output -o --test-dir --prefix --overwrite --board-name --c-filename --api-filename
        --weight-filename --sample-filename --sample-output-filename --timer --softmax --unload --no-unload
        --no-scale-output --mlator --no-kat --max-verify-length --max-checklines --debugwait --no-wfi --boost --energy
        --forever --no-timer --define --define-default-arm --define-default-riscv --fifo --fast-fifo --fast-fifo-quad
        --no-fifo-wait --synthesize-input --synthesize-words --fifo-go --riscv --riscv-flash --no-riscv-flash
        --riscv-debug --riscv-exclusive --deepsleep --pipeline --no-pipeline --pll --no-pll --apb --max-speed
        --balance-speed --clock-divider --switch-delay --avg-pool-rounding --mexpress --no-mexpress --powerdown
        --one-shot --link-layer --no-deduplicate-weights --weight-start --start-layer --stop-after --input-offset
        --output-width --skip-checkpoint-layers --skip-yaml-layers --ignore-bn --ignore-bias-groups --ignore-streaming
        --no-bias --overlap-data --no-error-stop --no-warn-zero --check --explain --verify --no-verify
        --html --display-checkpoint --sample-numpy-filename --log -L --no-log --log-filename --log-intermediate
        --verify-writes --verify-kernels --write-zero-registers --zero-sram --init-tram --compact-data --no-compact-data
        --compact-weights --embedded-code -e --new-kernel-loader --no-version-check --short-log --log-last-only
        --verbose-all --version-check-interval --upstream --unroll-mlator --unroll-8bit --unroll-wide
        --ignore-energy-warning --ignore-mlator-warning --no-progress --yamllint
    """,
    "verify": """
        --config-file --network --checkpoint-file --checkpoint --trained --model --arch --settings --sample-input
        --samples -n --dataset --data --device --fifo --fast-fifo --firmware --no-firmware --avg-pool-rounding
    """,
    "run": """
        --input -i --output-file -o --host --strict
    """,
    "demo": """
        --output -o --data --epochs
    """,
}


def spellings(name):
    return [s for p in build_command(name).params for s in (*p.opts, *p.secondary_opts) if s.startswith("-")]


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_scripts_are_accepted(name):
    assert set(SPELLINGS[name].split()) <= set(spellings(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_no_spelling_means_two_things(name):
    found = spellings(name)
    assert len(found) == len(set(found)), sorted(s for s in found if found.count(s) > 1)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name):
    """In sentences, with capital letter and full stop; hidden ones need no words."""
    for parameter in build_command(name).params:
        if not getattr(parameter, "hidden", False):
            assert re.fullmatch(r"[A-Z].{11,}\.", parameter.help), parameter.name
            assert len(parameter.help.split()) >= 3, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(ai8x, name, monkeypatch):
    """No spelling is cut at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    text = ai8x(name, "--help-all").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "…│" not in text and "-… " not in text
    for parameter in build_command(name).params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert any(re.search(rf"(?m)^│ (.* )?{s}[ ,]", text) for s in (*parameter.opts, *parameter.secondary_opts))


def test_help_shows_the_spelling_that_changes_something(ai8x):
    text = ai8x("synthesize", "--help-all").stdout
    assert "--no-wfi" in text and "--wfi" not in text
    assert "--softmax" in text and "--no-softmax" not in text
    assert "--pipeline" in text and "--no-pipeline" in text
    assert "--checkpoint " in text and "--checkpoint-file" not in text


def test_help_names_defaults_and_devices(ai8x):
    text = " ".join(ai8x("synthesize", "--help-all").stdout.replace("│", " ").split())
    assert "Board that the project is for, as the SDK names it (default EvKit_V1)." in text
    assert "Stop after every layer and let software continue; cannot be combined with --timer. MAX78002 only." in text
    assert "Adam or NAdam (default: AdamW, or SGD if" in " ".join(
        ai8x("train", "--help-all").stdout.replace("│", " ").split()
    )


def test_the_last_of_two_opposites_counts(workspace):
    assert workspace.synthesize("--softmax", "--no-softmax").exit_code == 0
    assert "softmax" not in (workspace.output / "main.c").read_text()
    assert workspace.synthesize("--no-softmax", "--softmax", "--overwrite").exit_code == 0
    assert "softmax" in (workspace.output / "main.c").read_text()


def test_what_a_recipe_sets_can_be_unset(ai8x, tmp_path, monkeypatch):
    """The recipe of mnist has `timer: 0` and `softmax: true`."""
    monkeypatch.chdir(tmp_path)
    assert ai8x("synthesize", "mnist", "-o", "a").exit_code == 0
    assert ai8x("synthesize", "mnist", "-o", "b", "--no-timer", "--no-softmax").exit_code == 0
    one, two = ((tmp_path / name / "main.c").read_text() for name in "ab")
    assert "softmax" in one and "softmax" not in two
    assert "MXC_TMR" in (tmp_path / "a" / "cnn.h").read_text()
    assert "MXC_TMR" not in (tmp_path / "b" / "cnn.h").read_text()


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (["evaluate", "--tensorboard", "--seed", "1"], 1, "without effect: --tensorboard"),
        (["evaluate", "--no-tensorboard", "--det"], 1, "without effect: --no-tensorboard"),
        (["evaluate", "--det", "-e"], 1, None),
        (
            ["train", "--act-stats", "valid", "--kd-pretrained"],
            1,
            "without effect: --activation-stats, --kd-pretrained",
        ),
        (["train", "-e"], 1, "train does not evaluate (use ai8x evaluate"),
        (["verify", "mnist", "--overwrite", "-o", "x", "--device", "?"], 1, "without effect: --output, --overwrite"),
    ],
)
def test_options_without_effect_are_named(ai8x, words, status, named):
    result = ai8x(*words)
    assert result.exit_code == status
    assert named in result.stderr if named else "without effect" not in result.stderr


def complete(name, option, start):
    command = build_command(name)
    parameter = next(p for p in command.params if option in (*p.opts, p.name))
    return [item.value for item in parameter.shell_complete(click.Context(command), start)]


def test_values_are_completed():
    assert complete("train", "--optimizer", "") == ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop"]
    assert complete("train", "recipe", "mnist_q") == ["mnist_qat"]
    assert complete("synthesize", "--network", "mni") == ["mnist", "mnist_extrasmall"]
    assert complete("synthesize", "--checkpoint", "ai85net") == ["ai85net5-q.pth.tar"]
    assert complete("list", "kind", "da") == ["datasets"]
    assert complete("train", "--model", "ai85net5") == ["ai85net5"]
    assert complete("evaluate", "--dataset", "MN") == ["MNIST"]
    assert complete("analyze", "--device", "MAX") == ["MAX78000", "MAX78002"]
    assert complete("synthesize", "--board-name", "F") == ["FTHR_RevA"]


def test_one_option_is_suggested(ai8x):
    """It is one that help shows, not one of old scripts."""
    result = ai8x("train", "--modell", "x")
    assert result.exit_code == 2
    assert "Did you mean '--model'?" in result.stderr and "--det" not in result.stderr


def test_the_list_of_commands_imports_none_of_them(root):
    script = (
        "import sys; from typer.testing import CliRunner; from ai8x_tool.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*[name for name in sys.modules if name.startswith(('ai8x_tool.cli.', 'ai8x_tool.settings'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["ai8x_tool.cli.main"]


@pytest.mark.parametrize("name", ["train", "evaluate", "synthesize", "verify"])
def test_help_shows_what_is_used_most_and_all_on_request(ai8x, name):
    """Every common option exists; --help shows them, --help-all shows every option that is not hidden."""
    import importlib
    import re

    from ai8x_tool.cli.main import COMMANDS

    command = importlib.import_module(f"ai8x_tool.cli.{COMMANDS[name][0]}").COMMAND
    declared = {option.name: option for option in command.options() if option.name not in command.ignored}
    assert set(command.common) <= set(declared) and len(command.common) <= 25
    short, complete = (set(re.findall(r"--[a-z0-9-]+", ai8x(name, way).stdout)) for way in ("--help", "--help-all"))
    for option in declared.values():
        assert option.shown[0] in complete, option.name
        assert (option.name in command.common) <= (option.shown[0] in short), option.name
    assert len(short) < len(complete)
