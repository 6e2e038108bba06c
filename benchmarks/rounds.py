"""Rounds, medians and ratios: how both benchmarks turn samples into a Markdown table.

A machine drifts while it measures (clock speed, neighbours). So contenders take turns, A B C A B C …, a
ratio is formed inside each round, between neighbours in time, and only then the median over the rounds is
taken.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Sample = dict[str, float]
"""One contender in one round: figure to value."""

Samples = dict[str, dict[int, Sample]]
"""Contender to round to sample. A contender may lack a round in which it failed."""


def medians(samples: Samples, contender: str) -> Sample:
    """The median of each figure over the rounds of one contender."""
    rounds = samples[contender].values()
    figures = next(iter(rounds)).keys()
    return {figure: median(sample[figure] for sample in rounds) for figure in figures}


def ratio(samples: Samples, base: str, other: str, figure: str) -> float | None:
    """The median over common rounds of `base / other`; None without a common round or with a zero."""
    mine, others = samples.get(base, {}), samples.get(other, {})
    pairs = [(mine[number][figure], others[number][figure]) for number in sorted(mine.keys() & others.keys())]
    ratios = [value / against for value, against in pairs if against]
    return median(ratios) if ratios else None


def spread(samples: Samples, contender: str, figure: str) -> str:
    """`low..high` of a figure over the rounds: how quiet the machine was."""
    values = [sample[figure] for sample in samples[contender].values()]
    return f"{min(values):.1f}..{max(values):.1f}"


def times(value: float | None) -> str:
    """A ratio as a cell: `0.58x`."""
    return "-" if value is None else f"{value:.2f}x"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, padded so that it also reads well in a terminal; the first column is text."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_line(row, widths) for row in table]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"| {' | '.join([cells[0].ljust(widths[0]), *numbers])} |"
