"""The course of a period: its curve, and the same as a table for whoever reads rather than looks.

A single day goes by the spans that each had k networks, per hour, since spans differ in length; one that sealing left
out is a gap; the hours of a week are those of all its days together. Up to three months go by days; longer ones by
weeks that are counted back from the last day. A site that is sealed by weeks goes by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aggregator.live import Measures
from collector.settings import Site
from dashboards.chart import Chart, Value, chart_of
from dashboards.day_or_week import BY, OPEN
from dashboards.shown_days import Day, total_of
from dashboards.smallest_group import FEWER, SPANS, of_group
from dashboards.stats import Span, Stats
from dashboards.words import Words, marked, marked_count

LONGEST_BY_DAYS = 92
WEEK = 7
NOT_SEALED = marked("not sealed")
LEFT_OUT = marked("not shown, lest it be told from the rest of the day")
HOURS = 24
VISITORS = marked_count("%(number)s visitor", "%(number)s visitors")


@dataclass(frozen=True)
class Step:
    """One row of the table: its time in words, its numbers, or why there are none; `before` is what it is compared
    with."""

    time: str
    measures: Measures | None
    absence: str
    before: Step | None = None


@dataclass(frozen=True)
class Timeline:
    """`heading` says what one place of the curve stands for; `is_compared` where steps have others before them."""

    heading: str
    chart: Chart
    steps: tuple[Step, ...]
    is_compared: bool = False


def timeline_of(words: Words, answer: Stats) -> Timeline | None:
    """The course of what was answered, or None where nothing in it has a number."""
    if answer.spans:
        return _by_hours(words, answer.question.site, answer.spans)
    if answer.total is None or len(answer.days) == 1:
        return None
    every = answer.question.site.seal_every
    if every == "day" and len(answer.days) > LONGEST_BY_DAYS:
        return _by_weeks(words, answer)
    return _timeline(words, answer, words.say(BY[every]), [[place] for place in range(len(answer.days))])


def _by_weeks(words: Words, answer: Stats) -> Timeline:
    days = len(answer.days)
    first = days % WEEK
    starts = [*([0] if first else []), *range(first, days, WEEK)]
    weeks = [range(start, end) for start, end in zip(starts, [*starts[1:], days], strict=True)]
    return _timeline(words, answer, words.say(BY["week"]), weeks)


def _by_hours(words: Words, site: Site, spans: Sequence[Span]) -> Timeline:
    steps: list[Step] = []
    values: list[Value] = []
    for span in spans:
        values += _left_out(words, len(values), span.hour, steps)
        steps.append(Step(_hours(span.hour, span.hour + span.hours), span.measures, ""))
        each = round(span.measures.visitors / span.hours, 1)
        values += _of_step(words, steps[-1], range(span.hour, span.hour + span.hours), each)
    values += _left_out(words, len(values), HOURS, steps)
    heading = of_group(words, site, SPANS)
    return Timeline(heading, chart_of(values, mirrored=words.direction == "rtl", stepped=True), tuple(steps))


def _left_out(words: Words, first: int, end: int, steps: list[Step]) -> list[Value]:
    """The hours that sealing left out, as a step without numbers."""
    if first == end:
        return []
    steps.append(Step(_hours(first, end), None, words.say(LEFT_OUT)))
    return _of_step(words, steps[-1], range(first, end), None)


def _of_step(words: Words, step: Step, hours: range, number: float | None) -> list[Value]:
    return [Value(_clock(hour), _told(words, step), number) for hour in hours]


def _timeline(words: Words, answer: Stats, heading: str, places: Sequence[Sequence[int]]) -> Timeline:
    """Of steps that stand for one or more of the days each."""
    # Of another number of days, as where a site went over to weeks, none stands for another one.
    before = answer.before.days if answer.before and len(answer.before.days) == len(answer.days) else ()
    steps = [
        replace(
            _step(words, answer, [answer.days[place] for place in each]),
            before=_step(words, answer, [before[place] for place in each]) if before else None,
        )
        for each in places
    ]
    labels = [words.day(answer.days[each[0]].day) for each in places]
    values = [
        Value(label, _told(words, step), _visitors(step), _visitors(step.before))
        for label, step in zip(labels, steps, strict=True)
    ]
    return Timeline(heading, chart_of(values, mirrored=words.direction == "rtl"), tuple(steps), bool(before))


def _step(words: Words, answer: Stats, days: Sequence[Day]) -> Step:
    return Step(words.days(days[0].day, days[-1].last), total_of(days), _absence(words, days[-1], answer))


def _visitors(step: Step | None) -> int | None:
    return step.measures.visitors if step and step.measures else None


def _told(words: Words, step: Step) -> str:
    told = f"{step.time}: {words.count(*VISITORS, step.measures.visitors) if step.measures else step.absence}"
    return f"{told} · {_told(words, step.before)}" if step.before else told


def _absence(words: Words, day: Day, answer: Stats) -> str:
    if day.measures is not None:
        return ""
    if day.state == "fewer than k":
        return of_group(words, answer.question.site, FEWER)
    return words.say(OPEN[answer.question.site.seal_every] if day.state == "today" else NOT_SEALED)


def _hours(first: int, end: int) -> str:
    return f"{_clock(first)}–{_clock(end)}"


def _clock(hour: int) -> str:
    return f"{hour % 24:02}:00"
