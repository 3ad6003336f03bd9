"""What is printed about privacy is what runs (P16): each setting changes page and document, each stored column is
named, and the opt-out says only what is so."""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import string
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aggregator import dimensions, rollup
from aggregator.fail_safe import FAIL_SAFE_DAYS
from collector.answers import ANSWER_LIFE_S
from collector.event import Event
from collector.policy import collected
from collector.policy.facts import HOUR_MONTHS, policies_of, software_version
from collector.policy.machine import document_of
from collector.policy.opt_out import scope_of
from collector.policy.page import Pages, View
from collector.policy.sentences import FOLDER, Language, languages
from collector.settings import SettingsError, load
from collector.spool import WITHDRAWAL_LIFE_S
from collector.spool_file import SCHEMA, connect
from tests.collector.collecting import FIREFOX, ROOT, SITES, TOKEN, Answer, Collector, event_body, running, sha256

MIGRATIONS = ROOT / "aggregator" / "migrations"
TEMPLATES = ROOT / "collector" / "policy"
PASSWORD = "hunter2secret"

# One setting each is other than usual.example's.
VARIED = f"""
[[site]]
domain = "usual.example"
[[site]]
domain = "zoned.example"
timezone = "Europe/Berlin"
[[site]]
domain = "larger.example"
k = 20
[[site]]
domain = "exact.example"
level = "exact"
[[site]]
domain = "assumed.example"
consent = {{ assumed = true }}
[[site]]
domain = "assumed-alone.example"
consent = {{ field = false, assumed = true }}
[[site]]
domain = "tracked.example"
consent = {{ respect_dnt = false }}
[[site]]
domain = "versioned.example"
policy_version = "2026-05"
[[site]]
domain = "short.example"
retention_months = 6
[[site]]
domain = "searched.example"
allowed_parameters = ["q", "tab"]
[[site]]
domain = "loyal.example"
loyalty = true
[[site]]
domain = "office.example"
distinct = "visitor"
[[site]]
domain = "weekly.example"
seal_every = "week"
[[site]]
domain = "crossed.example"
crosses = ["page", "country"]
[[site]]
domain = "detailed.example"
properties = ["plan", "author"]
[[site]]
domain = "aiming.example"
[[site.goal]]
name = "Sign-up"
event = "signup"
[[site]]
domain = "walked.example"
[[site.funnel]]
name = "buy"
steps = ["/cart", "/thanks"]
[[site]]
domain = "trying.example"
[[site.experiment]]
name = "button"
variants = ["blue", "green"]
[[site]]
domain = "reported.example"
[[site.ingest_tokens]]
name = "server"
sha256 = "{sha256(TOKEN)}"
[[site]]
domain = "shop.test"
[[site]]
domain = "shop.test.example"
policy_version = "<script>alert(1)</script>"
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(Collector(tmp_path_factory.mktemp("policy"), sites=VARIED)) as collector:
        yield collector


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """An installation with one site, every setting of which that is not a site's is other than usual."""
    folder = tmp_path_factory.mktemp("single")
    made = Collector(
        folder,
        privacy='k = 7\nlevel = "exact"\ngrace_minutes = 90',
        sites=f'[aggregator]\nstore = "clickhouse://keeper:{PASSWORD}@store.example:8123/footfall"\n'
        '[[site]]\ndomain = "usual.example"\n',
    )
    with running(made) as collector:
        yield collector


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Level dp, every setting of which is other than usual."""
    made = Collector(
        tmp_path_factory.mktemp("noisy"),
        privacy='level = "dp"\nlive_view = false\nepsilon = 0.5\ndelta = 1e-9\ndp_dimensions = ["page", "browser"]',
        sites='[[site]]\ndomain = "usual.example"\n',
    )
    with running(made) as collector:
        yield collector


class Text(HTMLParser):
    """The text of a page, and the facts of its markup that tests look at."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.html: dict[str, str | None] = {}
        self.actions: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.html = dict(attrs)
        if tag == "form":
            self.actions.append(dict(attrs)["action"] or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def read(answer: Answer) -> Text:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Text(answer.body)


def page(
    collector: Collector, site: str, query: str = "lang=en", headers: Mapping[str, str] | None = None, status: int = 200
) -> Text:
    answer = collector.ask("GET", f"/privacy?site={site}&{query}", None, headers)
    assert answer.status == status
    return read(answer)


def document(collector: Collector, site: str) -> dict[str, Any]:
    answer = collector.ask("GET", f"/privacy.json?site={site}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    facts: dict[str, Any] = json.loads(answer.body)
    return facts


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Every value of a document by its path."""
    if isinstance(value, dict):
        return {key: leaf for name, inner in value.items() for key, leaf in leaves(inner, f"{path}.{name}").items()}
    return {path.removeprefix("."): value}


def changed(usual: dict[str, Any], other: dict[str, Any]) -> dict[str, object]:
    """What `other` says and `usual` does not, but for the site's name."""
    known = leaves(usual)
    return {path: value for path, value in leaves(other).items() if path != "site" and known.get(path) != value}


# P16: each setting changes what is said.

LOYAL = {
    "loyalty.device_storage": "footfall_day",
    "loyalty.device_keeps": "day_of_last_visit",
    "loyalty.device_says": ["first", "month", "week", "day"],
}
WEEKLY = {"sealed_every": "week", "open_day.destroyed_after.at_most_days_in_store": 10}
FIXED = [name for kept in collected.OPEN_DAY for name in kept.dimensions]
DETAILED = {
    "declared.properties": ["plan", "author"],
    "trends.dimensions": [*FIXED, "prop:plan", "prop:author"],
}
WALKED = {"declared.funnels": ["buy"], "trends.dimensions": [*FIXED, "funnel"]}
TRYING = {"declared.experiments": ["button"], "trends.dimensions": [*FIXED, "variant"]}
AIMING = {"declared.goals": ["Sign-up"], "trends.dimensions": [*FIXED, "goal"]}


@pytest.mark.parametrize(
    ("site", "facts", "said"),
    [
        ("zoned.example", {"timezone": "Europe/Berlin"}, "time zone: Europe/Berlin"),
        ("larger.example", {"trends.k": 20}, "rounded down to a multiple of 20"),
        ("larger.example", {"trends.k": 20}, "(so many: 19)"),
        (
            "exact.example",
            {"trends.level": "exact", "trends.subtraction_can_isolate_people": True},
            "subtraction can isolate people",
        ),
        (
            "assumed.example",
            {"consent.sources": ["field", "assumed"]},
            "the pages of assumed.example load the counting only after you have consented",
        ),
        ("assumed-alone.example", {"consent.sources": ["assumed"]}, "taken as consented to for that reason"),
        (
            "tracked.example",
            {"consent.refusals": ["gpc", "opt_out_cookie", "explicit"]},
            "Requests that come in another way are taken in spite of it",
        ),
        (
            "versioned.example",
            {"consent.policy_version": "2026-05"},
            "Only consent to this version of the site's policy counts: 2026-05.",
        ),
        (
            "short.example",
            {"retention.trends.months": 6, "retention.hours.months": 6},
            "Numbers about groups Months: 6",
        ),
        (
            "searched.example",
            {"kept_query_parameters.in_path": ["q", "tab"]},
            "the parameters that this site allows: q, tab.",
        ),
        ("reported.example", {"reporting_servers": True}, "The site's own servers may report visits, too."),
        ("office.example", {"trends.k_counts": "visitors"}, "smallest group, in visitors: 5"),
        ("weekly.example", WEEKLY, "This site is counted by the week, from Monday to Sunday."),
        ("weekly.example", WEEKLY, "on the collector's disk and in the store, each at most so many days: 10."),
        ("office.example", {"trends.k_counts": "visitors"}, "passes for all visitors of a smallest group but one"),
        ("loyal.example", LOYAL, "keeps the day of your last visit to loyal.example, once you have consented"),
        ("loyal.example", LOYAL, "With your consent it keeps the day of your last visit, which stays there."),
        ("crossed.example", {"trends.crossed": ["page", "country"]}, "the group is large enough: page, country."),
        ("detailed.example", DETAILED, "page views and events, by name: plan, author."),
        ("aiming.example", AIMING, "reach a goal that the site has set. Its goals: Sign-up."),
        ("walked.example", WALKED, "one after the other. Its paths: buy."),
        ("trying.example", TRYING, "reach a goal. Its experiments: button."),
        ("trying.example", TRYING, "Which of several variants of a page the site showed."),
        ("loyal.example", LOYAL, "With the first page view of a day, one word of four from your browser"),
    ],
)
def test_a_setting_of_a_site_changes_its_page_and_document_and_nothing_else_in_them(
    collector: Collector, site: str, facts: dict[str, object], said: str
) -> None:
    assert changed(document(collector, "usual.example"), document(collector, site)) == facts
    assert said in page(collector, site).text
    assert said not in page(collector, "usual.example").text


@pytest.mark.parametrize("code", ["en", "de", "ar"])
def test_in_every_language_a_page_says_what_the_browser_keeps_where_that_is_switched_on(
    collector: Collector, code: str
) -> None:
    loyal, usual = (page(collector, site, f"lang={code}").text for site in ("loyal.example", "usual.example"))
    heading = languages()[code].sentences["loyalty.heading"]
    assert heading in loyal
    assert "footfall_day" in loyal
    assert heading not in usual
    assert "footfall_day" not in usual


def test_the_settings_of_the_installation_change_page_and_document(collector: Collector, single: Collector) -> None:
    facts = changed(document(collector, "usual.example"), document(single, "usual.example"))
    assert facts == {
        "trends.k": 7,
        "trends.level": "exact",
        "trends.subtraction_can_isolate_people": True,
        "open_day.destroyed_after.grace_minutes": 90.0,
        "keys.destroyed_after.grace_minutes": 90.0,
        "store": "clickhouse",
    }
    usual, other = page(collector, "usual.example").text, page(single, "usual.example").text
    for before, after in (
        ("smallest group, in networks: 5", "smallest group, in networks: 7"),
        ("rounded down to a multiple of 5", "subtraction can isolate people"),
        ("(minutes: 15)", "(minutes: 90)"),
        ("on the server on which the operator runs", "in a ClickHouse database that the operator has chosen"),
    ):
        assert before in usual
        assert after not in usual
        assert before not in other
        assert after in other


def test_with_noise_the_document_says_what_it_costs_and_over_which_numbers(
    collector: Collector, noisy: Collector
) -> None:
    facts = changed(document(collector, "usual.example"), document(noisy, "usual.example"))
    of_fields = {name for name in facts if name.startswith("open_day.fields")}
    assert {name: facts[name] for name in facts.keys() - of_fields} == {
        "trends.level": "dp",
        "trends.live_view": False,
        "trends.crossed": [],
        "trends.k_counts": "visitors",
        "trends.measures": ["visitors", "visits", "views"],
        "trends.dimensions": ["page", "browser"],
        "trends.noise.of_each": "visitor_and_day",
        "trends.noise.epsilon": 0.5,
        "trends.noise.delta": 1e-9,
        "trends.noise.totals.visitors": 1,
        "trends.noise.totals.visits": 5,
        "trends.noise.totals.views": 10,
        "trends.noise.values.page": 10,
        "trends.noise.values.browser": 1,
    }
    kept = {group["group"]: group for group in document(noisy, "usual.example")["open_day"]["fields"]}
    assert {name for name, group in kept.items() if group["after_sealing"] == "groups"} == {
        *("moment", "site", "page", "browser")
    }
    assert kept["page"]["dimensions"] == ["page"]


@pytest.mark.parametrize("code", ["en", "de", "ar"])
def test_with_noise_a_page_says_so_in_every_language_and_what_it_costs(
    collector: Collector, noisy: Collector, code: str
) -> None:
    usual, other = (page(each, "usual.example", f"lang={code}").text for each in (collector, noisy))
    said = languages()[code].sentences
    for name in (
        "short.noise",
        "collected.measures_noise",
        "groups.noise",
        "groups.today_hidden",
        "remains.attacker_noise",
    ):
        assert said[name] in other
        assert said[name] not in usual
    for name, numbers in {
        "groups.noise_cost": {"epsilon": "0.5", "delta": "1e-09"},
        "groups.noise_totals": {"visits": "5", "views": "10"},
        "groups.noise_least": {"k": "5"},
    }.items():
        assert said[name].format(**numbers) in other
    for dimension, most in (("page", "10"), ("browser", "1")):
        assert said["groups.noise_values"].format(dimension=dimension, most=most) in other
    for name in ("short.groups", "groups.k", "groups.rounded", "groups.today", "collected.measures"):
        assert said[name].split("{")[0] not in other


def test_a_development_site_says_what_is_different_about_it(collector: Collector) -> None:
    facts = changed(document(collector, "usual.example"), document(collector, "shop.test"))
    assert facts == {
        "development": True,
        "trends.k": 1,
        "trends.level": "exact",
        "trends.subtraction_can_isolate_people": True,
        "retention.trends.days": 7,
        "retention.hours.days": 7,
    }
    text = page(collector, "shop.test").text
    assert "shop.test is a development site" in text
    assert "Here a group may be of one" in text
    assert "Numbers about groups Days: 7" in text


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ("k = 1", "k"),
        ("retention_months = 26", "retention_months"),
        ("consent = { field = false }", "consent"),
        ('level = "raw"', "level"),
    ],
)
def test_a_policy_that_could_not_be_kept_refuses_to_start(tmp_path: Path, options: str, setting: str) -> None:
    config = tmp_path / "footfall.toml"
    config.write_text(f'[[site]]\ndomain = "example.com"\n{options}\n')
    with pytest.raises(SettingsError, match=rf"site\[example.com\]\.{setting}"):
        load(config, tmp_path / "data", {})


