"""What the public side says of itself: development sites, and consent that is taken for granted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from aggregator.audit.check import AT_LEAST_K, NO_CONSENT_NO_TRACE, Check, Machine, Verdict, found, ok, remark

# `st` of a socket that listens (include/net/tcp_states.h).
LISTENS = "0A"


def development_sites(machine: Machine) -> Verdict:
    """Development sites show single people, so the collector must not listen where others can reach it."""
    names = [site.domain for site in machine.settings.sites.values() if site.is_development]
    if not names:
        return ok("none")
    listen = machine.settings.collector.listen
    seen = sorted({str(address) for address, port in listening() if port == listen.port and not address.is_loopback})
    configured = [] if _is_loopback(listen.host) else [listen.host]
    if seen or configured:
        evidence = f"{', '.join(names)} beside a collector that listens on {', '.join(seen or configured)}"
        return found(evidence, "remove these sites: anybody can send to them, and k = 1 shows single people")
    return ok(f"{', '.join(names)}, and the collector listens on loopback alone")


def assumed_consent(machine: Machine) -> Verdict:
    """Sites whose configuration says that the page loads Footfall after consent."""
    names = [site.domain for site in machine.settings.sites.values() if site.consent.assumed]
    if not names:
        return ok("no site takes consent for granted")
    return remark(f"taken for granted on {', '.join(names)}", "see that these pages load Footfall after consent alone")


def listening() -> Iterator[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """Address and port of every listening TCP socket that the kernel shows us (proc(5), net/tcp)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            words = line.split()
            host, _, port = words[1].partition(":")
            if words[3] == LISTENS:
                yield _address(host), int(port, 16)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Written as words of 32 bits in the machine's own order, which is little-endian where chDB runs."""
    packed = bytes.fromhex(text)
    return ipaddress.ip_address(b"".join(packed[place : place + 4][::-1] for place in range(0, len(packed), 4)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


CHECKS = (
    Check("development sites", AT_LEAST_K, development_sites),
    Check("assumed consent", NO_CONSENT_NO_TRACE, assumed_consent),
)
