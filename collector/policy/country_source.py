"""Whose data about networks an installation uses: their licences ask to be named where people see what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import maxminddb


@dataclass(frozen=True)
class CountrySource:
    """`kind` is the key of its sentence in every language; `url` leads to the source, "" where it is not known."""

    kind: str
    name: str
    url: str


SHIPPED = CountrySource(
    "shipped", "Number Resource Organization (NRO), iptoasn.com", "https://creativecommons.org/licenses/by/4.0/"
)
# GeoLite End User License Agreement, section 5: the attribution, in these words.
MAXMIND = CountrySource("maxmind", "MaxMind GeoLite", "https://www.maxmind.com")
# https://db-ip.com/db/lite.php asks for a link back, in these words.
DBIP = CountrySource("dbip", "DB-IP", "https://db-ip.com")
OTHER = CountrySource("other", "", "")


def country_source_of(file: Path | None) -> CountrySource:
    """The source of the country file `file` (None: the one in the package), by the type that it declares."""
    return SHIPPED if file is None else source_of(file)


def source_of(file: Path) -> CountrySource:
    """The source of a database of networks, by the type that it declares."""
    with maxminddb.open_database(file) as reader:
        kind = reader.metadata().database_type.lower()
    if kind.startswith("footfall"):  # Built by data/build_country.py of the same sources, only later.
        return SHIPPED
    if kind.startswith(("geolite2", "geoip2")):
        return MAXMIND
    return DBIP if kind.startswith("dbip") else OTHER