def test_a_policy_has_no_room_for_a_secret(single: Collector, collector: Collector) -> None:
    for answer in (single.ask("GET", "/privacy"), single.ask("GET", "/privacy.json")):
        for secret in (PASSWORD, "store.example", "keeper", str(single.folder), str(single.keys)):
            assert secret not in answer.body.decode()
    for path in ("/privacy", "/privacy.json"):
        assert sha256(TOKEN) not in collector.ask("GET", f"{path}?site=reported.example").body.decode()


# P16: what is said is what the other parts do.


def columns_of(table: str) -> list[str]:
    """The columns that the migrations give to `table`, in order."""
    columns: list[str] = []
    for file in sorted(MIGRATIONS.glob("*.sql")):
        text = file.read_text()
        created = re.search(rf"CREATE TABLE IF NOT EXISTS {table}\n\(\n(.*?)\n\)", text, re.DOTALL)
        if created:
            columns += [line.split()[0] for line in created[1].splitlines()]
        columns += re.findall(rf"ALTER TABLE {table}\s+ADD COLUMN (?:IF NOT EXISTS )?(\w+)", text)
    assert len(columns) > 4
    return columns


def test_every_column_of_the_open_day_is_named_in_document_and_page_and_no_other(collector: Collector) -> None:
    named = [name for group in document(collector, "usual.example")["open_day"]["fields"] for name in group["fields"]]
    assert sorted(named) == sorted(columns_of("open_events"))
    assert {field.name for field in dataclasses.fields(Event)} <= set(named)
    text = page(collector, "usual.example").text
    for group in collected.OPEN_DAY:
        assert ", ".join(group.fields) in text


