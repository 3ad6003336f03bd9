"""Who operates the network of a truncated address, where the operator of Footfall gives a file that tells it.

Place: as `country`, after `address.truncate`; a whole address never comes here. The file is MaxMind's format in one of
the layouts in use: GeoLite2 ASN, GeoIP2 ISP, DB-IP's ASN files, those of ip-location-db, and IPinfo's. None ships with
the package, and without one nothing is looked up.
"""

from __future__ import annotations

from pathlib import Path

import maxminddb

from collector.country import open_networks
from collector.page import scrubbed

# What these files call themselves.
_KINDS = ("asn", "isp", "ipinfo")
# Where they keep a name, the best known first.
_NAMES = ("isp", "autonomous_system_organization", "as_name", "name")
# Organisations have shorter names; a row of the spool bears no arbitrary text of somebody else's file.
MAX_OPERATOR_CHARS = 64


class Operators:
    """Operators by address, read from one database file, memory-mapped."""

    def __init__(self, file: Path) -> None:
        """Raises `OSError` or `ValueError` where `file` cannot be opened or holds no operators; both name it."""
        self._reader = open_networks(file, "operator", "network operators", _KINDS)

    def operator_of(self, host: str) -> str:
        """The name of the organisation that operates the network of `host` (`Truncated.host`), or ""."""
        try:
            record = self._reader.get(host)
        except (ValueError, maxminddb.InvalidDatabaseError):  # As in `country`.
            return ""
        if not isinstance(record, dict):
            return ""
        for key in _NAMES:
            name = record.get(key)
            if isinstance(name, str) and name:
                return scrubbed(name, MAX_OPERATOR_CHARS).strip()
        return ""

    def close(self) -> None:
        """Closes the file; no lookup may follow."""
        self._reader.close()
