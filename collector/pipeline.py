"""The way from a hit to an event: a table of named steps, cheapest refusal first.

`drop_*` may refuse: it returns a reason, which is counted, and nothing of the hit is kept. `put_*`
adds fields to the event. The order is a promise: consent is asked before anything else looks at the
hit, and the address is truncated before anything derives from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from collector.arrivals import Arrivals
from collector.client import Clients, hints_of, language_of, screen_of
from collector.consent import refusal_of as consent_refusal_of
from collector.event import Event, Kind
from collector.hit import MAX_NAME_CHARS, MAX_PROPERTY_VALUE_CHARS, BadRequest, Hit
from collector.keys import Keys
from collector.page import Page, scrubbed
from collector.pages import Pages
from collector.places import Place, Places
from collector.refuse import refusal_of as client_refusal_of
from collector.settings import Site, is_development
from collector.source import Origin, origin_of
from collector.zones import Zones

KINDS: dict[str, Kind] = {"pageview": "view", "engagement": "leave"}
# All addresses that a server asserts are one network, unless its token may vouch for them.
ASSERTED_NETWORK = "asserted"
# The language wanted most stands first; what is remembered of the header is bounded by this.
MAX_LANGUAGE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps read from: made once per worker."""

    places: Places
    clients: Clients
    keys: Keys
    pages: Pages = field(default_factory=Pages)
    arrivals: Arrivals = field(default_factory=Arrivals)
    zones: Zones = field(default_factory=Zones)


@dataclass(slots=True)
class Draft:
    """A hit on its way: what one step leaves for the next, and the event that grows. It never leaves this module."""

    hit: Hit
    site: Site
    day: date
    page: Page
    event: Event
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hit refused on purpose."""

    reason: str


def drop_without_consent(hit: Hit, site: Site) -> str | None:
    return consent_refusal_of(site, hit.headers, hit.consent, hit.policy_version)


def drop_unwanted_clients(hit: Hit, site: Site) -> str | None:
    """Prefetches, bots and absurd User-Agents. A server-side event may come without a User-Agent."""
    if hit.asserted and hit.user_agent is None:
        return None
    return client_refusal_of(hit.headers, hit.user_agent or "")


def put_place(draft: Draft, parts: Parts) -> None:
    """Truncates the address, before anything else looks at it, and looks up what is left: its country and operator."""
    hit = draft.hit
    if hit.address is None:
        return
    if hit.asserted:
        place = parts.places.place_of(hit.address)
    else:
        place = parts.places.behind(hit.address, hit.headers.get(b"x-forwarded-for"))
        if place is not None:
            parts.arrivals.note_network(draft.site, place.network)
    if place is not None:
        draft.place, draft.event.country = place, place.country
        if place.operator:
            draft.event.network_operator = place.operator


def put_client(draft: Draft, parts: Parts) -> None:
    hit, event = draft.hit, draft.event
    if hit.user_agent is None:
        return
    client = parts.clients.client_of(hit.user_agent, hints_of(hit.headers))
    event.browser, event.browser_version = client.browser, client.browser_version
    event.os, event.os_version, event.device = client.os, client.os_version, client.device


def put_reader(draft: Draft, parts: Parts) -> None:
    """The language that the client asks for, and the class of its screen."""
    draft.event.language = _language(draft.hit.headers.get(b"accept-language", b"")[:MAX_LANGUAGE_BYTES])
    draft.event.screen = screen_of(draft.hit.width)


@lru_cache(maxsize=1_024)
def _language(accept_language: bytes) -> str:
    return language_of(accept_language.decode("latin-1"))


def put_page(draft: Draft, parts: Parts) -> None:
    draft.event.hostname, draft.event.path = draft.page.hostname, draft.page.path


def put_origin(draft: Draft, parts: Parts) -> None:
    referrer, query, hostname = draft.hit.referrer, draft.page.query, draft.page.hostname
    host = referrer[: referrer.find("/", len("https://")) + 1]
    if query or (referrer and not _BARE(host)):
        origin = origin_of(referrer, query, (draft.site.domain, hostname))
    else:
        origin = _referred(host, draft.site.domain, hostname)
    draft.event.source, draft.event.channel, draft.event.campaign = origin.source, origin.channel, origin.campaign


# The host of a referrer, which is all that is read of it: it may be stored, so remembered.
_BARE = re.compile(r"https?://[a-z0-9.-]{1,253}/").fullmatch


@lru_cache(maxsize=1_024)
def _referred(referrer: str, domain: str, hostname: str) -> Origin:
    return origin_of(referrer, {}, (domain, hostname))


def put_properties(draft: Draft, parts: Parts) -> None:
    """What the site said of a view or an event, by the keys that it declared; the rest is forgotten here. Of breakage
    the classes alone, which are words of ours."""
    if draft.hit.breakage is not None:
        draft.event.properties = dict(draft.hit.breakage.ratings)
    elif draft.hit.properties and draft.event.kind != "leave":
        given = draft.hit.properties
        draft.event.properties = {
            key: scrubbed(given[key], MAX_PROPERTY_VALUE_CHARS)
            for key in draft.site.declared.properties
            if key in given
        }


def put_variant(draft: Draft, parts: Parts) -> None:
    """Which variants of the site's experiments the page showed; a name that the site did not declare is forgotten."""
    hit, declared = draft.hit, draft.site.declared
    if not declared.experiments or draft.event.kind not in ("view", "event"):
        return
    told = [each.strip() for each in hit.variant.split(",")]
    told += [f"{each.name}/{hit.properties.get(each.name)}" for each in declared.experiments]
    known = ",".join(dict.fromkeys(each for each in told if each in declared.variants))
    if known:
        draft.event.variant = known