def test_what_is_kept_of_a_last_request_and_of_a_withdrawal_is_named_with_its_term(collector: Collector) -> None:
    facts = document(collector, "usual.example")
    assert facts["last_request"]["fields"] == columns_of("arrivals")
    term = re.search(r"TTL toDateTime\(at\) \+ INTERVAL (\d+) DAY", (MIGRATIONS / "0014_arrivals.sql").read_text())
    assert term
    assert facts["last_request"]["at_most_days"] == int(term[1]) == ANSWER_LIFE_S / 86_400
    with closing(sqlite3.connect(":memory:")) as spool:
        spool.executescript(SCHEMA)
        columns = [name for _, name, *_ in spool.execute("PRAGMA table_info(withdrawals)")]
    assert ["id", *facts["withdrawals"]["fields"]] == columns
    assert facts["withdrawals"]["at_most_days"] == WITHDRAWAL_LIFE_S / 86_400


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("trend", "trend_rows"),
        ("breakdown", "breakdown_rows"),
        ("cross_breakdown", "cross_rows"),
        ("coverage", "coverage_totals"),
    ],
)
def test_every_column_that_is_retained_is_named_in_the_document(collector: Collector, name: str, table: str) -> None:
    assert document(collector, "usual.example")["trends"]["fields"][name] == columns_of(table)


