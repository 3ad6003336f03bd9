"""P10: repeating a query gains nothing: whatever equivalent way a number is asked for, it is one number.

The attacker asks for the views of one page on one sealed day, over JSON and over SQL, in ways that differ in
everything but the meaning. Noise drawn anew for each query would average out; the weakened view draws it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from tests.aggregator.simulate import Crowd
from tests.attacks.laboratory import BERLIN, DAY, Laboratory
from tests.attacks.reader import Reader, reading
from tests.attacks.verdict import Count, Verdict

SITE, PAGE = "example.com", "/blog/"
NOISY = """
CREATE OR REPLACE VIEW breakdown AS
SELECT day, site, dimension, parent, value, visitors, visits, toUInt32(greatest(0, views + rand64() % 11 - 5)) AS views,
    events, bounces, engaged_s
FROM breakdown_rows
WHERE seal IN (SELECT seal FROM committed_seals)
"""


def attack(laboratory: Laboratory, queries: int, weak_queries: int) -> Verdict:
    """Half of the queries over JSON, half over SQL; successes are answers beside the first one."""
    with laboratory.scene() as scene:
        scene.plant(Crowd(DAY, BERLIN, SITE, 300).rows())
        scene.seal({SITE: 5})
        with reading(scene, {SITE: 5}) as reader:
            answers = _answers(reader, queries)
            scene.store.command(NOISY)
            noisy = _answers(reader, weak_queries)
    return Verdict(
        "P10",
        "equivalent queries over JSON and SQL for one number",
        queries,
        len(answers) - 1,
        weakened=[Count("noise drawn for each query: further answers", weak_queries, len(noisy) - 1)],
        remarks=[f"{queries:,} queries, {len(answers)} answer(s)"],
    )


def _answers(reader: Reader, queries: int) -> set[int]:
    chance = random.Random(10)
    api, statements = _api_queries(chance), _statements(chance)
    answers = {_views(reader.api(next(api))) for _ in range(queries // 2)}
    for _ in range(queries - queries // 2):
        ((number,),) = reader.sql(next(statements))
        assert isinstance(number, int)
        answers.add(number)
    return answers


def _views(answer: dict[str, object]) -> int:
    values = answer["values"]
    assert isinstance(values, list)
    found = [cell["views"] for cell in values if cell["value"] == PAGE]
    assert found, "the page is not among the values"
    return int(found[0])


def _api_queries(chance: random.Random) -> Iterator[str]:
    """Other orders of the fields, other limits, other first days before the one that has numbers."""
    while True:
        fields = [
            f"site={SITE}",
            f"from={DAY.fromordinal(DAY.toordinal() - chance.randrange(0, 300))}",
            f"to={DAY}",
            "dimension=page",
            f"limit={chance.randrange(100, 2_001)}",
        ]
        chance.shuffle(fields)
        yield "&".join(fields)


def _statements(chance: random.Random) -> Iterator[str]:
    """Other conditions, aggregates and shapes around the one row."""
    aggregates = ("sum(views)", "max(views)", "min(views)", "any(views)", "toInt64(avg(views))", "sum(views) + 0")
    columns = ("views", "views, visitors", "*", "views, day, site")
    for number in itertools.count():
        conditions = [
            chance.choice((f"site = '{SITE}'", f"'{SITE}' = site", f"site LIKE '{SITE}'", f"site IN ('{SITE}')")),
            chance.choice(("dimension = 'page'", "dimension IN ('page')", "startsWith(dimension, 'page')")),
            chance.choice((f"value = '{PAGE}'", f"value IN ('{PAGE}')", f"lower(value) = '{PAGE}'")),
            chance.choice((f"day = '{DAY}'", f"day BETWEEN '{DAY}' AND '{DAY}'", "1 = 1", "visitors >= 0")),
            f"{number} = {number}",
        ]
        chance.shuffle(conditions)
        where = " AND ".join(conditions)
        inner = f"SELECT {chance.choice(columns)} FROM breakdown WHERE {where}"
        aggregate = chance.choice(aggregates)
        yield chance.choice(
            (
                f"SELECT {aggregate} FROM ({inner})",
                f"SELECT {aggregate} FROM breakdown WHERE {where}",
                f"WITH rows AS ({inner}) SELECT {aggregate} FROM rows",
            )
        )
