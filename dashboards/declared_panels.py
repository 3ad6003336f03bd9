"""The panels of what a site declares to be followed: the steps of each funnel, and the variants of each experiment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from aggregator.live import Cell
from collector.declared import Declared, Experiment, Funnel
from dashboards.experiments import Interval, Result
from dashboards.panels import Panel, Row, told_rate
from dashboards.rates import Rate
from dashboards.words import Words, marked

OF_FIRST = marked("%(least)s to %(most)s of the first step")


def declared_panels(
    words: Words,
    declared: Declared,
    values: Mapping[str, Sequence[Cell]],
    rates: Mapping[str, Rate],
    results: Iterable[Result],
) -> tuple[Panel, ...]:
    """A panel for each funnel and experiment that has numbers."""
    steps = {cell.value: cell for cell in values.get("funnel", ())}
    variants = {cell.value: cell for cell in values.get("variant", ())}
    funnels = [_funnel(words, place, each, steps, rates) for place, each in enumerate(declared.funnels, 1)]
    told = list(results)
    experiments = [
        _experiment(words, place, each, variants, told) for place, each in enumerate(declared.experiments, 1)
    ]
    return tuple(panel for panel in (*funnels, *experiments) if panel.rows)


def _funnel(words: Words, place: int, funnel: Funnel, steps: Mapping[str, Cell], rates: Mapping[str, Rate]) -> Panel:
    """Steps in their order; each bar is the part of the first step."""
    shown = [
        (number, step.name, steps[value])
        for number, step in enumerate(funnel.steps, 1)
        if (value := f"{funnel.name}/{number}") in steps
    ]
    first = shown[0][2].measures.visits if shown else 0
    rows = [
        Row(
            f"{words.number(number)}. {name}",
            told_rate(words, rates[cell.value], OF_FIRST) if number > 1 and cell.value in rates else "",
            is_text=True,
            is_folded=False,
            numbers=(cell.measures.visitors, cell.measures.visits),
            share=_share(cell.measures.visits, first),
        )
        for number, name, cell in shown
    ]
    columns = words.say(marked("Visitors")), words.say(marked("Visits"))
    return Panel(f"funnel-{place}", words.say(marked("Funnel: %(name)s"), name=funnel.name), columns, tuple(rows), ())


def _experiment(
    words: Words, place: int, experiment: Experiment, variants: Mapping[str, Cell], results: Iterable[Result]
) -> Panel:
    """The variants, then each goal by variant with its interval and that of the difference from the first."""
    met = [
        (name, variants[value]) for name in experiment.variants if (value := f"{experiment.name}/{name}") in variants
    ]
    most = max((cell.measures.visitors for _, cell in met), default=0)
    rows = [_row(name, "", cell.measures.visitors, _share(cell.measures.visitors, most)) for name, cell in met]
    rows += [
        _row(f"{result.goal}: {result.variant}", _told(words, experiment, result), result.reached, 100 * result.rate[0])
        for result in results
        if result.experiment == experiment.name
    ]
    title = words.say(marked("Experiment: %(name)s"), name=experiment.name)
    return Panel(f"experiment-{place}", title, (words.say(marked("Visitors")),), tuple(rows), ())


def _row(label: str, note: str, number: int, share: float) -> Row:
    return Row(label, note, is_text=True, is_folded=False, numbers=(number,), share=round(share, 1))


def _told(words: Words, experiment: Experiment, result: Result) -> str:
    least, most = (words.percent(end / 100) for end in _outward(result.rate))
    rate = words.say(marked("%(least)s to %(most)s of visitors"), least=least, most=most)
    if result.difference is None:
        return rate
    least, most = (words.signed(end) for end in _outward(result.difference))
    sentence = marked("%(rate)s; against %(first)s %(least)s to %(most)s points")
    return words.say(sentence, rate=rate, first=experiment.variants[0], least=least, most=most)


def _outward(interval: Interval) -> tuple[int, int]:
    """In whole percent, not narrower than it is."""
    return math.floor(100 * interval[0]), math.ceil(100 * interval[1])


def _share(number: int, of: int) -> float:
    return round(min(100.0, 100 * number / of), 1) if of else 0.0