def test_the_dimensions_are_those_that_are_sealed(collector: Collector) -> None:
    named = document(collector, "usual.example")["trends"]["dimensions"]
    assert sorted(named) == sorted(dimension.name for dimension in dimensions.DIMENSIONS)


def test_trends_are_kept_as_long_as_is_said(tmp_path: Path) -> None:
    config = tmp_path / "footfall.toml"
    config.write_text(VARIED)
    settings = load(config, tmp_path / "data", {})
    day = date(2026, 1, 15)
    for domain, policy in policies_of(settings).items():
        until = rollup.rules_of(settings, domain, day).keep_until
        term = policy.retention.trends
        if term.unit == "days":
            assert (until - day).days == term.number
        else:
            assert (until.year - day.year) * 12 + until.month - day.month == term.number


def test_the_terms_that_are_fixed_are_those_of_the_store(collector: Collector) -> None:
    hours = re.search(r"addMonths\(\{day:Date\}, (\d+)\)", (ROOT / "aggregator/sql/trend_cells.sql").read_text())
    coverage = re.search(r"TTL day \+ INTERVAL (\d+) MONTH", (MIGRATIONS / "0008_coverage_totals.sql").read_text())
    open_events = (MIGRATIONS / "0040_open_events_of_weeks.sql").read_text()
    events = re.search(r"toIntervalDay\(if\(endsWith\(timezone, '/week'\), (\d+), (\d+)\)\)", open_events)
    assert hours
    assert coverage
    assert events
    facts = document(collector, "usual.example")
    assert facts["retention"]["hours"] == {"months": int(hours[1])} == {"months": HOUR_MONTHS}
    assert facts["retention"]["coverage"] == {"months": int(coverage[1])}
    weekly = document(collector, "weekly.example")
    for each, days in ((facts, int(events[2])), (weekly, int(events[1]))):
        assert each["open_day"]["destroyed_after"]["at_most_days_in_store"] == days
    assert dict(FAIL_SAFE_DAYS) == {"day": int(events[2]), "week": int(events[1])}


