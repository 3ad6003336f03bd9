"""Dimension values that look like identifiers, by the scrubber's own rules: what it would replace must not be there.

The evidence never repeats a value.
"""

from __future__ import annotations

from collections import Counter

from aggregator.audit.check import NO_IDENTIFIER, Installation, StoredCheck, Verdict, none_of
from collector.page import ADDRESS, EMAIL, TOKEN, scrubbed

MAX_VALUE_CHARS = 2_048
LOOKS_LIKE = {EMAIL: "an e-mail address", ADDRESS: "an IP address", TOKEN: "a token"}


def identifiers(installation: Installation) -> Verdict:
    """No value or parent in `breakdown_rows` or `cross_rows` is one that the scrubber would change.

    Crosses are there in both directions, so that one side of them has every value.
    """
    rows = installation.store.query(
        "SELECT site, dimension, text, min(day) FROM"
        " (SELECT site, dimension, parent, value, day FROM breakdown_rows UNION ALL"
        " SELECT DISTINCT site, dimension_a, parent_a, value_a, day FROM cross_rows)"
        " ARRAY JOIN [value, parent] AS text WHERE text != '' GROUP BY site, dimension, text"
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for site, dimension, text, _ in rows:
        found.update((site, dimension, kind) for kind in _kinds(text))
    return none_of(
        [
            f"{site}: {count} values of {dimension} look like {kind}"
            for (site, dimension, kind), count in sorted(found.items())
        ],
        f"{len(rows)} values, none of which the scrubber would change",
        "delete these rows; where they come from a page's address, change the site so that it holds no identifier",
    )


def _kinds(text: str) -> set[str]:
    cleaned = scrubbed(text, MAX_VALUE_CHARS)
    return {kind for mark, kind in LOOKS_LIKE.items() if cleaned.count(mark) > text.count(mark)}


CHECKS = (StoredCheck("values", NO_IDENTIFIER, identifiers),)
