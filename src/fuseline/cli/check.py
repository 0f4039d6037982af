"""`fuseline check`: hold models against budgets and a baseline, and fail where one is worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

import fuseline
from fuseline.budgets.amounts import parse_amount
from fuseline.budgets.baseline import Baseline, load_baseline, save_baseline
from fuseline.budgets.config import DEFAULT, IMPLIED, read_config
from fuseline.budgets.document import Outcome, json_document, markdown
from fuseline.budgets.entries import Entry, Planning, label_of
from fuseline.budgets.measure import Measured, measure
from fuseline.budgets.verdicts import check
from fuseline.cli.options import Asked, capture_options
from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.fusion import choose_strategies
from fuseline.report.captures import Capturing
from fuseline.report.rows.table import Measure
from fuseline.report.steps import Steps
from fuseline.report.units import count_of

_UNASKED = Asked(None, None, None, (), None, None, False, None)  # noqa: FBT003 - all unset


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--config", metavar="FILE",
              help=f"Models and budgets [default: {DEFAULT}, where it is there].")  # fmt: skip
@click.option("--baseline", metavar="FILE",
              help="Fail where a figure is worse than in FILE, and say what changed.")  # fmt: skip
@click.option("--save-baseline", "save_path", metavar="FILE",
              help="Write figures, graphs and groups to FILE (.json, .json.zst).")  # fmt: skip
@click.option("--tolerance", metavar="PART",
              help="How much worse than the baseline may pass, as 1% [default: 0].")  # fmt: skip
@click.option("--json", "json_path", metavar="FILE", help="Write the outcome; - is stdout.")
@click.option("--strategy", metavar="NAME", help="Of models that no file configures.")
@click.option("--device", metavar="NAME|FILE", help="Likewise: what they are timed on.")
@capture_options
@click.pass_context
def command(
    context: click.Context,
    *,
    models: tuple[str, ...],
    config: str | None,
    baseline: str | None,
    save_path: str | None,
    tolerance: str | None,
    json_path: str | None,
    strategy: str | None,
    device: str | None,
    asked: Asked,
) -> None:
    """Measure models and hold them against their budgets (fuseline.toml) and against a baseline.

    MODEL chooses among those that the configuration or the baseline names, by name or label; where
    neither is there, it is what `partition` takes. Prints Markdown. Exits with 1 where a figure is
    over budget, worse than the baseline or not to be compared with it, with 2 where a model cannot
    be measured.
    """
    check_writable(save_path)
    check_writable(json_path)
    kept = None if baseline is None else load_baseline(Path(baseline))
    adhoc = _adhoc(strategy, device, asked)
    entries, folder = _entries(models, config, kept, adhoc)
    if tolerance is not None:
        part = float(parse_amount(tolerance, Measure.FRACTION))
        entries = tuple(replace(entry, tolerance=part, tolerances={}) for entry in entries)
    measured, failed = _measure(entries, folder)
    if save_path is not None:
        _save(measured, failed, save_path)
    outcome = _hold(measured, failed, kept)
    _show(outcome, json_path)
    if not outcome.passes:
        context.exit(2 if outcome.failed else 1)


# --- what is checked --------------------------------------------------------------------------


def _adhoc(
    strategy: str | None, device: str | None, asked: Asked
) -> tuple[Capturing, Planning] | None:
    """How a model is checked that no file configures; None where nothing is said of it."""
    if strategy is None and device is None and asked == _UNASKED:
        return None
    if strategy == "all":
        raise InputError("a check is of one strategy: name it")
    [chosen] = choose_strategies((Planning().strategy if strategy is None else strategy,))
    return asked.capturing, Planning(chosen, device=device)


def _entries(
    models: Sequence[str],
    config: str | None,
    kept: Baseline | None,
    adhoc: tuple[Capturing, Planning] | None,
) -> tuple[tuple[Entry, ...], Path]:
    """What to check, and the folder that the files it names are relative to."""
    path = Path(config) if config is not None else DEFAULT
    if config is not None or path.is_file():
        if adhoc is not None:
            raise InputError(f"how models are captured and partitioned is in '{path}'")
        return _chosen(read_config(path), models, f"'{path}'"), path.parent
    if kept is not None and adhoc is None:
        entries = tuple(each.entry for each in kept.entries)
        return _chosen(entries, models, "the baseline"), Path()
    if not models and kept is not None:
        raise InputError("--strategy, --device and how to capture are said of a MODEL: name one; "
                         "a baseline says how its own are checked")  # fmt: skip
    if not models:
        raise InputError(f"nothing to check: name a MODEL, or write {DEFAULT}")
    capture, planning = adhoc or (Capturing(), Planning())
    made = (
        Entry(name, label_of(name, capture, planning), capture, planning, dict(IMPLIED))
        for name in dict.fromkeys(models)
    )
    return tuple(made), Path()


def _chosen(entries: tuple[Entry, ...], models: Sequence[str], where: str) -> tuple[Entry, ...]:
    """Those that the words name, by label or name; all where there are none."""
    known = {word for entry in entries for word in (entry.name, entry.label)}
    for word in models:
        if word not in known:
            labels = ", ".join(f"'{entry.label}'" for entry in entries)
            hint = did_you_mean(word, known) or f": one of {labels}"
            raise InputError(f"{where} has no model '{word}'{hint}")
    wanted = set(models) or known
    return tuple(entry for entry in entries if {entry.name, entry.label} & wanted)


# --- steps ------------------------------------------------------------------------------------


def _measure(
    entries: Sequence[Entry], folder: Path
) -> tuple[tuple[Measured, ...], tuple[tuple[str, str], ...]]:
    """Every model that can be measured; and the labels of those that cannot, with the reason."""
    found, failed = [], []
    with Steps() as steps:
        for number, entry in enumerate(entries, 1):
            said = f"checking {entry.label} ({number} of {len(entries)})"
            steps.tell(said)
            try:
                found.append(
                    measure(
                        entry,
                        folder,
                        lambda step, count, said=said: steps.tell(f"{said}: {count:,} {step}"),
                    )
                )
            except InputError as error:
                if len(entries) == 1:
                    raise
                failed.append((entry.label, str(error)))
                click.echo(f"error: {entry.label}: {error}", err=True)
    return tuple(found), tuple(failed)


def _save(measured: Sequence[Measured], failed: Sequence[tuple[str, str]], path: str) -> None:
    """Write the baseline: of all models, whatever their budgets, or none."""
    if failed:
        click.echo(f"no baseline written: {failed[0][0]} could not be measured", err=True)
        return
    save_baseline(measured, Path(path), fuseline.__version__)
    click.echo(f"{path}: {count_of(len(measured), 'model')}", err=True)


def _hold(
    measured: Sequence[Measured], failed: tuple[tuple[str, str], ...], kept: Baseline | None
) -> Outcome:
    checked = tuple(
        check(
            each,
            kept.find(each.entry.label) if kept else None,
            has_baseline=kept is not None,
        )
        for each in measured
    )
    labels = {each.entry.label for each in measured} | {label for label, _ in failed}
    all_kept = [each.entry.label for each in kept.entries] if kept else []
    return Outcome(checked, failed, tuple(label for label in all_kept if label not in labels))


def _show(outcome: Outcome, json_path: str | None) -> None:
    """Markdown on stdout; the JSON in a file, or alone on stdout."""
    if json_path is not None:
        document = json_document(outcome, fuseline.__version__)
        if json_path == "-":
            click.echo(document, nl=False)
            return
        write_bytes(Path(json_path), document)
    click.echo(markdown(outcome), nl=False)
