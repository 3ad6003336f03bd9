"""Where a visit came from: its source, the channel that belongs to, and the campaign.

Place: derived from the referrer and from those parameters of the page's URL that name a source (`page.Page.query`). Of
a referrer only the host is ever read; click ids (gclid, fbclid, ...) are not among the parameters, and never kept.
A source that the site itself names wins over the referrer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collector.page import hostname_in, scrubbed
from collector.source_names import ALIASES, ALONE, CHANNELS, HOSTS, NATIONAL, Channel

MAX_SOURCE_CHARS = 64
MAX_CAMPAIGN_CHARS = 128


class Origin(NamedTuple):
    """`source` is a known service's name, a host or what the site called it, "" for direct visits and the site's own
    links; `campaign` as the site called it, or ""."""

    source: str
    channel: Channel
    campaign: str


DIRECT = Origin("", "direct", "")


def origin_of(referrer: str | None, query: Mapping[str, str], own_hosts: Iterable[str]) -> Origin:
    """The origin of a hit with `referrer` (a URL, or "") on a page whose URL had the parameters `query`.

    `own_hosts` are the site's: a referrer at one of these, or below it, is no origin. Never raises.
    """
    if not query:
        return _referred(referrer, own_hosts) if referrer else DIRECT
    campaign = scrubbed(query.get("utm_campaign", ""), MAX_CAMPAIGN_CHARS).strip()
    named = query.get("utm_source") or query.get("source") or query.get("ref") or ""
    medium = query.get("utm_medium", "").lower()
    source = scrubbed(named.strip().lower().removeprefix("www."), MAX_SOURCE_CHARS)
    if not source:
        origin = _referred(referrer, own_hosts) if referrer else DIRECT
        return Origin(origin.source, _channel(medium, "") or ("campaign" if campaign else origin.channel), campaign)
    known = ALIASES.get(source) or _known(source)
    fallback: Channel = "campaign" if "utm_source" in query else "referral"
    return Origin(known or source, _channel(medium, known) or CHANNELS.get(known, fallback), campaign)


_REFERRER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://([^/?#\\]{1,300})").match


def _referred(referrer: str, own_hosts: Iterable[str]) -> Origin:
    found = _REFERRER(referrer)
    host = hostname_in(found[1]).removeprefix("www.") if found else ""
    if not host or _is_own(host, own_hosts):
        return DIRECT
    known = _known(host)
    channel = CHANNELS.get(known)
    if channel != "email" and "mail" in host and (mail := _WEB_MAIL(host)):
        return Origin(scrubbed(mail[1], MAX_SOURCE_CHARS), "email", "")
    if channel:
        return Origin(known, channel, "")
    return Origin(scrubbed(host.strip("[]"), MAX_SOURCE_CHARS), "referral", "")


def _is_own(host: str, own_hosts: Iterable[str]) -> bool:
    for own in own_hosts:
        bare = own.removeprefix("www.")
        if host == bare or host.endswith("." + bare):
            return True
    return False


# "google.de" is "google.{}", and so is "google.co.uk".
_OF_COUNTRY = re.compile(r"(.+?)\.(?:com?\.[a-z]{2}|[a-z]{2,3})").fullmatch


def _known(host: str) -> str:
    """The name of the service at `host` or above it, or "": l.facebook.com is Facebook."""
    if name := ALONE.get(host):
        return name
    rest = host
    while "." in rest:
        if name := HOSTS.get(rest):
            return name
        rest = rest.partition(".")[2]
    # A set first: the pattern costs every unknown host 0.7 us.
    national = _OF_COUNTRY(host) if host.partition(".")[0] in NATIONAL else None
    return ALONE.get(f"{national[1]}.{{}}", "") if national else ""


# Web mail of anybody's: what it shows beside its host is who reads it.
_WEB_MAIL = re.compile(r"(?:[a-z0-9.-]*\.)?((?:web|e-?)?mail\d*[a-z]?(?:\.[a-z0-9-]+){2,3})").fullmatch


_PAID = re.compile(r"cpc|ppc|cpm|cpv|paid|display|banner|affiliate|retarget|ads?").search


def _channel(medium: str, known: str) -> Channel | None:
    """The channel that `utm_medium` names, by the field's usual words, or None; paid clicks are campaigns."""
    if not medium:
        return None
    if _PAID(medium):
        return "campaign"
    if "mail" in medium or medium == "newsletter":
        return "email"
    if medium in ("social", "social-media", "social_media", "socialmedia", "social-network", "sm"):
        return "social"
    if medium == "referral":
        return CHANNELS.get(known, "referral")
    return CHANNELS.get(known, "search") if medium == "organic" else None
