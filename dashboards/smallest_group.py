"""What the pages say of k: how many networks make a group that shows, or visitors where a site counts those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from collector.days import Every
from collector.settings import Distinct, Site
from dashboards.words import Words, marked

# With noise it is visitors that are counted, and which of what is said at "network" cannot be there is left out.
Sentence = Mapping[Distinct | Literal["noise"], str]

FEWER: Sentence = {
    "network": marked("fewer than %(k)s networks"),
    "visitor": marked("fewer than %(k)s visitors"),
    "noise": marked("fewer than %(k)s visitors, noise included"),
}
FEWER_SO_FAR: Sentence = {
    "network": marked("Fewer than %(k)s networks so far."),
    "visitor": marked("Fewer than %(k)s visitors so far."),
}
FEWER_EACH: Mapping[Every, Sentence] = {
    "day": {
        "network": marked("Fewer than %(k)s networks came on each day, so there is no number to show."),
        "visitor": marked("Fewer than %(k)s visitors came on each day, so there is no number to show."),
        "noise": marked("Each day's visitors were fewer than %(k)s, noise included, so there is no number to show."),
    },
    "week": {
        "network": marked("Fewer than %(k)s networks came in each week, so there is no number to show."),
        "visitor": marked("Fewer than %(k)s visitors came in each week, so there is no number to show."),
    },
}
SHOWS_FROM: Sentence = {
    "network": marked("Numbers show from %(k)s networks on, so that nobody's single visit can be seen."),
    "visitor": marked("Numbers show from %(k)s visitors on, so that nobody's single visit can be seen."),
    "noise": marked("Numbers show once a day is sealed, with noise, so that nobody's single visit can be seen."),
}
STEPS: Sentence = {
    "network": marked("It moves in steps of %(k)s networks, so that no single visit shows."),
    "visitor": marked("It moves in steps of %(k)s visitors, so that no single visit shows."),
}
SPANS: Sentence = {
    "network": marked("Visitors per hour, in spans of enough networks"),
    "visitor": marked("Visitors per hour, in spans of enough visitors"),
}
SHARED: Mapping[Every, Sentence] = {
    "day": {
        "network": marked(
            "A value shows only if people from at least %(k)s networks share it on a day. A network is about a"
            " household or an office, so that nobody stands alone."
        ),
        "visitor": marked(
            "A value shows only if at least %(k)s visitors share it on a day. A visitor is a browser in a network: who"
            " uses two counts twice."
        ),
        "noise": marked(
            "A value shows only if its visitors, noise included, are more than noise alone makes of a single one. A"
            " visitor is a browser in a network: who uses two counts twice."
        ),
    },
    "week": {
        "network": marked(
            "A value shows only if people from at least %(k)s networks share it in a week. A network is about a"
            " household or an office, so that nobody stands alone."
        ),
        "visitor": marked(
            "A value shows only if at least %(k)s visitors share it in a week. A visitor is a browser in a network: who"
            " uses two counts twice."
        ),
    },
}


def of_group(words: Words, site: Site, sentence: Sentence) -> str:
    """The sentence for what this site counts, with its k where it has a place for it."""
    of_noise = sentence.get("noise") if site.level == "dp" else None
    return words.say(of_noise or sentence[site.distinct], k=words.number(site.k))
