"""POST /api/withdraw: deletes the visitor's open rows. Always allowed: no consent, GPC or opt-out is looked at.

The visitor is known by nothing but what an event makes of a request: the token of (site, truncated address, User-Agent)
under each key that lives on this machine for a time zone of the site. Days whose key is gone are over: their rows are
sealed, or will be within the grace, and nothing can be told apart in them any more. No key is made for it.

The 202 comes after the tokens are on disk and synced, as with an event; the drainer carries the withdrawal out and
deletes them. Nothing else is kept of it: no counter, no log line.

What was received up to the withdrawal goes, and both times are the wall clock's, which somebody may set back. The
endpoint then goes on as if nobody had (`OnwardClock`), so that a withdrawal is never told as earlier than the events
before it, nor than an earlier withdrawal. Who consents again meanwhile loses what comes until the withdrawal is carried
out, which takes seconds. Two things are left: a worker that was started after the step knows nothing of it; and what
was committed shortly before the step is carried out when the clock has come to that time again.
"""

from __future__ import annotations

from collections.abc import Mapping

from collector.body import Receive, Refused
from collector.clock import Clock
from collector.endpoints import (
    PREFLIGHT,
    UNKNOWN_SITE,
    Answer,
    Collecting,
    Scope,
    Send,
    cors,
    fault_answer,
    headers_of,
    peer_of,
    respond,
    tell,
)
from collector.group import Withdrawn
from collector.hit import BadRequest, event_fields, site_field
from collector.pipeline import Parts
from collector.settings import Site
from collector.spool_fault import SpoolError

WITHDRAWN = Answer(202, b"withdrawn")


class OnwardClock:
    """A clock whose wall time nobody sets back; one that was set forward it follows. For one worker's life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.wall() - clock.boot()

    def wall(self) -> float:
        """Unix seconds, by the largest difference that was seen between the two clocks."""
        boot = self._clock.boot()
        self._started_at = max(self._started_at, self._clock.wall() - boot)
        return self._started_at + boot

    def boot(self) -> float:
        return self._clock.boot()


class WithdrawalEndpoint:
    """Takes `{"d": site}` as JSON, whatever Content-Type it says."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting
        self._clock = OnwardClock(collecting.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        collecting, headers = self._collecting, headers_of(scope)
        if scope["method"] != "POST":
            is_preflight = scope["method"] == "OPTIONS"
            await respond(send, 204 if is_preflight else 405, [*cors(headers), *PREFLIGHT], b"")
            return
        try:
            body = await collecting.bodies.read(receive, headers, collecting.settings.collector.max_body_bytes)
            answer = await self._withdraw(site_field(event_fields(body)), peer_of(scope), headers)
        except (Refused, BadRequest, SpoolError) as fault:
            answer = await fault_answer(collecting, fault)
        await tell(send, answer, cors(headers))

    async def _withdraw(self, domain: str, peer: str | None, headers: Mapping[bytes, bytes]) -> Answer:
        collecting = self._collecting
        site = collecting.settings.sites.get(domain)
        if site is None:
            collecting.count("", "UTC", collecting.clock.wall(), "invalid", "unknown_site")
            await collecting.committer.committed()
            return UNKNOWN_SITE
        withdrawals = withdrawals_of(site, peer, headers, collecting.parts, self._clock)
        if withdrawals:
            collecting.committer.group_for_withdrawals().withdrawals.update(withdrawals)
            await collecting.committer.committed()
        return WITHDRAWN


def withdrawals_of(
    site: Site, peer: str | None, headers: Mapping[bytes, bytes], parts: Parts, clock: Clock
) -> dict[Withdrawn, float]:
    """What the visitor may have open on this machine, each with the time (Unix seconds) of the request."""
    place = None if peer is None else parts.places.behind(peer, headers.get(b"x-forwarded-for"))
    agent = headers.get(b"user-agent")
    if place is None or not agent:
        return {}
    at = round(clock.wall(), 3)  # As an event's time is stored: what came in the same millisecond came before.
    zones = {term.timezone for term in parts.zones.terms(site)}
    living = parts.keys.living(zones, site.domain, place.host, place.network, agent.decode("latin-1"))
    return {
        Withdrawn(day.isoformat(), timezone, site.domain, tokens.generation, tokens.visitor): at
        for day, timezone, tokens in living
    }
