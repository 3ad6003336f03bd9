"""Whether somebody is new, as counted by the device: weekly and monthly visitors without any id.

Where a site switches it on (`loyalty = true` and `data-loyalty` on the script), a browser keeps, after consent, the
day of its last visit and nothing else. With the first view of a day it says one word of four, by its own calendar,
the widest that holds: `first` (no day was kept), `month` (none this month), `week` (none this week, which begins on
Monday), `day` (none today). Later views of the day say nothing. So of a day's visitors those who said a word are
counted once each; the visitors of a month are the sum of `first` and `month` over its days, those of a week that of
`first`, `month` and `week` (in the week of the month's first day, who came both before and after it counts twice).

What a server can learn from it. The day itself never leaves the device. A word is the same for all of whom it holds,
carries no more than two bits, and stands beside the pseudonym of one day, whose key is destroyed with the day: there
is nothing by which the words of two days could be known for one person's. A sealed day says how many said each word,
under the k rule and rounded like every other group. What remains, while a day is open and for whoever reads the store
against all rules, is that the visitor behind a pseudonym was or was not here before this day, week or month; not
when, how often or as whom. A word can be forged, as a view can: it moves a count, no more.

Opting out, withdrawing consent, and a signal of refusal each delete the day on the device (`beacon/footfall.js`), so a
later visit with consent is a first one. Cleared or separate browsers are first ones, too: the counts are of devices.
"""

from __future__ import annotations

LOYALTIES = ("first", "month", "week", "day")
"""The words, in the order in which the first that holds is told."""

STORED_AS = "footfall_day"
"""The name under which the browser keeps the day, in the local storage of the site's own origin."""
