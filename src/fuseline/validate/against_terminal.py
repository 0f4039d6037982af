"""Agreement with a compiler, as tables in a terminal and as keys of the JSON result."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.markup import escape

from fuseline.report.terminal import print_pairs, print_table
from fuseline.report.units import megabytes, ratio
from fuseline.validate.against import PlanAgreement
from fuseline.validate.inductor.agreement import Agreement, CauseRow, KernelRow
from fuseline.validate.pairs import PairAgreement

_SHOWN = 6
"""Ops of a kernel that a line names."""


def print_agreement(
    console: Console, found: Agreement, removed: tuple[str, ...], kernels: int
) -> None:
    """Ratios, causes of every difference, and the kernels that differ most."""
    print_pairs(console, "Agreement of 'inductor' with Inductor", _agreement_pairs(found, removed))
    if found.causes:
        print_table(
            console,
            "Differences by cause, ours less Inductor's",
            ("cause", "places", "kernels", "launches", "MB", "for example"),
            [_cause_line(row) for row in found.causes],
            text_columns=1,
        )
    rows = [row for row in found.kernel_rows if row.cause is not None]
    rows.sort(key=lambda row: (-abs(row.nbytes), -abs(row.launches)))
    if kernels and rows:
        print_table(
            console,
            f"Kernels that differ: {min(kernels, len(rows))} of {len(rows)}, the dearest first",
            ("kernel", "its ops", "our kernels for them", "MB", "ours", "cause"),
            [_kernel_line(row) for row in rows[:kernels]],
            text_columns=3,
        )


def _agreement_pairs(found: Agreement, removed: tuple[str, ...]) -> list[tuple[str, str]]:
    said = [
        ("launches", (f"{found.ours_launches} / {found.real_launches}, "
                     f"ratio {found.launches_ratio:.3f}")),
        ("traffic", (f"{megabytes(found.ours_nbytes)} / {megabytes(found.real_nbytes)} MB, "
                    f"ratio {found.bytes_ratio:.3f}")),
        *_pair_lines(found.pairs),
    ]  # fmt: skip
    if found.counted_nbytes != found.real_nbytes:
        more = megabytes(found.counted_nbytes - found.real_nbytes)
        indexed = "of buffers that loops read by an index and cannot touch whole"
        said.append(("besides", f"Inductor counts {more} MB more, {indexed}"))
    if removed:
        said.append(("removed", f"{len(removed)} ops have no kernel: {_names(removed)}"))
    return said


def _pair_lines(pairs: PairAgreement) -> list[tuple[str, str]]:
    return [
        ("pair precision", (f"{pairs.both} of our {pairs.ours} pairs of ops that share a kernel, "
                           f"{pairs.precision:.3f}")),
        ("pair recall", f"{pairs.both} of its {pairs.real}, {pairs.recall:.3f}"),
    ]  # fmt: skip


def _cause_line(row: CauseRow) -> tuple[str, ...]:
    return (
        row.cause.value,
        str(row.regions),
        str(row.kernels),
        f"{row.launches:+}",
        _signed(row.nbytes),
        row.examples[0] if row.examples else "",
    )


def _kernel_line(row: KernelRow) -> tuple[str, ...]:
    return (
        row.kernel,
        _names(row.ops),
        "; ".join(_names(names) for names in row.ours) or "none",
        megabytes(row.real_nbytes),
        megabytes(row.ours_nbytes),
        row.cause.value if row.cause else "",
    )


def _signed(nbytes: int) -> str:
    return f"{'-' if nbytes < 0 else '+'}{megabytes(abs(nbytes))}"


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def print_plan_agreement(console: Console, found: PlanAgreement, kernels: int) -> None:
    """Pairs, and the groups that one plan has and the other has not."""
    print_pairs(
        console,
        f"Agreement of '{found.compiler}' with {found.compiler}",
        [
            ("launches", (f"{found.ours_launches} / {found.real_launches}, "
                         f"ratio {ratio(found.launches_ratio)}")),
            *_pair_lines(found.pairs),
        ],
    )  # fmt: skip
    for title, groups in (("ours alone", found.only_ours), ("its own alone", found.only_real)):
        if groups and kernels:
            shown = min(kernels, len(groups))
            console.print(f"  kernels that are {title}, {shown} of {len(groups)}:")
            for names in groups[:shown]:
                console.print(f"    {escape(_names(names))}", soft_wrap=True)


def agreement_document(found: Agreement | PlanAgreement) -> dict[str, object]:
    """The key `agreement` of the JSON result.

    Of a compiler that does not say what it moves, `bytes_ratio` is null and `causes` is empty.
    """
    document: dict[str, object] = {
        "launches_ratio": found.launches_ratio,
        "bytes_ratio": None,
        "pair_precision": found.pairs.precision,
        "pair_recall": found.pairs.recall,
        "causes": [],
        **msgspec.to_builtins(found),
    }
    if isinstance(found, Agreement):
        document["bytes_ratio"] = found.bytes_ratio
        for ours, theirs in (("ours_nbytes", "ours_bytes"), ("real_nbytes", "real_bytes"),
                             ("counted_nbytes", "counted_bytes")):  # fmt: skip
            document[theirs] = document.pop(ours)
    return document