REFUSING: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "gpc": ({}, {"Sec-GPC": "1"}),
    "dnt": ({}, {"DNT": "1"}),
    "opt_out_cookie": ({}, {"Cookie": "footfall_optout=1"}),
    "explicit": ({"c": "0"}, {}),
}


@pytest.mark.parametrize("site", ["usual.example", "tracked.example", "assumed.example"])
def test_the_collector_refuses_what_is_said_to_win_over_consent_and_nothing_else(
    collector: Collector, site: str
) -> None:
    url = {"d": site, "u": f"https://{site}/"}
    refused = {
        name
        for name, (fields, headers) in REFUSING.items()
        if collector.event({**url, **fields}, headers).footfall != "accepted"
    }
    assert refused == set(document(collector, site)["consent"]["refusals"])


@pytest.mark.parametrize("site", ["usual.example", "assumed.example", "assumed-alone.example"])
def test_an_event_that_says_nothing_of_consent_is_taken_only_where_that_is_said(
    collector: Collector, site: str
) -> None:
    answer = collector.event({"d": site, "u": f"https://{site}/", "c": None})
    assert (answer.footfall == "accepted") == ("assumed" in document(collector, site)["consent"]["sources"])


def test_the_version_is_that_of_the_installed_package(collector: Collector) -> None:
    assert document(collector, "usual.example")["software"] == {"name": "footfall", "version": software_version()}


def test_the_documentation_of_the_document_names_its_keys(tmp_path: Path) -> None:
    told = (TEMPLATES / "machine.py").read_text().split('"""')[1]
    config = tmp_path / "footfall.toml"
    config.write_text(SITES)
    policy = policies_of(load(config, tmp_path / "data", {}))["example.com"]
    for path in leaves(document_of(policy)):
        for key in path.split("."):
            assert f"`{key}`" in told or f'"{key}"' in told or key in collected.TRENDS, path


# Which site is asked about.


def test_the_only_site_needs_no_name(single: Collector) -> None:
    assert "usual.example" in read(single.ask("GET", "/privacy")).text
    assert json.loads(single.ask("GET", "/privacy.json").body)["site"] == "usual.example"


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("usual.example", "usual.example"),
        ("stats.usual.example:8443", "usual.example"),
        ("STATS.Shop.Test.Example", "shop.test.example"),
        ("a.b.shop.test", "shop.test"),
    ],
)
def test_of_several_sites_it_is_the_one_that_the_host_is_or_lies_below(
    collector: Collector, host: str, site: str
) -> None:
    assert json.loads(collector.ask("GET", "/privacy.json", None, {"Host": host}).body)["site"] == site
    assert site in read(collector.ask("GET", "/privacy", None, {"Host": host})).text


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "example", "localhost", "unusual.example", "[::1]", "a b", ""])
def test_else_it_is_asked_for_and_no_site_is_listed(collector: Collector, host: str) -> None:
    asked, missing = (collector.ask("GET", path, None, {"Host": host}) for path in ("/privacy", "/privacy.json"))
    assert (asked.status, missing.status) == (200, 400)
    assert missing.error == "site: is needed, as there are several; name one by ?site="
    for domain in re.findall(r'domain = "(.*)"', VARIED):
        assert domain.encode() not in asked.body + missing.body


@pytest.mark.parametrize("name", ["unknown.example", "", "%3Cscript%3E"])
def test_an_unknown_site_is_not_found_and_its_name_is_not_repeated(collector: Collector, name: str) -> None:
    asked = collector.ask("GET", f"/privacy?site={name}&lang=en")
    assert asked.status == 404
    assert "No site of this name is counted here." in read(asked).text
    for method, path in (("GET", "/privacy.json"), ("POST", "/privacy/opt-out")):
        missing = collector.ask(method, f"{path}?site={name}")
        assert (missing.status, missing.error) == (404, "site: is not a site of this collector")
        assert "set-cookie" not in missing.headers


