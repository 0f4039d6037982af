"""`fuseline validate`: figures held against the seed document, another count, whole zoos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import click

from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes

Item = TypeVar("Item")
Command = TypeVar("Command", bound=Callable[..., object])


class _Against(click.Group):
    """What figures can be held against; `MODEL --against COMPILER` is one model against one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and any(a.startswith("--against") for a in args):
            from fuseline.cli.against import command as against

            return against.name, against, args
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.commands) or f": one of {', '.join(self.commands)}"
            raise InputError(
                f"cannot validate against '{args[0]}'{hint}"
                f"{'' if '?' in hint else '; of a model, say --against inductor'}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Against, no_args_is_help=False)
def command() -> None:
    """Hold figures against the seed document, torch, compilers, clocks, or whole zoos.

    MODEL --against inductor|tvm|onnxruntime lays our plan beside the kernels that a compiler really
    makes of one model (validate MODEL --against inductor --help).
    """


def _outputs(function: Command) -> Command:
    """Where the page and the figures go."""
    json_option = click.option("--json", "json_path", metavar="FILE",
                               help="Write the figures; - is stdout.")  # fmt: skip
    page_option = click.option("-o", "--output", metavar="FILE", help="Write the Markdown page.")
    return page_option(json_option(function))


_models = click.option("--model", "models", multiple=True,
                       help="Only these models; repeat for several.")  # fmt: skip


@command.command()
@_models
@_outputs
def seed(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """Recompute the seed document's tables beside the right figures."""
    from fuseline.validate.document import MODELS

    _check(output, json_path)
    for model in models:
        if model not in MODELS:
            raise InputError(f"'{model}' is not in the document{did_you_mean(model, MODELS)}")
    from fuseline.validate.seed import validate_model
    from fuseline.validate.seed_page import encode, page

    results = tuple(validate_model(model) for model in _progress(models or MODELS))
    _write(output, lambda: page(results).encode())
    _write(json_path, lambda: encode(results))
    for result in results:
        _show(
            json_path,
            result.model,
            ("figure", "document", "reproduced", "right"),
            [(f.name, f.stated, f.reproduced, f.right) for f in result.figures],
            text_columns=4,
        )


@command.command()
@_models
@_outputs
def flops(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """Hold the FLOPs of torchvision's classifiers against torch's own counter."""
    import msgspec

    _check(output, json_path)
    from fuseline.frontends.sources.zoos import torchvision_names
    from fuseline.validate.flop_counter import compare_flops, page

    classifiers = tuple(torchvision_names(""))
    rows = tuple(compare_flops(model) for model in _progress(models or classifiers))
    _write(output, lambda: page(rows).encode())
    _write(json_path, lambda: msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    _show(
        json_path,
        "FLOPs, 2 x multiply-accumulates",
        ("model", "ours", "torch", "difference", "unknown ops"),
        [
            (r.model, f"{r.ours:,}", f"{r.counted:,}", f"{r.difference:,}", str(r.unknown_ops))
            for r in rows
        ],
    )


@command.command()
@_models
@_outputs
def extended(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """What each part of the strategy 'extended' adds over 'fusion'; MODEL may end in ' --train'."""
    _check(output, json_path)
    from fuseline.validate.extended import MODELS, check_models, compare_extensions
    from fuseline.validate.extended_page import COLUMNS, encode, lines, page

    check_models(models)
    rows = tuple(compare_extensions(model) for model in _progress(models or MODELS))
    _write(output, lambda: page(rows, version("torch")).encode())
    _write(json_path, lambda: encode(rows))
    _show(json_path, "Parts of 'extended'", COLUMNS, lines(rows), text_columns=2)


@command.command()
@click.option("--zoo", "zoos", multiple=True, metavar="torchvision|timm|hf",
              help="Only these zoos; repeat for several.")  # fmt: skip
@click.option("--sample", type=click.IntRange(min=0), default=110, show_default=True,
              help="Models, chosen at random, whose FLOPs torch counts too.")  # fmt: skip
@click.option("--resume", metavar="FILE",
              help="Keep rows in FILE (JSON lines) as they come; do not repeat those in it.",
)  # fmt: skip
@_outputs
def coverage(
    *,
    zoos: tuple[str, ...],
    sample: int,
    resume: str | None,
    output: str | None,
    json_path: str | None,
) -> None:
    """Capture every model of the zoos: which cannot be, and why. Takes many minutes."""
    _check(output, json_path)
    check_writable(resume)
    from fuseline.validate.coverage import ZOOS, cover_all, jobs
    from fuseline.validate.coverage_page import COLUMNS, encode, lines, page

    todo = jobs(zoos or ZOOS, sample)
    covered = cover_all(todo, Path(resume) if resume else None)
    rows = tuple(_progress(covered, total=len(todo)))
    _write(output, lambda: page(rows, _versions()).encode())
    _write(json_path, lambda: encode(rows, _versions()))
    _show(json_path, "Models captured, and no FLOP unknown", COLUMNS, lines(rows), text_columns=3)


@command.command()
@click.option("--workload", "workloads", multiple=True,
              help="Only these workloads of the page; repeat for several.")  # fmt: skip
@_outputs
def comparison(*, workloads: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """Every strategy and the optimum on well-known models: bytes, launches, seconds, memory."""
    _check(output, json_path)
    from fuseline.validate.comparison import WORKLOADS, compare_all
    from fuseline.validate.comparison_page import COLUMNS, encode, lines, page

    total = len(workloads) or len(WORKLOADS)
    found = tuple(_progress(compare_all(workloads), total=total))
    _write(output, lambda: page(found, version("torch")).encode())
    _write(json_path, lambda: encode(found))
    _show(json_path, "Strategies compared", COLUMNS, lines(found), text_columns=2)


@command.command("optimal")
@_models
@click.option("--resume", metavar="FILE",
              help="Keep rows in FILE (JSON lines) as they come; do not repeat those in it.",
)  # fmt: skip
@_outputs
def proofs(
    *, models: tuple[str, ...], resume: str | None, output: str | None, json_path: str | None
) -> None:
    """How good the proofs of 'optimal' are across the zoos. Takes minutes."""
    _check(output, json_path)
    check_writable(resume)
    from fuseline.validate.optimal import check_models, models_of_sweep, prove_all
    from fuseline.validate.optimal_page import SUMMARY, encode, page, summary

    check_models(models)
    chosen = models or models_of_sweep()
    proven = prove_all(chosen, Path(resume) if resume else None)
    rows = tuple(row for found in _progress(proven, total=len(chosen)) for row in found)
    _write(output, lambda: page(rows, _versions()).encode())
    _write(json_path, lambda: encode(rows, _versions()))
    _show(json_path, "Proofs of 'optimal'", SUMMARY, summary(rows), text_columns=1)


@command.command()
@_outputs
def compilers(*, output: str | None, json_path: str | None) -> None:
    """Rule models and optima against compilers, papers and a prototype. Takes a minute or two."""
    _check(output, json_path)
    from fuseline.validate.compilers import compare_compilers
    from fuseline.validate.compilers_page import COLUMNS, encode, lines, page

    (found,) = tuple(compare_compilers() for _ in _progress((None,)))
    _write(output, lambda: page(found, version("torch")).encode())
    _write(json_path, lambda: encode(found))
    _show(json_path, "Kernels and bytes, ours and theirs", COLUMNS, lines(found), text_columns=3)


@command.command()
@_models
@click.option("--device", metavar="FILE.toml",
              help="A device that `fuseline calibrate` wrote here; measured first without.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Threads that torch runs on: those of the calibration.")  # fmt: skip
@_outputs
def predicted(
    *,
    models: tuple[str, ...],
    device: str | None,
    threads: int,
    output: str | None,
    json_path: str | None,
) -> None:
    """Predicted against measured time on this CPU, whole models and groups. Takes minutes."""
    _check(output, json_path)
    from fuseline.hardware import load_device
    from fuseline.validate.predicted import MODELS, calibrated, check_models, predict_all
    from fuseline.validate.predicted_page import COLUMNS, encode, lines, page

    check_models(models)
    chosen = models or MODELS
    machine = load_device(device) if device else calibrated(threads)
    rows = tuple(_progress(predict_all(machine, threads, chosen), total=len(chosen)))
    versions = ", ".join(f"{name} {found}" for name, found in _versions().items())
    _write(output, lambda: page(rows, machine, versions, threads).encode())
    _write(json_path, lambda: encode(rows, machine))
    _show(json_path, "Predicted against measured time", COLUMNS, lines(rows))


@command.command()
@_models
@_outputs
def inductor(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """The rules of `inductor` beside the real Inductor, for the CPU and for an H100."""
    from fuseline.validate.inductor.survey import HELD_OUT, MODELS, SETTINGS, asked_for, survey
    from fuseline.validate.inductor.survey_page import COLUMNS, encode, lines, page

    _check(output, json_path)
    asked = asked_for(models) if models else (*MODELS, *HELD_OUT)
    rows = tuple(_progress(survey(asked), total=len(asked) * len(SETTINGS)))
    versions = ", ".join(f"{name} {found}" for name, found in _versions().items())
    _write(output, lambda: page(rows, versions).encode())
    _write(json_path, lambda: encode(rows))
    _show(json_path, "Our rules beside Inductor", COLUMNS, lines(rows), text_columns=2)


@command.command()
@_models
@_outputs
def published(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """Operator and kernel counts of DNNFusion and PluS beside ours. Takes half a minute."""
    _check(output, json_path)
    from fuseline.validate.published import MODELS, check_models, published_rows
    from fuseline.validate.published_page import COLUMNS, encode, lines, page

    check_models(models)
    chosen = models or MODELS
    found = (tuple(published_rows([model])) for model in _progress(chosen))
    rows = tuple(row for of_model in found for row in of_model)
    _write(output, lambda: page(rows, version("torch")).encode())
    _write(json_path, lambda: encode(rows))
    _show(json_path, "Published counts, and ours", COLUMNS, lines(rows), text_columns=2)


@command.command()
@_models
@_outputs
def oracles(*, models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    """The strategies `tvm` and `onnxruntime` against the compilers themselves. Takes minutes."""
    _check(output, json_path)
    from fuseline.validate.oracles import MODELS, oracle_rows, versions
    from fuseline.validate.oracles_page import COLUMNS, encode, lines, page

    chosen = models or MODELS
    found = (tuple(oracle_rows([model])) for model in _progress(chosen))
    rows = tuple(row for of_model in found for row in of_model)
    _write(output, lambda: page(rows, versions()).encode())
    _write(json_path, lambda: encode(rows))
    _show(json_path, "Rule models and compilers", COLUMNS, lines(rows), text_columns=3)


def _versions() -> dict[str, str]:
    """What was captured, and by which torch."""
    found = {}
    for package in ("torch", "torchvision", "timm", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _check(output: str | None, json_path: str | None) -> None:
    check_writable(output)
    check_writable(json_path)


def _progress(items: Iterable[Item], total: int | None = None) -> Iterable[Item]:
    """The items one by one, with progress on stderr."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, "Recomputing", total=total, console=console, transient=True)


def _write(path: str | None, content: Callable[[], bytes]) -> None:
    if path is None:
        return
    if path == "-":
        click.echo(content(), nl=False)
        return
    write_bytes(Path(path), content())
    click.echo(f"wrote {path}", err=True)


def _show(
    json_path: str | None,
    title: str,
    columns: tuple[str, ...],
    lines: Iterable[tuple[str, ...]],
    *,
    text_columns: int = 1,
) -> None:
    """A table on stdout, unless the figures go there."""
    if json_path == "-":
        return
    from fuseline.report.terminal import print_table, stdout_console

    print_table(stdout_console(), title, columns, lines, text_columns=text_columns)
