"""The sites of level `dp` in a day that is sealed: which these are, what is written of them, what is kept meanwhile.

For `seal`, which writes all other sites by `rollup` and `crosses`. What draws and counts (`noisy_trends`, `noise`) is
imported where such a site is sealed: it needs a library that others have not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aggregator.decisions import Decisions
from aggregator.draw import Draws, Terms
from aggregator.rollup import Period, Reading, SiteRules, rules_of
from aggregator.store import Store
from collector.clock import Clock
from collector.fault import Fault
from collector.settings import Settings
from collector.zones import Zones, zone_of


class NoiseMissing(Fault):
    """The library that draws noise is not installed."""


def require_noise(settings: Settings) -> None:
    """Raises `NoiseMissing` where a site has level dp, and noise cannot be drawn."""
    if settings.privacy.level != "dp" and all(site.level != "dp" for site in settings.sites.values()):
        return
    try:
        import opendp  # noqa: F401  that it is there is all that is asked
    except ImportError as error:
        raise NoiseMissing(
            'level "dp" needs OpenDP, which is not installed: run `pip install "footfall[dp]"`, or set another level'
        ) from error


class NoisySites:
    """`step` hears when a draw is kept."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, step: Callable[[str], None]) -> None:
        self._store, self._settings, self._step = store, settings, step
        self._draws = Draws(settings.privacy.key_dir, clock)
        self._zones = Zones(settings.collector.spool_dir)

    def rules_of(self, period: Period, reading: Reading) -> dict[str, SiteRules]:
        """The rules of each such site that is configured, whether anybody came or not: either would tell.

        So a site that vanished from the configuration is not published. One that is counted in another time zone as far
        as this machine knows is, if anybody came: that is the day on which several machines learn of a changed zone.
        """
        configured = {site.domain: site for site in self._settings.sites.values() if site.level == "dp"}
        due = [
            domain
            for domain, site in sorted(configured.items())
            if domain in reading.spans or zone_of(self._zones.terms(site), period.day) == period.timezone
        ]
        return {domain: rules_of(self._settings, domain, period.day) for domain in due}

    def write(self, period: Period, seal: int, events: int, of_sites: Mapping[str, SiteRules]) -> dict[str, float]:
        """Writes what is published of these sites, and returns what it cost: 0 where there are none.

        `events` are those of the whole day. Raises `DrawNotKept` and what the store raises.
        """
        if not of_sites:
            return {"epsilon": 0.0, "delta": 0.0}
        from aggregator import noisy_trends

        terms = Terms(events, tuple((site, rules.k) for site, rules in of_sites.items()), self._settings.privacy.noise)
        draw = noisy_trends.published(self._store, period, seal, terms, self._draws)
        self._step("drawn")
        kept_until = {site: rules.keep_until for site, rules in of_sites.items()}
        noisy_trends.write(self._store, period, seal, draw, kept_until)
        return {"epsilon": draw.epsilon, "delta": draw.delta}

    def forget(self, period: Period) -> None:
        """The day is committed or given up: its draw goes."""
        self._draws.destroy(period)

    def clear(self, decisions: Decisions) -> None:
        """Draws go that nobody needs: of days that another sealer has committed, and those past the fail-safe."""
        for period in self._draws.periods():
            if decisions.committed(period) is not None:
                self._draws.destroy(period)
        self._draws.destroy_overdue()
