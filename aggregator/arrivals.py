"""What became of each site's last request, for those who wait for a first event: minutes old, a day at most.

Each collector worker remembers it in memory and leaves it in its spool, at most once a second; the drainer writes it
here. It holds neither an address nor anything that a client sent. Requests to no site of ours have no place here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aggregator.store import Store

_LATEST = """
SELECT site, argMax((toUnixTimestamp64Milli(at) / 1000, toString(outcome), toString(reason), behind_one_network), at)
FROM arrivals
WHERE at > now64(3) - INTERVAL 1 DAY AND (site = {site:String} OR {site:String} = '')
GROUP BY site
ORDER BY site
"""


@dataclass(frozen=True)
class Arrival:
    """A site's last request: when it came (Unix seconds), what became of it, and why it was dropped ("" otherwise).

    `outcome` is "accepted", "dropped" or "invalid". `behind_one_network`: more than 90 % of the site's last 200
    accepted requests came from one loopback or private network, so from a proxy that is not among `trusted_proxies`.
    """

    at: float
    outcome: str
    reason: str
    behind_one_network: bool


def last_arrival(store: Store, site: str) -> Arrival | None:
    """The last request of a site within a day, or None; on the page within 2 s of the request."""
    return _latest(store, site).get(site)


def has_accepted(store: Store, site: str) -> bool:
    """Whether any request of the site was ever accepted, from when on nothing may be told of single ones."""
    found = "SELECT 1 FROM coverage_totals WHERE site = {site:String} AND outcome = 'accepted' AND requests > 0 LIMIT 1"
    return bool(store.query(found, {"site": site}))


def of_one_network(store: Store) -> list[str]:
    """The sites whose requests all seem to come through one proxy that is not trusted."""
    return [site for site, arrival in _latest(store, "").items() if arrival.behind_one_network]


def publish(store: Store, arrivals: Iterable[tuple[int, str, Arrival]]) -> None:
    """Writes what `(spool, site, arrival)` tells; the latest of a spool and site is the one."""
    rows = [
        (site, spool, f"{each.at:.3f}", each.outcome, each.reason, each.behind_one_network)
        for spool, site, each in arrivals
    ]
    if rows:
        names = ("site", "spool", "at", "outcome", "reason", "behind_one_network")
        store.insert_rows("arrivals", names, rows)


def _latest(store: Store, site: str) -> dict[str, Arrival]:
    """By site; all of them for ""."""
    found = store.query(_LATEST, {"site": site})
    return {name: Arrival(at, outcome, reason, bool(behind)) for name, (at, outcome, reason, behind) in found}