def test_www_is_the_same_site(collector: Collector) -> None:
    assert document(collector, "www.Usual.Example")["site"] == "usual.example"


# The opt-out.


@pytest.mark.parametrize(
    ("host", "domain", "scope"),
    [
        ("stats.example.com", "example.com", "example.com"),
        ("stats.example.com", "shop.example.com", "example.com"),
        ("example.com", "shop.example.com", "example.com"),
        ("shop.example.com", "shop.example.com", "shop.example.com"),
        ("a.b.example.co.uk", "c.b.example.co.uk", "b.example.co.uk"),
        # Only a browser knows that this is a public suffix; it refuses the cookie.
        ("stats.mine.co.uk", "yours.co.uk", "co.uk"),
        ("stats.example.com", "example.org", None),
        ("stats.com", "example.com", None),
        ("notexample.com", "example.com", None),
        ("localhost", "localhost", ""),
        ("localhost", "example.com", None),
        ("127.0.0.1", "localhost", None),
        ("10.0.0.1", "20.0.0.1", None),
        ("192.0.2.7", "192.0.2.7", ""),
        ("[::1]", "localhost", None),
        ("", "localhost", None),
    ],
)
def test_the_cookie_is_for_the_longest_domain_above_collector_and_site(
    host: str, domain: str, scope: str | None
) -> None:
    assert scope_of(host, domain) == scope


def opted(collector: Collector, way: str, headers: Mapping[str, str], site: str = "usual.example") -> Answer:
    return collector.ask("POST", f"/privacy/{way}?site={site}&lang=de", b"", headers)


STATS = {"Host": "stats.usual.example"}
OUT_COOKIE = "footfall_optout=1; Path=/; Max-Age=34560000; SameSite=Lax; Domain=usual.example"


def test_the_button_sets_the_cookie_that_the_collector_and_the_beacon_read(collector: Collector) -> None:
    answer = opted(collector, "opt-out", STATS)
    assert (answer.status, answer.headers["set-cookie"]) == (303, OUT_COOKIE)
    assert answer.headers["location"] == "../privacy?site=usual.example&lang=de&asked=out"
    fields = {"d": "usual.example", "u": "https://usual.example/"}
    cookie = OUT_COOKIE.partition(";")[0]
    assert collector.event(fields, {"Cookie": cookie}).footfall == "dropped; reason=opted_out"
    # The beacon's own pattern.
    assert re.search(r"(^|; )footfall_optout(?!=0)", cookie)
    assert "(^|; )footfall_optout(?!=0)" in (ROOT / "collector/beacon/footfall.js").read_text()


def waiting_withdrawals(collector: Collector) -> list[tuple[str, int]]:
    """Site and visitor of what the drainer is asked to delete."""
    found = []
    for file in collector.spool_dir.glob("spool-*.sqlite"):
        with closing(connect(file)) as spool:
            found += [(site, int(visitor)) for site, visitor in spool.execute("SELECT site, visitor FROM withdrawals")]
    return found


def test_the_button_also_asks_for_the_deletion_of_what_this_visitor_has_open(collector: Collector) -> None:
    collector.event({"d": "zoned.example", "u": "https://zoned.example/"})
    visitor = collector.events()[-1]["visitor"]
    assert opted(collector, "opt-out", {"User-Agent": "Somebody else", **STATS}, "zoned.example").status == 303
    assert ("zoned.example", visitor) not in waiting_withdrawals(collector)
    assert opted(collector, "opt-out", {"User-Agent": FIREFOX, **STATS}, "zoned.example").status == 303
    assert ("zoned.example", visitor) in waiting_withdrawals(collector)


def test_with_a_full_spool_the_objection_holds_and_the_missing_deletion_is_told(tmp_path: Path) -> None:
    full = Collector(tmp_path, settings=f"spool_max_bytes = {1 << 20}\nmax_body_bytes = {4 << 20}")
    with running(full) as collector:
        assert collector.event().footfall == "accepted"
        assert collector.bulk(b"\n".join([event_body()] * 4_000)).status == 202
        headers = {"Host": "stats.example.com", "User-Agent": FIREFOX}
        answer = opted(collector, "opt-out", headers, "example.com")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert "cannot be deleted now" in answer.error
        assert answer.headers["set-cookie"].endswith("Domain=example.com")


