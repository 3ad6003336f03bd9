"""What the demo shop sells and tells: its pages exist for the shop that serves them and for the visits that see them.

All names, places and texts are made up. `PAGES` is in the order of what people like, the most liked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["green", "black", "oolong", "herbal"]
KINDS: tuple[Kind, ...] = ("green", "black", "oolong", "herbal")


@dataclass(frozen=True)
class Tea:
    """One tea. `price_cents` is for 100 g, `leaf` and `cup` are colours for its picture."""

    slug: str
    name: str
    kind: Kind
    price_cents: int
    celsius: int
    minutes: int
    taste: str
    story: str
    leaf: str
    cup: str

    @property
    def path(self) -> str:
        return f"/teas/{self.kind}/{self.slug}"

    @property
    def price(self) -> str:
        return f"€{self.price_cents / 100:.2f}"


@dataclass(frozen=True)
class Article:
    """One page of the journal; its `text` has paragraphs between empty lines."""

    slug: str
    title: str
    minutes: int
    text: str

    @property
    def paragraphs(self) -> list[str]:
        return [" ".join(paragraph.split()) for paragraph in self.text.split("\n\n")]

    @property
    def path(self) -> str:
        return f"/journal/{self.slug}"


TEAS = (
    Tea(
        *("misty-terrace-sencha", "Misty Terrace Sencha", "green", 1250, 75, 2),
        "Fresh peas, sea air, a sweet end",
        "Picked in the first two weeks of May, steamed within the hour, and rolled into dark needles.",
        *("#4f8a4b", "#d8e6a0"),
    ),
    Tea(
        *("hillside-assam", "Hillside Assam", "black", 890, 95, 4),
        "Malt, dark honey, toast",
        "A breakfast tea with shoulders. It takes milk, and it forgives you when you forget it.",
        *("#6b3a22", "#b5532a"),
    ),
    Tea(
        *("roasted-hojicha", "Roasted Hojicha", "green", 980, 90, 1),
        "Hazelnut, caramel, hardly any caffeine",
        "Green leaves and stems, roasted in small drums until the whole street smells of it.",
        *("#8a5a34", "#c98a4b"),
    ),
    Tea(
        *("first-flush-darjeeling", "First Flush Darjeeling", "black", 1690, 85, 3),
        "Muscat, apricot, spring grass",
        "The first leaves after winter, from gardens so steep that the pickers climb with ropes.",
        *("#7a7a3a", "#e0b45a"),
    ),
    Tea(
        *("iron-goddess-oolong", "Iron Goddess Oolong", "oolong", 1890, 95, 1),
        "Orchid, cream, a long echo",
        "Tight green pearls that open over seven infusions. The third is the best; drink them all.",
        *("#3f7f6a", "#d9cf7c"),
    ),
    Tea(
        *("garden-mint", "Garden Mint", "herbal", 590, 100, 6),
        "Cool, green, a little pepper",
        "Whole leaves, dried slowly in the shade. A pot of it ends an evening well.",
        *("#3c8f5c", "#cfe8c0"),
    ),
    Tea(
        *("amber-mountain-oolong", "Amber Mountain Oolong", "oolong", 1590, 90, 2),
        "Baked peach, cedar, honey",
        "Half-way between green and black, and roasted twice over charcoal of longan wood.",
        *("#8a4f22", "#d98a3a"),
    ),
    Tea(
        *("smoked-pine-souchong", "Smoked Pine Souchong", "black", 1120, 95, 3),
        "Camp fire, plum, leather",
        "Withered over smouldering pine. You will love it or you will air the kitchen.",
        *("#40302a", "#8f3f22"),
    ),
    Tea(
        *("jasmine-pearls", "Jasmine Pearls", "green", 1790, 80, 3),
        "White flowers, and nothing but leaf underneath",
        "Scented six nights in a row with fresh blossoms, which are taken out again each morning.",
        *("#5c9a7a", "#ece3a8"),
    ),
    Tea(
        *("red-bush-vanilla", "Red Bush and Vanilla", "herbal", 690, 100, 7),
        "Warm, round, without caffeine",
        "Rooibos from one valley, with real vanilla cut so fine that you find it only by its scent.",
        *("#a8452c", "#c8552c"),
    ),
    Tea(
        *("chamomile-meadow", "Chamomile Meadow", "herbal", 640, 100, 6),
        "Apple, hay, late summer",
        "Whole flowers. Broken ones taste of dust, so we sieve them out by hand.",
        *("#c9a42c", "#efd98a"),
    ),
    Tea(
        *("winter-gunpowder", "Winter Gunpowder", "green", 720, 75, 2),
        "Clear, a breath of smoke, brisk",
        "Small grey pellets that crackle when the water meets them. Good with mint, better with snow.",
        *("#5a6b52", "#cfd69a"),
    ),
)

ARTICLES = (
    Article(
        "how-hot-is-too-hot",
        "How hot is too hot?",
        4,
        """
        Most tea that tastes bitter is not bad tea. It is good tea that was scalded. Green leaves begin to give away
        their bitterness above 80 degrees, black ones hardly mind.

        You need no thermometer. Pour the boiling water from one cold cup into another: each pouring takes about ten
        degrees. Two cups for oolong, three for green.

        And if you forget it on the table: brew it again with the same leaves, and throw the first pot away. Nobody is
        counting.
        """,
    ),
    Article(
        "the-second-infusion",
        "The second infusion",
        3,
        """
        A leaf that was rolled by hand opens slowly. What the first cup takes is its scent; its body comes with the
        second, and with some oolongs the third.

        Use less water than you think and less time than you fear: thirty seconds are enough when the leaves are awake
        already.
        """,
    ),
    Article(
        "water-matters",
        "Water matters more than the pot",
        5,
        """
        Hard water makes a skin on black tea and a dull green of everything else. A plain filter jug helps more than the
        most beautiful pot.

        If your kettle is white inside, your tea is dull outside. A spoon of vinegar, once a month, is all it asks.

        Soft water has its own vanity: it makes tea so bright that you may want a little less leaf.
        """,
    ),
    Article(
        "keeping-tea",
        "Keeping tea",
        2,
        """
        Dark, dry, closed, and far from the spices. A tin is right, a glass on the window sill is a slow farewell.

        Green tea is best within half a year, black within two. A good oolong just goes on.
        """,
    ),
)

HOME = "/"
CART = "/cart"
THANKS = "/thanks"
GUIDE = "/downloads/brewing-guide.txt"
PAGES: tuple[str, ...] = (
    HOME,
    "/teas",
    TEAS[0].path,
    "/teas/green",
    TEAS[1].path,
    "/teas/black",
    TEAS[2].path,
    ARTICLES[0].path,
    "/teas/oolong",
    TEAS[3].path,
    "/journal",
    TEAS[4].path,
    "/teas/herbal",
    *(tea.path for tea in TEAS[5:8]),
    "/about",
    ARTICLES[1].path,
    *(tea.path for tea in TEAS[8:]),
    "/shipping",
    *(article.path for article in ARTICLES[2:]),
)


def tea_at(path: str) -> Tea | None:
    """The tea whose own page is `path`."""
    return next((tea for tea in TEAS if tea.path == path), None)
