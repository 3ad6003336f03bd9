"""Why requests are not counted, in words: what the collector's reasons mean, and what whoever tries a site can do.

The reasons themselves come from collector/consent.py, collector/refuse.py and collector/pipeline.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.dimensions import OTHER
from dashboards.words import Words, marked


@dataclass(frozen=True)
class Reason:
    """`name` in a list, `sentence` about one request, `advice` for somebody who wonders why nothing comes."""

    name: str
    sentence: str
    advice: str


REASONS = {
    "no_consent": Reason(
        marked("No consent was given"),
        marked("It carried no consent to analytics."),
        marked(
            "The beacon sends nothing before your banner calls footfall.consent(true). Whoever sends events otherwise"
            ' adds "c": "1" once the visitor has agreed.'
        ),
    ),
    "refused": Reason(
        marked("The visitor said no"),
        marked('It said no to analytics ("c": "0").'),
        marked("That is respected. To try it out, agree in your own browser."),
    ),
    "gpc": Reason(
        marked("Global Privacy Control"),
        marked("The browser sent Sec-GPC: 1, which is an objection and wins over any consent."),
        marked("To try it out, use a browser without Global Privacy Control."),
    ),
    "dnt": Reason(
        marked("Do Not Track"),
        marked("The browser sent DNT: 1, which this site respects."),
        marked("Use a browser without Do Not Track, or set respect_dnt = false in the site's consent."),
    ),
    "opted_out": Reason(
        marked("Opted out"),
        marked("This browser has opted out: it carries the cookie footfall_optout."),
        marked("Delete that cookie in your own browser to be counted again."),
    ),
    "policy_version": Reason(
        marked("Consent to an older policy"),
        marked("Its consent was given to another version of your policy, or did not say to which."),
        marked('Send the site\'s policy_version: data-policy="…" on the script, or "v" in the event.'),
    ),
    "prefetch": Reason(
        marked("Fetched ahead, not looked at"),
        marked("The browser fetched the page ahead of time; nobody was looking at it."),
        marked("It counts once somebody opens the page."),
    ),
    "bot": Reason(
        marked("Bots"),
        marked("Its User-Agent says that it is a bot or a tool; curl is one, unless it is called with -A."),
        marked("Try with a browser, or with the curl line below as it stands."),
    ),
    "no_user_agent": Reason(
        marked("No User-Agent"),
        marked("It had no User-Agent, which every browser sends."),
        marked("A server that passes visits on sends the visitor's: to /api/events, as ua."),
    ),
    "absurd_user_agent": Reason(
        marked("Made-up User-Agents"),
        marked("Its User-Agent is one that no browser sends."),
        marked("Try with a browser."),
    ),
    "foreign_page": Reason(
        marked("Pages of another host"),
        marked("This is a development site: it takes only pages whose own host is localhost or ends in .test."),
        marked("Open the page there, or configure a real site for its domain."),
    ),
    OTHER: Reason(marked("Rare reasons"), "", ""),
}
MALFORMED = Reason(
    "",
    marked("It was malformed."),
    marked("The answer to it names the field and its limit: see the network tab of your browser, or curl -i."),
)


def reason_of(outcome: str, reason: str) -> Reason:
    """The words for a request that was not accepted; a reason that is new here stands for itself."""
    if outcome == "invalid":
        return MALFORMED
    return REASONS.get(reason, Reason(reason, reason, ""))


def name_in_list(words: Words, outcome: str, reason: str) -> str:
    """How a line of the coverage list is called."""
    if outcome == "accepted":
        return words.say(marked("Counted"))
    name = reason_of(outcome, reason).name
    return words.say(name) if name else words.say(marked("Malformed"))