def test_where_hosts_share_no_domain_there_is_no_button_and_no_cookie_but_the_reason(collector: Collector) -> None:
    elsewhere = {"Host": "stats.elsewhere.example.org"}
    shown = page(collector, "usual.example", headers=elsewhere)
    assert shown.actions == []
    assert "An objection cannot be stored from this address" in shown.text
    assert "footfall.optOut()" in shown.text
    answer = opted(collector, "opt-out", elsewhere)
    assert answer.status == 303
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "cookie", "said", "action"),
    [
        ("", "", "The button stores the cookie footfall_optout=1", "opt-out"),
        ("out", "footfall_optout=1", "You have objected in this browser", "opt-in"),
        ("", "a=b; footfall_optout=1", "You have objected in this browser", "opt-in"),
        ("out", "", "Your browser did not keep the cookie, so this objection does not hold.", "opt-out"),
        ("in", "", "Your objection is no longer stored here.", "opt-out"),
        ("in", "footfall_optout=1", "You have objected in this browser", "opt-in"),
        ("nonsense", "footfall_optout=0", "The button stores the cookie footfall_optout=1", "opt-out"),
    ],
)
def test_it_is_said_that_somebody_opted_out_only_when_the_cookie_came_back(
    collector: Collector, asked: str, cookie: str, said: str, action: str
) -> None:
    headers = {**STATS, "Cookie": cookie} if cookie else STATS
    shown = page(collector, "usual.example", f"lang=en&asked={asked}", headers)
    assert said in shown.text
    assert shown.actions == [f"privacy/{action}?site=usual.example&lang=en"]
    assert ("You have objected" in shown.text) == (action == "opt-in")


OWN = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://stats.usual.example"},
    {"Origin": "http://stats.usual.example:81"},
]
FOREIGN = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://stats.usual.example"},
    {"Origin": "https://usual.example"},
    {"Origin": "https://stats.usual.example.evil.example"},
    {"Origin": "null"},
    {"Origin": "stats.usual.example"},
]


@pytest.mark.parametrize("headers", OWN)
def test_this_page_may_take_the_objection_back(collector: Collector, headers: dict[str, str]) -> None:
    answer = opted(collector, "opt-in", {**STATS, **headers})
    assert answer.status == 303
    assert answer.headers["location"].endswith("asked=in")
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_can_opt_a_browser_out_but_never_in(collector: Collector, headers: dict[str, str]) -> None:
    refused = opted(collector, "opt-in", {**STATS, **headers})
    assert (refused.status, refused.error) == (403, "origin: must be that of this page")
    assert "set-cookie" not in refused.headers
    assert opted(collector, "opt-out", {**STATS, **headers}).headers["set-cookie"] == OUT_COOKIE


def test_a_browser_that_says_no_by_itself_is_told_so(collector: Collector) -> None:
    def told(site: str, name: str) -> bool:
        return "your visits are not counted." in page(collector, site, headers={name: "1"}).text

    assert told("usual.example", "Sec-GPC")
    assert told("usual.example", "DNT")
    assert told("tracked.example", "Sec-GPC")
    assert not told("tracked.example", "DNT")


# How it is served.


def test_asking_is_not_counted_not_logged_and_sets_no_cookie(collector: Collector) -> None:
    counted, logged = collector.counters(), collector.log.read_bytes()
    for path in ("/privacy", "/privacy?site=usual.example", "/privacy.json", "/privacy.css", "/.well-known/gpc.json"):
        answer = collector.ask("GET", path, None, {**STATS, "User-Agent": "canary-of-the-policy"})
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
        assert collector.ask("HEAD", path, None, STATS).status == 200
    assert opted(collector, "opt-out", STATS).status == 303
    assert collector.counters() == counted
    assert collector.log.read_bytes() == logged


def test_pages_may_load_nothing_but_their_style_and_be_framed_by_nobody(collector: Collector) -> None:
    answer = collector.ask("GET", "/privacy?site=usual.example")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert b"<script" not in answer.body
    assert b"style=" not in answer.body
    assert answer.headers["cache-control"] == "no-store"
    loaded = re.findall(r'(?:src|href)="([^"#?]*)', answer.body.decode())
    assert {url for url in loaded if "://" not in url} <= {"data:,", "privacy.css", "privacy.json", ""}


def test_a_setting_cannot_become_markup(collector: Collector) -> None:
    answer = collector.ask("GET", "/privacy?site=shop.test.example&lang=en")
    assert b"<script" not in answer.body
    assert "<script>alert(1)</script>" in read(answer).text


