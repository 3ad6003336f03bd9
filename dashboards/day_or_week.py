"""What the pages say of a day, or of a week where a site is sealed by weeks."""

from __future__ import annotations

from collections.abc import Mapping

from collector.days import Every
from dashboards.words import marked

Sentence = Mapping[Every, str]

SO_FAR: Sentence = {"day": marked("Today, so far"), "week": marked("This week, so far")}
NOT_SHOWN: Sentence = {
    "day": marked("Today is not shown: here a day has numbers once it is sealed."),
    "week": marked("This week is not shown: here a week has numbers once it is sealed."),
}
STARTS_AGAIN: Sentence = {"day": marked("It starts again at midnight."), "week": marked("It starts again on Monday.")}
SEALED_FROM: Sentence = {
    "day": marked("The day is sealed from %(time)s on, and joins the other days then."),
    "week": marked("The week is sealed on Monday from %(time)s on, and joins the other weeks then."),
}
NOTHING_SEALED: Sentence = {
    "day": marked("Nothing is sealed yet. A day is sealed from %(time)s (%(timezone)s) on, when it is over."),
    "week": marked(
        "Nothing is sealed yet. A week is sealed on Monday from %(time)s (%(timezone)s) on, when it is over."
    ),
}
ADDED_UP: Sentence = {"day": marked("each day's, added up"), "week": marked("each week's, added up")}
ROUNDED: Sentence = {
    "day": marked(
        "Each day's numbers are rounded down to multiples of %(k)s, so lists and totals need not add up exactly."
    ),
    "week": marked(
        "Each week's numbers are rounded down to multiples of %(k)s, so lists and totals need not add up exactly."
    ),
}
TOLD_APART: Sentence = {
    "day": marked(
        "Visitors are told apart within one day only. Over several days each day's visitors are added up: who came on"
        " two days counts twice."
    ),
    "week": marked(
        "Visitors are told apart within one week only. Over several weeks each week's visitors are added up: who came"
        " in two weeks counts twice."
    ),
}
SAMPLED: Sentence = {
    "day": marked("These lists are counted from one network in %(sample)s, because today is large."),
    "week": marked("These lists are counted from one network in %(sample)s, because this week is large."),
}
VISITORS_ON: Sentence = {"day": marked("visitors on %(day)s"), "week": marked("visitors in the week from %(day)s on")}
OPEN: Sentence = {"day": marked("today, not sealed yet"), "week": marked("this week, not sealed yet")}
BY: Sentence = {"day": marked("Visitors by day"), "week": marked("Visitors by week")}
BEFORE: Sentence = {"day": marked("The days before"), "week": marked("The weeks before")}
NOT_SEALED_BEFORE: Sentence = {
    "day": marked("Days of these that are not sealed: %(number)s."),
    "week": marked("Weeks of these that are not sealed: %(number)s."),
}
