"""The page before a site's first number: what became of its last request, in words, and what to do next.

It is shown until a day of the site is sealed or its live view has a number. From the first accepted request on it says
always the same, whatever comes: what changes with a request would tell when a single visitor came.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from aggregator.arrivals import Arrival, has_accepted, last_arrival
from aggregator.store import Store
from collector.settings import Settings, Site
from collector.zones import Zones
from dashboards.reasons import reason_of
from dashboards.site_page import is_behind_proxy
from dashboards.smallest_group import SHOWS_FROM, of_group
from dashboards.snippet import collector_url, curl_line, script_tag
from dashboards.words import Words, marked


@dataclass(frozen=True)
class Waiting:
    """`outcome` is "" before any request, "accepted" once one was, else as of the last one, with `sentences` about it;
    `mark` changes with what is said."""

    site: Site
    outcome: str
    mark: str
    heading: str
    sentences: tuple[str, ...]
    is_behind_proxy: bool
    collector: str
    script: str
    curl: str


def is_sealed(store: Store, site: Site, zones: Zones) -> bool:
    """Whether any day of `site` is, with numbers or below k. Raises what `Store` raises."""
    statement = (files("dashboards") / "statements" / "is_sealed.sql").read_text()
    timezones = [term.timezone for term in zones.terms(site)]
    return bool(store.query(statement, {"site": site.domain, "timezones": timezones}))


def waiting_page(words: Words, settings: Settings, site: Site, store: Store) -> Waiting:
    """What to say now. Raises what `Store` raises."""
    arrival = last_arrival(store, site.domain)
    outcome = _outcome_of(store, site, arrival)
    heading, sentences = _told(words, site, outcome, arrival)
    return Waiting(
        site,
        outcome,
        _mark_of(outcome, arrival),
        heading,
        sentences,
        is_behind_proxy(site, arrival),
        collector_url(settings),
        script_tag(settings, site),
        curl_line(settings, site),
    )


def mark_of(store: Store, site: Site) -> str:
    """What a page that waits compares with, to see whether there is more to say. Raises what `Store` raises."""
    arrival = last_arrival(store, site.domain)
    return _mark_of(_outcome_of(store, site, arrival), arrival)


def _outcome_of(store: Store, site: Site, arrival: Arrival | None) -> str:
    """What became of the last request, "" before any; "accepted" once one was."""
    if has_accepted(store, site.domain):
        return "accepted"
    return arrival.outcome if arrival else ""


def _mark_of(outcome: str, arrival: Arrival | None) -> str:
    if outcome == "accepted" or arrival is None:
        return outcome
    return f"{arrival.outcome} {arrival.reason} {arrival.at // 60:.0f}"


def _told(words: Words, site: Site, outcome: str, arrival: Arrival | None) -> tuple[str, tuple[str, ...]]:
    if outcome == "accepted":
        # Not when: with few visits that would tell of a single one.
        return words.say(marked("The first events have arrived")), (of_group(words, site, SHOWS_FROM),)
    if arrival is None:
        return words.say(marked("Waiting for the first event")), ()
    reason = reason_of(arrival.outcome, arrival.reason)
    at = words.clock(arrival.at, site.timezone)
    told = [words.say(marked("The last request came at %(time)s and was not counted."), time=at)]
    told += [words.say(text) for text in (reason.sentence, reason.advice) if text]
    return words.say(marked("A request came, and was not counted")), tuple(told)
