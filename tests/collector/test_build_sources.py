"""The list of search engines and social networks is what the build makes of Matomo's two files."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.data.build_sources import main, read_services
from collector.source_names import LIST

ENGINES = """\
Google:
  -
    urls:
      - google.com
      - 'google.{}'
      - images.google.com
      - www.cnn.com
      - google.com/cse
    params:
      - q
    backlink: 'search?q={k}'
Google Images:
  - urls:
      - 'images.google.{}'
      - google.{}/imgres
    params: []
Bing:
  -
    urls:
      - bing.com
      - '{}.bing.com'
  -
    urls:
      - bing.com/images/search
Portal:
  -
    urls:
      - www.portal.example
Yahoo!:
  -
    urls:
      - search.yahoo.com
      - malaysia.search.yahoo.com
      - www.search.yahoo.com
"""
NETWORKS = """\
"Hacker News":
  - news.ycombinator.com

Twitter:
  - twitter.com
  - t.co

Portal:
  - social.portal.example
"""


def built(folder: Path, engines: str = ENGINES) -> list[str]:
    (folder / "SearchEngines.yml").write_text(engines)
    (folder / "Socials.yml").write_text(NETWORKS)
    assert main([str(folder), str(folder / "sources.tsv")]) == 0
    return (folder / "sources.tsv").read_text().splitlines()


def test_each_service_has_one_line_of_the_hosts_that_tell_it(tmp_path: Path) -> None:
    assert built(tmp_path) == [
        "search\tBing\tbing.com",
        "search\tGoogle\tgoogle.{} images.google.{}",
        "search\tYahoo\tsearch.yahoo.com",
        "social\tHacker News\tnews.ycombinator.com",
        "social\tPortal\t=portal.example social.portal.example",
        "social\tX\tt.co twitter.com",
    ]


@pytest.mark.parametrize("line", ["? a mapping of mappings", "Name", "  - no name before it"])
def test_a_line_of_another_kind_stops_the_build(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(read_services([line]))


def test_an_entry_that_is_no_host_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no host name"):
        built(tmp_path, "Odd:\n  -\n    urls:\n      - not a host\n")


def test_the_shipped_list_is_in_the_form_that_the_build_writes() -> None:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(lines)
    assert len(lines) > 300
    for line in lines:
        channel, name, hosts = line.split("\t")
        assert channel in ("search", "social")
        assert name
        assert hosts.split() == sorted(hosts.split())
