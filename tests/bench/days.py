"""Events of a whole day, as the spool and the store take them: made by the pipeline, then spread over many visitors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

from collector.client import Clients
from collector.clock import SystemClock
from collector.country import Countries
from collector.days import ends_at, starts_at
from collector.event import Event
from collector.hit import hit_of, parsed_json
from collector.keys import Keys
from collector.pipeline import Dropped, Parts, event_of
from collector.places import Places
from collector.settings import Settings, load
from tests.bench.collecting import configuration, folders
from tests.bench.running import free_port
from tests.bench.traffic import SITE, requests

TIMEZONE = "Europe/Berlin"
LONGEST_VISIT_S = 900.0


def settings(stack: ExitStack) -> tuple[Settings, Path]:
    """Settings of an installation of its own, and its data folder."""
    data, keys = folders(stack)
    return load(configuration(data, keys, free_port()), data, {}), data


def models(of: Settings) -> list[Event]:
    """One event for each request of `traffic`, as the collector derives it."""
    clock = SystemClock()
    keys = Keys(of.privacy.key_dir, of.privacy.grace_minutes * 60, clock)
    places = Places(Countries(of.collector.country_file), of.collector.trusted_proxies)
    parts = Parts(places, Clients(), keys)
    derived = [_derived(request, of, parts, clock.wall()) for request in requests()]
    return [event for event in derived if not isinstance(event, Dropped)]


def _derived(request: bytes, of: Settings, parts: Parts, at: float) -> Event | Dropped:
    head, _, body = request.partition(b"\r\n\r\n")
    fields = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
    headers = {name.lower(): value for name, _, value in fields}
    return event_of(hit_of(parsed_json(body), at=at, address="127.0.0.1", headers=headers), of.sites[SITE], parts)


def events(models: list[Event], day: date, number: int, visitors: int) -> Iterator[Event]:
    """`number` events of `visitors` visitors, most of them in networks of their own, in the order of their receipt.

    A visitor comes twice a day, and goes from page to page within a few minutes.
    """
    chance = random.Random(2)
    start, end = starts_at(day, TIMEZONE), ends_at(day, TIMEZONE)
    people = [
        (chance.choice(models), chance.getrandbits(64) | 1, chance.getrandbits(63) % (2**40) | 1)
        for _ in range(visitors)
    ]
    visits = [(person, chance.uniform(start, end - LONGEST_VISIT_S)) for person in people for _ in range(2)]
    moments = [
        (began + chance.uniform(0.0, LONGEST_VISIT_S), person)
        for person, began in (visits[count % len(visits)] for count in range(number))
    ]
    for at, (look, visitor, network) in sorted(moments, key=lambda moment: moment[0]):
        page = chance.choice(models)
        yield replace(
            look,
            day=day.isoformat(),
            at=round(at, 3),
            kind=page.kind,
            name=page.name,
            path=page.path,
            properties=page.properties,
            engaged_ms=page.engaged_ms,
            visitor=visitor,
            network=network,
        )
