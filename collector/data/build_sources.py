r"""Builds `sources.tsv`, the search engines and social networks by their hosts, from Matomo's list.

    apt-get download matomo-searchengine-and-social-list   # Debian 13 and later
    dpkg-deb -x matomo-searchengine-and-social-list_3.14.0-2_all.deb list
    python collector/data/build_sources.py list/usr/share/php/matomo/searchengine-and-social-list \
        collector/data/sources.tsv

Input: SearchEngines.yml and Socials.yml of release 3.14.0, by Matomo, dedicated to the public domain (CC0 1.0). The
other well-known list, Snowplow's referers.yml, declares that it is based on an older state of this one under the GNU
GPL, which Footfall's licence cannot take in; so neither it nor what others made of it is used here.

Output: one service a line, `channel<TAB>name<TAB>hosts`, in order. A host stands for itself and what is below it;
`=host` for itself alone; `{}` at the end for any country (google.{}: google.de, google.co.uk), itself alone.

Changed: hosts with a path are left out, as of a referrer only the host is read; `www.` is left out, and such a host
stands for itself alone, because what lies beside a www (a portal's mail) is no search; services of an engine (images,
videos) are the engine, other names are those in common use today (`NAMES`), and what is in `LEFT_OUT` is not taken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FILES = (("search", "SearchEngines.yml"), ("social", "Socials.yml"))

NAMES = {
    "360search": "360 Search",
    "Brave": "Brave Search",
    "Cốc Cốc": "Coc Coc Search",
    "Google%2B": "Google+",
    "Haboo": "Habbo",
    "Haosou": "360 Search",
    "Mailru": "Mail.ru Search",
    "Metager": "MetaGer",
    "Metager2": "MetaGer",
    "Odnoklassniki": "OK",
    "Ozone": "Qzone",
    "StackOverflow": "Stack Overflow",
    "StartPage": "Startpage",
    "Twitter": "X",
    "Vkontakte": "VK",
    "Web.de": "WEB.DE Search",
    "XING": "Xing",
    "Yahoo! Japan": "Yahoo",
    "Yahoo!": "Yahoo",
    "gree": "GREE",
    "reddit": "Reddit",
    "sm.cn": "Shenma",
    "tumblr": "Tumblr",
}
LEFT_OUT = frozenset(
    (
        # News, shops and start pages with a search box: of these only the path and the query tell a search.
        *("www.cnn.com", "www.fastweb.it", "www.kadaza.com", "www.optuszoo.com.au", "cgi2.nintendo.co.jp"),
        *("home.kingsoft.jp", "home.speedbit.com", "jp.hao123.com", "msnbc.msn.com", "start.lenovo.com", "wow.com"),
        *("dizionario.it.msn.com", "enciclopedia.it.msn.com", "netlavis.azione.jp", "it.luna.tv", "{}.wow.com"),
        # Where people sign in to Microsoft (Windows Live Spaces closed in 2011), a network, and no host.
        *("login.live.com", "www.facebook.com", "linkedin.android"),
    )
)

_SERVICE = re.compile(r" (?:Images|Videos|Videa|Video|Directory|\(Directory\))$")
_NAME = re.compile(r"(?P<quote>[\"']?)(?P<name>\S.*)(?P=quote):").fullmatch
_KEY = re.compile(r"\s+(?:- )?([a-z_]+):(?: .*)?").fullmatch
_ITEM = re.compile(r"\s+- *(?P<quote>[\"']?)(?P<text>.+)(?P=quote)").fullmatch
_HOST = re.compile(r"(?:\{\}\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?(?:\.\{\}(?:\.[a-z.]+)?)?").fullmatch


def read_services(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and host of each entry of a file of either kind; raises `ValueError`, with its number, at any other line.

    These files are a small part of YAML: names, keys of one word, lists of texts.
    """
    name, key = "", "urls"
    for number, line in enumerate(map(str.rstrip, lines), 1):
        if not line or line.strip() == "-":
            continue
        if found := _NAME(line):
            name, key = found["name"], "urls"
        elif found := _KEY(line):
            key = found[1]
        elif (found := _ITEM(line)) and name:
            if key == "urls":
                yield name, found["text"]
        else:
            raise ValueError(f"line {number}: neither a name nor a key nor an item")


def entry_of(host: str) -> str | None:
    """`host` as it is written in the output; None where the host alone does not tell the service."""
    if "/" in host or host in LEFT_OUT:
        return None
    if not _HOST(host):
        raise ValueError(f"{host!r} is no host name")
    bare = host.removeprefix("www.")
    if bare.startswith("{}."):
        return bare.removeprefix("{}.")
    if ".{}." in bare:  # images.{}.ask.com: what matters of it is named without the country, too.
        return bare.partition(".{}.")[2]
    return bare if bare == host or bare.endswith(".{}") else f"={bare}"


def name_of(name: str) -> str:
    """The name of the service, in common use today."""
    plain = _SERVICE.sub("", name)
    return NAMES.get(plain, plain)


def without_covered(entries: Iterable[str]) -> list[str]:
    """`entries` without those that another one covers: a country's host, and what is below a host; sorted."""
    countries = {entry for entry in entries if entry.endswith(".{}")}
    others = {entry for entry in entries if f"{entry.rpartition('.')[0]}.{{}}" not in countries}
    return sorted(countries | {entry for entry in others if not _is_below(entry, others)})


def _is_below(entry: str, hosts: set[str]) -> bool:
    host = entry.removeprefix("=")
    if entry != host and host in hosts:
        return True
    while "." in (host := host.partition(".")[2]):
        if host in hosts:
            return True
    return False


def services_of(package: Path) -> dict[tuple[str, str], list[str]]:
    """The entries of each (channel, name), sorted; a name of both kinds is a social network's."""
    found: dict[str, tuple[str, set[str]]] = {}
    for channel, file in FILES:
        with (package / file).open(encoding="utf-8") as lines:
            for name, host in read_services(lines):
                if entry := entry_of(host):
                    known = found.get(name_of(name), (channel, set()))[1]
                    found[name_of(name)] = (channel, known | {entry})
    return {(channel, name): without_covered(entries) for name, (channel, entries) in sorted(found.items())}


def main(arguments: list[str]) -> int:
    """`build_sources.py PACKAGE OUTPUT`."""
    if len(arguments) != 2:
        sys.stderr.write("usage: build_sources.py PACKAGE_FOLDER OUTPUT_FILE\n")
        return 2
    package, output = map(Path, arguments)
    services = services_of(package)
    lines = [f"{channel}\t{name}\t{' '.join(entries)}\n" for (channel, name), entries in sorted(services.items())]
    output.write_text("".join(lines), encoding="utf-8")
    hosts = sum(map(len, services.values()))
    sys.stdout.write(f"{output}: {len(lines)} services, {hosts} hosts, {output.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
