"""The configuration: complete and free of contradictions, or refused with every fault at once and no value repeated."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.noise import Noise
from collector.settings import Address, IngestToken, Settings, SettingsError, load

DIGEST = "0123456789abcdef" * 4
PASSWORD = "hunter2secret"


def read(folder: Path, toml: str, **environ: str) -> Settings:
    config = folder / "footfall.toml"
    config.write_text(toml)
    return load(config, folder / "data", environ)


def faults_of(folder: Path, toml: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refusal:
        read(folder, toml, **environ)
    return refusal.value.faults


def site(options: str = "", domain: str = "example.com") -> str:
    return f'[[site]]\ndomain = "{domain}"\n{options}\n'


NOISY = '[privacy]\nlevel = "dp"\nlive_view = false\n'


def test_without_configuration_both_sides_listen_on_loopback_and_the_site_is_localhost(tmp_path: Path) -> None:
    settings = load(None, tmp_path, {})
    assert settings.collector.listen == Address("127.0.0.1", 8000)
    assert settings.dashboards.listen == Address("127.0.0.1", 8001)
    assert list(settings.sites) == ["localhost"]
    assert settings.sites["localhost"].k == 1
    assert settings.sites["localhost"].level == "exact"
    assert settings.sites["localhost"].timezone == "UTC"
    assert settings.aggregator.store == "embedded"


def test_defaults_protect_a_public_site(tmp_path: Path) -> None:
    settings = read(tmp_path, site())
    example = settings.sites["example.com"]
    assert (example.k, example.level, example.retention_months) == (5, "rounded", 25)
    assert (example.consent.field, example.consent.respect_dnt, example.consent.assumed) == (True, True, False)
    assert (example.allowed_parameters, example.ingest_tokens) == ((), ())
    assert settings.collector.trusted_proxies == ()
    assert settings.collector.max_body_bytes == 65_536


def test_every_setting_of_the_file_arrives(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        f"""
        [collector]
        listen = "[::1]:9000"
        workers = 3
        trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
        spool_dir = "spools"
        spool_max_bytes = 1048576
        max_body_bytes = 2048
        country_file = "/srv/country.mmdb"
        [aggregator]
        store = "clickhouses://u:{PASSWORD}@db.example:8443/footfall"
        [dashboards]
        listen = "intranet.example:9001"
        [privacy]
        k = 7
        level = "exact"
        grace_minutes = 2.5
        key_dir = "/dev/shm/keys"
        [[site]]
        domain = "example.com"
        timezone = "Europe/Berlin"
        k = 10
        level = "rounded"
        consent = {{ field = false, respect_dnt = false, assumed = true }}
        policy_version = "2026-05"
        retention_months = 13
        seal_every = "day"
        ingest_tokens = [{{ name = "shop", sha256 = "{DIGEST}", trusted_addresses = true }}]
        allowed_parameters = ["q", "page"]
        crosses = ["country", "entry"]
        """,
    )
    collector, example = settings.collector, settings.sites["example.com"]
    assert collector.listen == Address("::1", 9000)
    assert collector.workers == 3
    assert collector.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"))
    assert collector.spool_dir == tmp_path / "spools"
    assert (collector.spool_max_bytes, collector.max_body_bytes) == (1_048_576, 2_048)
    assert collector.country_file == Path("/srv/country.mmdb")
    assert settings.aggregator.store.endswith("@db.example:8443/footfall")
    assert settings.dashboards.listen == Address("intranet.example", 9001)
    assert (settings.privacy.k, settings.privacy.level, settings.privacy.grace_minutes) == (7, "exact", 2.5)
    assert settings.privacy.key_dir == Path("/dev/shm/keys")
    assert (example.timezone, example.k, example.level) == ("Europe/Berlin", 10, "rounded")
    assert (example.consent.field, example.consent.respect_dnt, example.consent.assumed) == (False, False, True)
    assert (example.policy_version, example.retention_months) == ("2026-05", 13)
    assert example.ingest_tokens == (IngestToken("shop", DIGEST, trusted_addresses=True),)
    assert example.allowed_parameters == ("q", "page")
    assert example.crosses == ("country", "entry")


def test_every_setting_arrives_from_the_environment_and_wins_over_the_file(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        '[collector]\nworkers = 3\nlisten = "127.0.0.1:1"\n' + site("k = 9"),
        FOOTFALL_COLLECTOR__LISTEN="127.0.0.1:9000",
        FOOTFALL_COLLECTOR__WORKERS="2",
        FOOTFALL_COLLECTOR__TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::/32",
        FOOTFALL_COLLECTOR__SPOOL_DIR="elsewhere",
        FOOTFALL_COLLECTOR__SPOOL_MAX_BYTES="2000000",
        FOOTFALL_COLLECTOR__MAX_BODY_BYTES="4096",
        FOOTFALL_COLLECTOR__COUNTRY_FILE="/srv/c.mmdb",
        FOOTFALL_AGGREGATOR__STORE="clickhouse://db:8123/footfall",
        FOOTFALL_DASHBOARDS__LISTEN="0.0.0.0:9001",
        FOOTFALL_PRIVACY__K="6",
        FOOTFALL_PRIVACY__LEVEL="exact",
        FOOTFALL_PRIVACY__GRACE_MINUTES="0.5",
        FOOTFALL_PRIVACY__KEY_DIR="/dev/shm/k",
        FOOTFALL_SITE__DOMAIN="shop.example",
        FOOTFALL_SITE__TIMEZONE="Asia/Kolkata",
        FOOTFALL_SITE__K="8",
        FOOTFALL_SITE__LEVEL="rounded",
        FOOTFALL_SITE__CONSENT="{ assumed = true }",
        FOOTFALL_SITE__POLICY_VERSION="3",
        FOOTFALL_SITE__RETENTION_MONTHS="2",
        FOOTFALL_SITE__INGEST_TOKENS=f'[{{ name = "app", sha256 = "{DIGEST}" }}]',
        FOOTFALL_SITE__ALLOWED_PARAMETERS="q,page",
    )
    collector, shop = settings.collector, settings.sites["shop.example"]
    assert (str(collector.listen), collector.workers) == ("127.0.0.1:9000", 2)
    assert collector.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert (collector.spool_dir, collector.country_file) == (tmp_path / "elsewhere", Path("/srv/c.mmdb"))
    assert (collector.spool_max_bytes, collector.max_body_bytes) == (2_000_000, 4_096)
    assert settings.aggregator.store == "clickhouse://db:8123/footfall"
    assert settings.dashboards.listen == Address("0.0.0.0", 9001)
    assert (settings.privacy.k, settings.privacy.level, settings.privacy.grace_minutes) == (6, "exact", 0.5)
    assert settings.privacy.key_dir == Path("/dev/shm/k")
    assert (shop.timezone, shop.k, shop.level, shop.policy_version) == ("Asia/Kolkata", 8, "rounded", "3")
    assert (shop.retention_months, shop.allowed_parameters) == (2, ("q", "page"))
    assert shop.consent.assumed
    assert shop.ingest_tokens == (IngestToken("app", DIGEST, trusted_addresses=False),)


def test_environment_alone_configures_one_site(tmp_path: Path) -> None:
    settings = load(None, tmp_path, {"FOOTFALL_SITE__DOMAIN": "example.com"})
    assert list(settings.sites) == ["example.com"]


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    load(None, tmp_path, {"FOOTFALL_TEST_CLICKHOUSE": "x", "FOOTFALL_SOAK": "1", "OTHER__K": "1"})


def test_all_faults_are_reported_together_each_on_one_line(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        '[collector]\nworkers = 0\n[privacy]\nk = "five"\n[other]\n"a\\nb" = 1\n' + site('timezone = "Mars"'),
        FOOTFALL_DASHBOARDS__LISTEN="nowhere",
    )
    assert [fault.split(":")[0] for fault in faults] == [
        "privacy.k",
        "collector.workers",
        "FOOTFALL_DASHBOARDS__LISTEN",
        "site[example.com].timezone",
        "other",
    ]
    assert not any("\n" in fault for fault in faults)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[collector]\nworkerz = 1", "collector.workerz"),
        ("[agregator]\nstore = 'embedded'", "agregator"),
        ("[privacy]\nepsilon = 1.0", "privacy.epsilon"),
        (site("respect_dnt = true"), "site[example.com].respect_dnt"),
        (site("consent = { gpc = true }"), "site[example.com].consent.gpc"),
        ("collector = 3", "collector"),
        ("[site]\ndomain = 'example.com'", "site"),
        ("[[site]]\ntimezone = 'UTC'", "site[1].domain"),
    ],
)
def test_an_unknown_or_misplaced_name_in_the_file_is_a_fault(tmp_path: Path, toml: str, named: str) -> None:
    (fault,) = faults_of(tmp_path, toml)
    assert fault.startswith(f"{named}: ")


@pytest.mark.parametrize(
    "name", ["FOOTFALL_COLLECTOR__WORKERZ", "FOOTFALL_PRIVACI__K", "FOOTFALL_collector__WORKERS", "FOOTFALL___K"]
)
def test_an_unknown_name_in_the_environment_is_a_fault(tmp_path: Path, name: str) -> None:
    (fault,) = faults_of(tmp_path, "", **{name: "1"})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        ("[privacy]\nk = {}", 3, 2),
        ("[privacy]\nk = {}", 1_000, 1_001),
        ("[privacy]\nk = {}", 5, "true"),
        ("[privacy]\nk = {}", 5, "5.0"),
        ("[privacy]\nk = {}", 5, '"5"'),
        ("[privacy]\ngrace_minutes = {}", 0, -0.1),
        ("[privacy]\ngrace_minutes = {}", 1_440, 1_440.1),
        ("[privacy]\ngrace_minutes = {}", 1, "nan"),
        ("[privacy]\nlevel = {}", '"exact"', '"raw"'),
        ("[privacy]\nlive_view = {}", "false", "0"),
        (f"{NOISY}epsilon = {{}}", 10, 10.1),
        (f"{NOISY}epsilon = {{}}", 0.01, 0.009),
        (f"{NOISY}delta = {{}}", 1e-5, 1.1e-5),
        (f"{NOISY}delta = {{}}", 1e-12, 9e-13),
        (f"{NOISY}dp_dimensions = {{}}", '["page", "source"]', '["page", "event"]'),
        (f"{NOISY}dp_dimensions = {{}}", "[]", '["page", "page"]'),
        ("[collector]\nworkers = {}", 1, 0),
        ("[collector]\nworkers = {}", 64, 65),
        ("[collector]\nmax_body_bytes = {}", 1_024, 1_023),
        ("[collector]\nmax_body_bytes = {}", 16_777_216, 16_777_217),
        ("[collector]\nspool_max_bytes = {}", 1_048_576, 1_048_575),
        ("[collector]\nlisten = {}", '"127.0.0.1:65535"', '"127.0.0.1:65536"'),
        ("[collector]\nlisten = {}", '"127.0.0.1:1"', '"127.0.0.1:0"'),
        ("[collector]\nlisten = {}", '"localhost:80"', '"localhost"'),
        ("[collector]\nlisten = {}", '"[::]:80"', '":::80"'),
        ("[collector]\nlisten = {}", '"a:80"', '":80"'),
        ("[collector]\ntrusted_proxies = {}", '["10.0.0.0/8"]', '["0.0.0.0/0"]'),
        ("[collector]\ntrusted_proxies = {}", '["10.0.0.0/8"]', '["10.0.0.0/7"]'),
        ("[collector]\ntrusted_proxies = {}", '["fc00::/7"]', '["::/0"]'),
        ("[collector]\ntrusted_proxies = {}", '["fc00::/7"]', '["fc00::/6"]'),
        ("[collector]\ntrusted_proxies = {}", '["192.0.2.0/24"]', '["::ffff:0:0/96"]'),
        ("[collector]\ntrusted_proxies = {}", '["192.0.2.0/24"]', '["192.0.2.1/24"]'),
        ("[collector]\ntrusted_proxies = {}", "[]", '"10.0.0.0/8"'),
        ("[collector]\ntrusted_proxies = {}", "[]", "[10]"),
        ("[collector]\ncountry_file = {}", '"c.mmdb"', '""'),
        ("[collector]\noperator_file = {}", '"o.mmdb"', '""'),
        ("[aggregator]\nstore = {}", '"clickhouse://u:p@h:1/db"', '"clickhouse://u:p@h/db"'),
        ("[aggregator]\nstore = {}", '"clickhouse://h:1/db"', '"clickhouse://h:1/"'),
        ("[aggregator]\nstore = {}", '"clickhouses://[::1]:1/db"', '"postgres://h:1/db"'),
        ("[aggregator]\nstore = {}", '"embedded"', '"clickhouse://h:99999/db"'),
        ("[aggregator]\nstore = {}", '"embedded"', '"clickhouse://h:1/db?x=1"'),
        (site("timezone = {}"), '"America/Argentina/Buenos_Aires"', '"Europe"'),
        (site("timezone = {}"), '"UTC"', '"../tzdata/zoneinfo/UTC"'),
        (site("timezone = {}"), '"Etc/GMT+1"', '"leapseconds"'),
        (site("k = {}"), 3, 2),
        (site("k = {}", "localhost"), 1, 0),
        (site("k = {}", "shop.test"), 1, 0),
        (site("level = {}"), '"exact"', '"raw"'),
        (site("distinct = {}"), '"visitor"', '"person"'),
        (site("retention_months = {}"), 25, 26),
        (site("retention_months = {}"), 1, 0),
        (site("seal_every = {}"), '"week"', '"month"'),
        (site("timezone = {}"), '"Europe/Berlin"', '"Europe/Berlin/week"'),
        (site("policy_version = {}"), f'"{"v" * 64}"', f'"{"v" * 65}"'),
        (site("policy_version = {}"), '"v"', '""'),
        (site("allowed_parameters = {}"), f'["{"q" * 64}"]', f'["{"q" * 65}"]'),
        (site("allowed_parameters = {}"), '["ids[]"]', '["a b"]'),
        (site("loyalty = {}"), "true", '"yes"'),
        (site("crosses = {}"), '["page", "os", "channel"]', '["page", "os", "goal"]'),
        (site("crosses = {}"), "[]", '["page"]'),
        (site("crosses = {}"), '["page", "event"]', '["page", "event", "page"]'),
        (site("consent = {}"), "{ assumed = true }", "{ assumed = 1 }"),
        (site("consent = {}"), "{ field = false, assumed = true }", "{ field = false }"),
        (site("consent = {}"), "{ }", "true"),
        ("[[site]]\ndomain = {}", '"localhost"', '"Localhost"'),
        ("[[site]]\ndomain = {}", '"xn--mnchen-3ya.example"', '"münchen.example"'),
        ("[[site]]\ndomain = {}", '"a.example"', '"https://a.example"'),
        ("[[site]]\ndomain = {}", '"a.example"', '"a.example:80"'),
        ("[[site]]\ndomain = {}", '"a.example"', '"a..example"'),
        ("[[site]]\ndomain = {}", '"a-b.example"', '"-b.example"'),
        ("[[site]]\ndomain = {}", f'"{"a" * 63}.example"', f'"{"a" * 64}.example"'),
        ("[[site]]\ndomain = {}", f'"{"a." * 126}a"', f'"{"a." * 127}a"'),
    ],
)
def test_the_limit_itself_is_taken_and_what_lies_beyond_is_a_fault(
    tmp_path: Path, setting: str, good: object, bad: object
) -> None:
    read(tmp_path, setting.format(good))
    assert len(faults_of(tmp_path, setting.format(bad))) == 1


@pytest.mark.parametrize("text", ["", "many", "1\nx = 2", "true", "1.5", '"2"'])
def test_a_number_from_the_environment_is_a_number_and_nothing_else(tmp_path: Path, text: str) -> None:
    (fault,) = faults_of(tmp_path, "", FOOTFALL_COLLECTOR__WORKERS=text)
    assert fault.startswith("FOOTFALL_COLLECTOR__WORKERS: must be a whole number from 1 to 64")


def test_an_empty_list_in_the_environment_is_no_entry(tmp_path: Path) -> None:
    toml = '[collector]\ntrusted_proxies = ["10.0.0.0/8"]'
    assert read(tmp_path, toml, FOOTFALL_COLLECTOR__TRUSTED_PROXIES="").collector.trusted_proxies == ()


def test_a_bad_entry_of_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, '[collector]\ntrusted_proxies = ["10.0.0.0/8", "0.0.0.0/0"]')
    assert fault.startswith("collector.trusted_proxies, entry 2: ")


@pytest.mark.parametrize(
    "token",
    [
        "{}",
        '{ name = "a" }',
        f'{{ sha256 = "{DIGEST}" }}',
        f'{{ name = "", sha256 = "{DIGEST}" }}',
        f'{{ name = "a", sha256 = "{DIGEST[:-1]}" }}',
        f'{{ name = "a", sha256 = "{DIGEST.upper()}" }}',
        f'{{ name = "a", sha256 = "{DIGEST}", trusted = true }}',
        f'{{ name = "a", sha256 = "{DIGEST}" }}, {{ name = "a", sha256 = "{DIGEST}" }}',
    ],
)
def test_an_incomplete_or_repeated_ingest_token_is_a_fault(tmp_path: Path, token: str) -> None:
    assert "ingest_tokens[" in faults_of(tmp_path, site(f"ingest_tokens = [{token}]"))[0]


def test_two_sites_of_one_domain_are_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, site() + site())
    assert fault == "site[example.com].domain: two sites have it; keep one [[site]]"


def test_site_variables_are_refused_where_several_sites_could_be_meant(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, site() + site(domain="other.example"), FOOTFALL_SITE__K="3")
    assert fault.startswith("FOOTFALL_SITE__*: ")


def test_development_sites_show_single_visits_whatever_the_others_are_set_to(tmp_path: Path) -> None:
    sites = read(tmp_path, "[privacy]\nk = 9\n" + site() + site(domain="a.test") + site("k = 5", "localhost")).sites
    assert {name: (site.k, site.level, site.is_development) for name, site in sites.items()} == {
        "example.com": (9, "rounded", False),
        "a.test": (1, "exact", True),
        "localhost": (5, "exact", True),
    }


@pytest.mark.parametrize("domain", ["localhost.example", "test", "atest", "a.test.example"])
def test_names_that_only_resemble_development_sites_keep_the_k_rule(tmp_path: Path, domain: str) -> None:
    assert len(faults_of(tmp_path, site("k = 1", domain))) == 1


def test_k_of_2_is_refused_with_the_reason(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, site("k = 2"))
    assert "with 2, who sends from one network sees one more person come" in fault
    assert read(tmp_path, site("k = 2", "shop.test")).sites["shop.test"].k == 2


def test_level_dp_arrives_with_its_defaults_and_settings_and_crosses_nothing(tmp_path: Path) -> None:
    usual = read(tmp_path, NOISY + site() + site(domain="localhost"))
    assert usual.privacy.noise == Noise(1.0, 1e-7, ("page", "country"))
    assert (usual.sites["example.com"].level, usual.sites["example.com"].crosses) == ("dp", ())
    assert (usual.sites["localhost"].level, usual.sites["localhost"].k) == ("exact", 1)
    assert (usual.privacy.live_view, read(tmp_path, site()).privacy.live_view) == (False, True)
    of_one_site = '[privacy]\nlive_view = false\nepsilon = 2\ndelta = 1e-6\ndp_dimensions = ["os"]\n'
    other = read(tmp_path, of_one_site + site('level = "dp"') + site(domain="b.example"))
    assert other.privacy.noise == Noise(2.0, 1e-6, ("os",))
    assert other.sites["b.example"].level == "rounded"


def test_what_contradicts_level_dp_is_refused_all_at_once(tmp_path: Path) -> None:
    declared = """
        seal_every = "week"
        crosses = ["page", "country"]
        loyalty = true
        properties = ["plan"]
        [[site.goal]]
        name = "Order"
        page = "/thanks"
        [[site.funnel]]
        name = "Buy"
        steps = ["/cart", "/thanks"]
        [[site.experiment]]
        name = "button"
        variants = ["blue", "green"]
    """
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, '[privacy]\nlevel = "dp"\n' + site(declared))
    of_site = ("seal_every", "crosses", "loyalty", "properties", "goal", "funnel", "experiment")
    assert refused.value.faults == (
        *(f'site[example.com].{name}: must be left out where level is "dp"' for name in of_site),
        'privacy.live_view: must be false where level is "dp"; set privacy.live_view = false',
    )
    with pytest.raises(SettingsError, match=r"privacy\.live_view"):
        read(tmp_path, site('level = "dp"'))
    with pytest.raises(SettingsError) as idle:
        read(tmp_path, '[privacy]\nepsilon = 1\ndelta = 1e-6\ndp_dimensions = ["page"]\n' + site())
    assert [fault.split(":")[0] for fault in idle.value.faults] == [
        f"privacy.{name}" for name in ("epsilon", "delta", "dp_dimensions")
    ]


@pytest.mark.parametrize("key_dir", ["data", "data/keys", "data/../data/x", "link/keys", "spools/keys"])
def test_keys_never_lie_where_data_lies(tmp_path: Path, key_dir: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    toml = f'[collector]\nspool_dir = "spools"\n[privacy]\nkey_dir = "{key_dir}"'
    (fault,) = faults_of(tmp_path, toml)
    assert fault.startswith("privacy.key_dir: ")


def test_two_data_folders_have_two_default_key_folders_and_one_has_always_the_same(tmp_path: Path) -> None:
    first, again, second = (load(None, tmp_path / name, {}).privacy.key_dir for name in ("a", "a", "b"))
    assert first == again != second


@pytest.mark.parametrize(
    ("public", "internal"), [("127.0.0.1:80", "127.0.0.1:80"), ("0.0.0.0:80", "127.0.0.1:80"), ("[::1]:80", "[::]:80")]
)
def test_the_internal_side_cannot_share_the_public_port(tmp_path: Path, public: str, internal: str) -> None:
    variables = {"FOOTFALL_COLLECTOR__LISTEN": public, "FOOTFALL_DASHBOARDS__LISTEN": internal}
    (fault,) = faults_of(tmp_path, "", **variables)
    assert fault.startswith("dashboards.listen: ")


def test_two_addresses_of_one_machine_may_have_the_same_port(tmp_path: Path) -> None:
    toml = '[collector]\nlisten = "192.0.2.1:80"\n[dashboards]\nlisten = "127.0.0.1:80"'
    assert str(read(tmp_path, toml).collector.listen) == "192.0.2.1:80"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[collector\n", "is not TOML at line 1"),
        (f"[aggregator]\nstore = clickhouse://u:{PASSWORD}@h:1/db".encode(), "is not TOML at line 2"),
        (b'k = "\xff"', "is not UTF-8 at byte 5"),
        (b"[a]\n[a]\n", "is not TOML at line 2"),
    ],
)
def test_an_unreadable_file_is_one_clear_line(tmp_path: Path, content: bytes, told: str) -> None:
    config = tmp_path / "footfall.toml"
    config.write_bytes(content)
    with pytest.raises(SettingsError) as refusal:
        load(config, tmp_path / "data", {})
    (fault,) = refusal.value.faults
    assert told in fault
    assert str(config) in fault
    assert PASSWORD not in fault


def test_a_missing_file_and_a_folder_in_its_place_are_one_clear_line(tmp_path: Path) -> None:
    for config in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(SettingsError, match=r"cannot be read \(.+\); create it"):
            load(config, tmp_path / "data", {})


@pytest.mark.parametrize(
    "toml",
    [
        f'[aggregator]\nstore = "clickhouse://u:{PASSWORD}@h/db"',
        f'[aggregator]\nstore = "clickhouse://u:{PASSWORD}@h:port/db"',
        f'[aggregator]\nstore = "clickhouse://u:{PASSWORD}@[h:1/db"',
        f'[collector]\nlisten = "clickhouse://u:{PASSWORD}@h:1/db"',
        f'[collector]\ntrusted_proxies = ["{PASSWORD}"]',
        f'[[site]]\ndomain = "{PASSWORD}@"',
    ],
)
def test_a_password_on_whatever_line_is_in_no_error(tmp_path: Path, toml: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(tmp_path, toml)
    error: BaseException | None = refusal.value
    while error is not None:
        assert PASSWORD not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_the_password_of_the_store_is_in_no_repr(tmp_path: Path) -> None:
    settings = read(tmp_path, f'[aggregator]\nstore = "clickhouse://u:{PASSWORD}@h:1/db"')
    assert PASSWORD not in f"{settings!r} {settings}"


@given(st.dictionaries(st.sampled_from(["listen", "workers", "trusted_proxies", "spool_dir", "x"]), st.text()))
def test_any_environment_is_settings_or_faults_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    environ = {f"FOOTFALL_COLLECTOR__{name.upper()}": text for name, text in values.items()}
    faults: tuple[str, ...] = ()
    try:
        load(None, tmp_path_factory.getbasetemp(), environ)
    except SettingsError as refusal:
        faults = refusal.faults or ("\n",)
    assert not any("\n" in fault for fault in faults)
