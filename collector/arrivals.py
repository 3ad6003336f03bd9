"""What became of each site's last request, and whether all of them seem to come from one proxy: in memory, per worker.

Left in the spool at most once a second, so that a page that waits for a first event can say what hinders it. Neither an
address nor anything that was sent goes there: of the networks only whether one of them stands behind nearly all.
Only accepted requests tell their network, because nothing is looked at without consent.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from collector.group import Arrived, Outcome
from collector.settings import Site

PUBLISH_EVERY_S = 1.0
LAST_REQUESTS = 200
ONE_NETWORK_SHARE = 0.9
# Fewer tell nothing: who sets a site up tries it from the machine itself.
FEWEST_REQUESTS = 10
# Networks as `Truncated` writes them (IPv4 /24, IPv6 /40): loopback, RFC 1918 and unique local addresses (RFC 4193).
LOCAL = ("127.", "10.", "192.168.", *(f"172.{second}." for second in range(16, 32)), "::/", "fc", "fd")


@dataclass(slots=True)
class SiteArrivals:
    """One site: its last request, and the networks of the last 200 accepted ones."""

    is_in_one_network: bool
    last: tuple[float, Outcome, str] | None = None
    networks: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_REQUESTS))

    def is_behind_one_network(self) -> bool:
        """Never where it is meant to be: developers come from the loopback, an intranet from one address."""
        networks = list(self.networks)
        if self.is_in_one_network or len(networks) < FEWEST_REQUESTS:
            return False
        (network, requests), *_ = Counter(networks).most_common(1)
        return network.startswith(LOCAL) and requests > ONE_NETWORK_SHARE * len(networks)


class Arrivals:
    """The sites of one worker. Requests note here; the committer's thread takes what is to be told."""

    def __init__(self) -> None:
        self._sites: dict[str, SiteArrivals] = {}
        self._published: dict[str, tuple[float, Outcome, str]] = {}
        self._next_at = 0.0

    def note(self, site: Site, at: float, outcome: Outcome, reason: str) -> None:
        """A request to `site` at `at` (Unix seconds) had this outcome."""
        (self._sites.get(site.domain) or self._made(site)).last = (at, outcome, reason)

    def note_network(self, site: Site, network: str) -> None:
        """An accepted request to `site` came from `network` (as in `Truncated`)."""
        (self._sites.get(site.domain) or self._made(site)).networks.append(network)

    def due(self, now: float) -> dict[str, Arrived]:
        """What has changed since it was last published; nothing within a second of that."""
        if self._next_at - PUBLISH_EVERY_S <= now < self._next_at:
            return {}
        return {
            domain: Arrived(*site.last, site.is_behind_one_network())
            for domain, site in list(self._sites.items())
            if site.last is not None and site.last != self._published.get(domain)
        }

    @property
    def are_waiting(self) -> bool:
        """Whether something has changed that was not published."""
        return any(site.last != self._published.get(domain) for domain, site in list(self._sites.items()))

    def _made(self, site: Site) -> SiteArrivals:
        is_in_one_network = site.is_development or site.distinct == "visitor"
        return self._sites.setdefault(site.domain, SiteArrivals(is_in_one_network))

    def published(self, arrived: dict[str, Arrived], now: float) -> None:
        """These are in the spool."""
        self._published.update({domain: (each.at, each.outcome, each.reason) for domain, each in arrived.items()})
        self._next_at = now + PUBLISH_EVERY_S
