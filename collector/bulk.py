"""POST /api/events: many events from a site's own server, in one transaction, once per Idempotency-Key.

The answer counts by outcome. Faulty items are told by index and do not stop the others. A client
that lost its answer sends the same Idempotency-Key again, to whichever worker of the machine, and
gets the first answer; the key is in the spool with the events, so both are there or neither.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from collector.answers import ANSWER_LIFE_S, Answers
from collector.body import Receive, Refused
from collector.days import day_of
from collector.endpoints import JSON, UNAVAILABLE, Answer, Collecting, Scope, Send, fault_answer, headers_of, respond
from collector.group import Counted, Group
from collector.hit import BadRequest, bulk_fields, server_hit_of
from collector.pipeline import Dropped, event_of
from collector.settings import IngestToken, Settings, Site
from collector.spool_fault import SpoolError

# A bulk body may be so many times larger than one event's: 4 MiB with the default of 64 KiB.
BULK_FACTOR = 64
# Requests that one worker reads at once, each with some 30 MB for a body of 4 MiB while it is parsed. Whoever comes
# beyond these is not read meanwhile: it waits at its own end of the connection.
AT_ONCE = 8
MAX_KEY_BYTES = 255
MAX_TOLD_FAULTS = 100
# Derive so many events between two looks at other requests: about 5 ms.
SLICE = 100
LOCKS = 64
LOCK_POLL_S = 0.01


@dataclass
class Tally:
    """What became of the items of one request."""

    group: Group = field(default_factory=Group)
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    invalid: list[tuple[int, str]] = field(default_factory=list)

    def answer(self) -> bytes:
        told = [{"index": index, "error": error} for index, error in self.invalid[:MAX_TOLD_FAULTS]]
        counts = {"accepted": self.accepted, "dropped": dict(self.dropped), "invalid": len(self.invalid)}
        return orjson.dumps({**counts, "faults": told})


class BulkEndpoint:
    """Takes a JSON array or NDJSON with `Authorization: Bearer <ingest token>`."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting
        self._tokens = tokens_of(collecting.settings)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._answers = Answers(collecting.settings.collector.spool_dir)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        try:
            body = await self._taken(headers, receive)
        except (Refused, BadRequest, SpoolError) as fault:
            await _tell_fault(send, await fault_answer(self._collecting, fault))
            return
        await respond(send, 202, [(b"footfall", b"accepted"), JSON], body)

    async def _taken(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        site, token = self._sender(headers)
        async with self._turns:
            return await self._answered(headers, receive, site, token)

    async def _answered(
        self, headers: Mapping[bytes, bytes], receive: Receive, site: Site, token: IngestToken
    ) -> bytes:
        collecting = self._collecting
        body = await collecting.bodies.read(
            receive, headers, BULK_FACTOR * collecting.settings.collector.max_body_bytes
        )
        collecting.committer.admit()
        key = _idempotency_key(headers, token)
        if key is None:
            return await self._committed(site, token, body, None)
        folder = collecting.settings.collector.spool_dir
        async with _one_at_a_time(folder, key):
            known = await asyncio.to_thread(self._answers.to, key, collecting.committer.ages.earliest(ANSWER_LIFE_S))
            return known if known is not None else await self._committed(site, token, body, key)

    def _sender(self, headers: Mapping[bytes, bytes]) -> tuple[Site, IngestToken]:
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        # The digest is looked up, not the token: how long that takes tells nothing about a token.
        found = self._tokens.get(hashlib.sha256(secret.strip()).hexdigest())
        if scheme.lower() != b"bearer" or found is None:
            raise Refused(401, "Authorization: must be Bearer and an ingest token of the site")
        return found

    async def _committed(self, site: Site, token: IngestToken, body: bytes, key: bytes | None) -> bytes:
        tally = Tally()
        now = self._collecting.clock.wall()
        for index, fields in enumerate(_items(body)):
            try:
                self._take(tally, fields, site, token, now)
            except BadRequest as fault:
                tally.invalid.append((index, str(fault)))
                tally.group.count(Counted(day_of(now, "UTC").isoformat(), "", "invalid", fault.field[:24]))
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        answer = tally.answer()
        if key is not None:
            tally.group.answers[key] = answer
        await self._collecting.committer.submit(tally.group)
        return answer

    def _take(self, tally: Tally, fields: object, site: Site, token: IngestToken, now: float) -> None:
        if isinstance(fields, dict) and fields.get("d") is None and fields.get("domain") is None:
            fields["d"] = site.domain
        hit = server_hit_of(fields, now=now, trusted_address=token.trusted_addresses)
        if hit.site != site.domain:
            raise BadRequest("d", "must be the site of the token")
        event = event_of(hit, site, self._collecting.parts)
        day = self._collecting.parts.zones.day(site, hit.at)
        arrivals = self._collecting.parts.arrivals
        if isinstance(event, Dropped):
            arrivals.note(site, round(now, 3), "dropped", event.reason)
            tally.dropped[event.reason] += 1
            tally.group.count(Counted(day.date_iso, site.domain, "dropped", event.reason))
            return
        arrivals.note(site, round(now, 3), "accepted", "")
        tally.accepted += 1
        tally.group.add(day.day, day.timezone, event.line())
        tally.group.count(Counted(day.date_iso, site.domain, "accepted", ""))


def tokens_of(settings: Settings) -> dict[str, tuple[Site, IngestToken]]:
    """Every ingest token by the hex SHA-256 that the configuration keeps of it."""
    return {token.sha256: (site, token) for site in settings.sites.values() for token in site.ingest_tokens}


def _items(body: bytes) -> list[object]:
    """The items of a body; one that cannot be read is told by its line, and counted as `body`: counters are few."""
    try:
        return bulk_fields(body)
    except BadRequest as fault:
        raise Refused(400, str(fault)) from None


def _idempotency_key(headers: Mapping[bytes, bytes], token: IngestToken) -> bytes | None:
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise BadRequest("Idempotency-Key", f"must have 1 to {MAX_KEY_BYTES} bytes")
    return hashlib.sha256(token.sha256.encode() + key).digest()


@asynccontextmanager
async def _one_at_a_time(folder: Path, key: bytes) -> AsyncIterator[None]:
    """Two requests with one key, on any workers of this machine, go one after the other. Raises `SpoolError`."""
    file = folder / f"idempotency-{key[0] % LOCKS}.lock"
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"cannot make or open {file.name}: {error.strerror}") from error
    try:
        # Asked for again and again, not waited for: threads that wait here could be all that the holder needs.
        while not _is_locked(descriptor):  # noqa: ASYNC110  another process holds it: no event of ours tells
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _tell_fault(send: Send, answer: Answer) -> None:
    headers = [(b"footfall", answer.footfall), JSON]
    if answer.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if answer.status == UNAVAILABLE.status:
        headers.append((b"retry-after", b"5"))
    await respond(send, answer.status, headers, orjson.dumps({"error": answer.sentence}))
