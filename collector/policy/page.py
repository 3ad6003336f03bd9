"""The facts as a page: one template, the sentences of a language, and what may be said of the reader's own opt-out.

A page is the same for everyone who asks for the same `View`, so each is rendered once while the settings stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from collector.loyalty import STORED_AS
from collector.noise import VALUES, VIEWS, VISITS
from collector.policy.collected import NEVER, kept_of_open_day
from collector.policy.facts import OPT_OUT_DAYS, Policy
from collector.policy.opt_out import NAME, Standing
from collector.policy.sentences import Language

FOLDER = Path(__file__).parent
STYLE = FOLDER / "privacy.css"
# A site has some dozen views that are asked for; 256 pages are 5 MB.
PAGES_KEPT = 256


@dataclass(frozen=True)
class View:
    """What decides a page: the site and language, the cookie's `scope` (`opt_out.scope_of`) and the reader's standing;
    `signal` is "gpc" or "dnt" where the browser says no by itself, else ""."""

    site: str
    language: str
    scope: str | None
    standing: Standing
    signal: str


class Pages:
    """The pages of all sites in all languages."""

    def __init__(self, policies: Mapping[str, Policy], languages: Mapping[str, Language]) -> None:
        self._policies, self._languages = policies, languages
        environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._policy, self._ask = environment.get_template("policy.html"), environment.get_template("ask.html")
        self.policy = lru_cache(maxsize=PAGES_KEPT)(self._rendered)
        self.question = lru_cache(maxsize=PAGES_KEPT)(self._asking)

    def _rendered(self, view: View) -> bytes:
        """The policy of one site."""
        language, policy = self._languages[view.language], self._policies[view.site]
        return self._policy.render(
            view=view,
            policy=policy,
            collected=kept_of_open_day(policy.noise),
            most={"visits": VISITS, "views": VIEWS, **VALUES},
            never=NEVER,
            cookie=NAME,
            stored_as=STORED_AS,
            opt_out_days=OPT_OUT_DAYS,
            language=language,
            languages=self._languages.values(),
            say=language.say,
        ).encode()

    def _asking(self, language: str, is_unknown: bool) -> bytes:
        """Asks for a site's name, and lists none: an operator need not show which sites there are."""
        spoken = self._languages[language]
        return self._ask.render(
            language=spoken, languages=self._languages.values(), say=spoken.say, is_unknown=is_unknown
        ).encode()