def test_the_style_is_asked_for_once_while_it_stands(collector: Collector) -> None:
    first = collector.ask("GET", "/privacy.css")
    assert first.headers["content-type"].startswith("text/css")
    again = collector.ask("GET", "/privacy.css", None, {"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_gpc_is_declared_as_its_specification_asks(collector: Collector) -> None:
    answer = collector.ask("GET", "/.well-known/gpc.json")
    assert answer.headers["content-type"] == "application/json"
    declared = json.loads(answer.body)
    assert declared["gpc"] is True
    date.fromisoformat(declared["lastUpdate"])


def test_any_page_may_read_the_document(collector: Collector) -> None:
    assert collector.ask("GET", "/privacy.json?site=usual.example").headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("GeoLite2-Country", "GeoLite Data created by MaxMind"),
        ("DBIP-Country-Lite", "IP Geolocation by DB-IP"),
        ("Own-Country", "A database that the operator has chosen."),
        ("Footfall-Country", "Number Resource Organization (NRO)"),
    ],
)
def test_the_makers_of_country_data_are_named_where_their_licence_asks_for_it(
    tmp_path: Path, kind: str, named: str
) -> None:
    writer = pytest.importorskip("mmdb_writer", reason="mmdb-writer is not installed (it is in the extra `data`)")
    written = tmp_path / "countries.mmdb"
    writer.MMDBWriter(4, kind).to_db_file(str(written))
    config = tmp_path / "footfall.toml"
    config.write_text(f'[collector]\ncountry_file = "{written}"\n[[site]]\ndomain = "example.com"\n')
    policies = policies_of(load(config, tmp_path / "data", {}))
    shown = Pages(policies, languages()).policy(View("example.com", "en", None, "none", ""))
    assert named in Text(shown).text
    assert document_of(policies["example.com"])["country_source"] == {
        "name": policies["example.com"].country_source.name,
        "url": policies["example.com"].country_source.url,
    }


# Languages.

ALL = [file.stem for file in sorted(FOLDER.glob("*.toml"))]


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr, ar;q=0.7, en;q=0.3", "ar"),
        ("en;q=0.2, de;q=0.8", "de"),
        ("de;q=0, ar", "ar"),
        ("fr", "en"),
        ("", "en"),
        ("de;q=nonsense,;;,*", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_wants_most(collector: Collector, accept: str, code: str) -> None:
    shown = page(collector, "usual.example", "", {"Accept-Language": accept})
    assert shown.html["lang"] == code
    assert page(collector, "usual.example", "lang=ar", {"Accept-Language": accept}).html == {"lang": "ar", "dir": "rtl"}


def test_an_unknown_language_is_passed_over(collector: Collector) -> None:
    assert page(collector, "usual.example", "lang=xx", {"Accept-Language": "de"}).html["lang"] == "de"


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("code", ALL)
def test_every_language_has_the_same_sentences_and_placeholders(code: str) -> None:
    known = languages()
    english, other = known["en"].sentences, known[code].sentences
    assert list(other) == list(english)
    assert {key: placeholders(text) for key, text in other.items()} == {
        key: placeholders(text) for key, text in english.items()
    }
    assert all(text.strip() == text and text for text in other.values())
    assert known[code].direction == ("rtl" if code == "ar" else "ltr")


def test_every_sentence_is_said_somewhere() -> None:
    english = languages()["en"].sentences
    templates = "".join(file.read_text() for file in TEMPLATES.glob("*.html"))
    said = set(re.findall(r'"(\w+\.\w+)"', templates)) | set(re.findall(r"'(\w+\.\w+)'", templates))
    for prefix, names in {
        "field": [kept.name for kept in collected.OPEN_DAY],
        "meaning": [kept.name for kept in collected.OPEN_DAY],
        "never": collected.NEVER,
        "collected": ["groups", "destroyed"],
        "access": ["embedded", "clickhouse"],
        "source": ["shipped", "maxmind", "dbip", "other"],
        "objection": ["gpc_now", "dnt_now"],
        "time": ["months", "days"],
    }.items():
        said |= {f"{prefix}.{name}" for name in names}
    assert set(english) == said - {"frame.html", "privacy.css"}


@pytest.mark.parametrize("code", [code for code in ALL if code != "en"])
def test_no_sentence_was_left_in_english(code: str) -> None:
    known = languages()
    same = {key for key, text in known[code].sentences.items() if text == known["en"].sentences[key]}
    # Words that are the same in German.
    assert same <= {"field.system", "field.browser", "never.cookies", "frame.version"}


def test_what_is_put_into_a_sentence_is_escaped_and_isolated() -> None:
    language = Language("xx", "X", "ltr", {"a.b": "<b> & {site}"})
    assert language.say("a.b", site="<i>") == "&lt;b&gt; &amp; <bdi>&lt;i&gt;</bdi>"
