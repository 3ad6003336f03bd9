"""Where hits come from: the truncated address, its country and its operator, the common ones remembered by network.

Place: between the request and all that looks at an address. The whole address lives in local variables here and in
`address`, for as long as one call takes.

Invariant: what is remembered are networks (IPv4 /24, IPv6 /48) and the addresses of trusted proxies, never a client's
whole address.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from collector.address import OCTETS, Networks, Truncated, client_address, is_trusted, truncate
from collector.country import Countries
from collector.network_operator import Operators

# A visit is several requests from one network: these are the visits of some minutes on a busy machine, in 4 MB.
PLACES_KEPT = 16_384
PROXIES_KEPT = 1_024


class Place(NamedTuple):
    """`host` and `network` as in `Truncated`; `country` is ISO 3166-1 alpha-2 or ""; `has_proxies`: a trusted proxy may
    have an address of this network, so which hop is the client is to be found out; `operator` is the network's, or
    ""."""

    host: str
    network: str
    country: str
    has_proxies: bool
    operator: str


class Places:
    """Places by address: 0.6 us for a remembered network, where hops, truncating and looking up take 5 (IPv6: 9)."""

    def __init__(self, countries: Countries, trusted: Networks, operators: Operators | None = None) -> None:
        """`operators` None: who operates a network is not looked up."""
        self._countries, self._trusted, self._operators = countries, trusted, operators
        self._known: dict[str | bytes, Place] = {}
        self._proxies: set[str] = set()

    @property
    def remembered(self) -> int:
        """How many networks are remembered."""
        return len(self._known)

    @property
    def proxies_remembered(self) -> int:
        return len(self._proxies)

    def behind(self, peer: str, forwarded_for: bytes | None) -> Place | None:
        """The place of the client behind `peer`, by the rules of `client_address`; None where that is no IP address."""
        if forwarded_for is None or not self._is_proxy(peer):
            return self.place_of(client_address(peer, None, self._trusted))
        hops = forwarded_for.decode("latin-1")
        place = self._known.get(_key(hops))
        if place is not None and not place.has_proxies:
            return place
        return self.place_of(client_address(peer, hops, self._trusted))

    def place_of(self, address: str) -> Place | None:
        """The place of `address`; None where that is no IP address."""
        key = _key(address)
        place = self._known.get(key)
        if place is not None:
            return place
        truncated = truncate(address)
        if truncated is None:
            return None
        place = Place(
            truncated.host,
            truncated.network,
            self._countries.country_of(truncated.host),
            self._has_proxies(truncated),
            self._operators.operator_of(truncated.host) if self._operators else "",
        )
        # Not for what only holds an IPv4 address, or for no key: it is read anew each time.
        if key == _key(truncated.host) != NO_KEY:
            if len(self._known) >= PLACES_KEPT:
                self._known.clear()
            self._known[key] = place
        return place

    def _has_proxies(self, of: Truncated) -> bool:
        """As `overlaps` of `ipaddress` tells, without making a network object: 7 us less for each new network."""
        length, packed = (24, inet_pton(AF_INET, of.host)) if of.version == 4 else (48, inet_pton(AF_INET6, of.host))
        bits, number = 8 * len(packed), int.from_bytes(packed, "big")
        for other in self._trusted:
            rest = bits - min(length, other.prefixlen)
            if other.max_prefixlen == bits and number >> rest == int(other.network_address) >> rest:
                return True
        return False

    def _is_proxy(self, peer: str) -> bool:
        if peer in self._proxies:
            return True
        if not is_trusted(peer, self._trusted):
            return False
        if len(self._proxies) < PROXIES_KEPT:
            self._proxies.add(peer)
        return True


NO_KEY = ""


def _key(address: str) -> str | bytes:
    """What `address` has in common with its /24 ("192.0.2.") or /48 (6 bytes); `NO_KEY` for all that is not written
    plainly, and for the networks that hold the forms of other addresses (`::/8`)."""
    if ":" not in address:
        end = address.rfind(".") + 1
        return address[:end] if address[end:] in OCTETS else NO_KEY
    try:
        packed = inet_pton(AF_INET6, address)
    except (OSError, ValueError):
        return NO_KEY
    return packed[:6] if packed[0] else NO_KEY
