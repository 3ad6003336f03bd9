"""The country of a truncated address.

Place: after `address.truncate`; a whole address never comes here. Lookups go straight to maxminddb's C reader (about a
microsecond; `places` remembers what is found) in a file of GeoIP2's layout: the one shipped with the package, built by
`data/build_country.py`, or a MaxMind or DB-IP file of the operator's.
"""

from __future__ import annotations

from pathlib import Path

import maxminddb

SHIPPED = Path(__file__).with_name("data") / "country.mmdb"

_COUNTRY_KINDS = ("country", "city", "enterprise", "location")
"""A database type names what its records hold, as geoip2 expects it too; these hold `country.iso_code`."""


class Countries:
    """Countries by address, read from one database file, memory-mapped and so shared by the workers of a machine."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens `path`, or the shipped file.

        Raises `OSError` where the file cannot be opened, `ValueError` where it is no database of countries; both
        messages name the file.
        """
        self._reader = open_networks(path or SHIPPED, "country", "countries", _COUNTRY_KINDS)

    def country_of(self, host: str) -> str:
        """The ISO 3166-1 alpha-2 code for `host` (`Truncated.host`), or "" where none is known."""
        try:
            record = self._reader.get(host)
        except (ValueError, maxminddb.InvalidDatabaseError):
            # No address, an IPv6 one in a file of IPv4 networks, or a file overwritten in place while it is mapped.
            return ""
        if not isinstance(record, dict):
            return ""
        country = record.get("country")
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""

    def built_at(self) -> float:
        """When the file was made, in Unix seconds."""
        return float(self._reader.metadata().build_epoch)

    def close(self) -> None:
        """Closes the file; no lookup may follow."""
        self._reader.close()


def open_networks(file: Path, name: str, content: str, kinds: tuple[str, ...]) -> maxminddb.Reader:
    """A database of networks whose declared type has one of the words `kinds` in it; `name` and `content` say in a
    fault which file it was to be, and of what.

    Raises `OSError` where the file cannot be opened, `ValueError` where it is no such database; both messages name it.
    """
    try:
        reader = maxminddb.open_database(file)
    except maxminddb.InvalidDatabaseError as fault:
        raise ValueError(f"the {name} file {file} is no MaxMind database") from fault
    except OSError as fault:
        raise type(fault)(fault.errno, f"cannot open the {name} file: {fault.strerror}", str(file)) from fault
    kind = reader.metadata().database_type
    if not any(word in kind.lower() for word in kinds):
        reader.close()
        raise ValueError(f"the {name} file {file} holds {kind}, not {content}")
    return reader