def put_loyalty(draft: Draft, parts: Parts) -> None:
    """What the device says of its earlier visits, where the site wants to hear it; else it is forgotten here."""
    if draft.hit.loyalty and draft.site.loyalty and draft.event.kind == "view":
        draft.event.loyalty = draft.hit.loyalty


def put_tokens(draft: Draft, parts: Parts) -> None:
    """Visitor and network, under the day's key; without an address or a User-Agent there is no visitor.

    Where a site counts visitors instead of networks, each stands for a network of their own. What a server asserts
    without leave stays one.
    """
    hit, event, place = draft.hit, draft.event, draft.place
    if place is None or hit.user_agent is None:
        return
    network = place.network if hit.trusted_address else ASSERTED_NETWORK
    tokens = parts.keys.tokens(draft.day, event.timezone, event.site, place.host, network, hit.user_agent)
    event.generation, event.visitor, event.network = tokens.generation, tokens.visitor, tokens.network
    if draft.site.distinct == "visitor" and hit.trusted_address:
        event.network = tokens.visitor


DROPS: tuple[Callable[[Hit, Site], str | None], ...] = (drop_without_consent, drop_unwanted_clients)
PUTS: tuple[Callable[[Draft, Parts], None], ...] = (
    put_place,
    put_client,
    put_reader,
    put_page,
    put_origin,
    put_properties,
    put_variant,
    put_loyalty,
    put_tokens,
)


def event_of(hit: Hit, site: Site, parts: Parts) -> Event | Dropped:
    """The event that may be stored of `hit`, or why there is none; raises `BadRequest` for a URL that is none."""
    for drop in DROPS:
        reason = drop(hit, site)
        if reason is not None:
            return Dropped(reason)
    try:
        page = parts.pages.page_of(hit.url, site.allowed_parameters)
    except ValueError as error:
        raise BadRequest("u", str(error)) from None
    if site.is_development and not is_development(page.hostname):
        return Dropped("foreign_page")
    day, iso, timezone, _ = parts.zones.day(site, hit.at)
    kind, name = _kind_and_name(hit)
    event = Event(iso, timezone, site.domain, hit.at, kind, name, hit.engaged_ms, hit.scroll)
    draft = Draft(hit, site, day, page, event)
    for put in PUTS:
        put(draft, parts)
    return event


def _kind_and_name(hit: Hit) -> tuple[Kind, str]:
    if hit.breakage is not None:
        return "error", hit.breakage.name
    kind = KINDS.get(hit.name, "event")
    return kind, scrubbed(hit.name, MAX_NAME_CHARS) if kind == "event" else ""
