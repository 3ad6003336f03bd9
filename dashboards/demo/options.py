"""What `footfall demo` may be told on its command line. Read by the command line itself, so it loads little.

The hidden options are those with which the demo starts its own two processes, the shop and the visitors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from collector.settings import Address

DEFAULT_DATA = Path("footfall-demo")
DEFAULT_SHOP = "127.0.0.1:8002"
PARTS = ("shop", "visitors")


def add_options(parser: argparse.ArgumentParser) -> None:
    """A data folder of its own, and no configuration file but the one that is written there."""
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="its folder, emptied at each start (default: ./%(default)s)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="the public side (default: 127.0.0.1:8000)")
    parser.add_argument("--dashboards", metavar="HOST:PORT", help="the internal side (default: 127.0.0.1:8001)")
    parser.add_argument(
        "--shop", type=_address, default=DEFAULT_SHOP, metavar="HOST:PORT", help="the shop (default: %(default)s)"
    )
    # The collector takes events up to 400 days old.
    parser.add_argument("--days", type=_whole(1, 365), default=30, help="days before today (default: %(default)s)")
    parser.add_argument(
        "--visits-per-day", type=_whole(1, 20_000), default=1_500, help="on average (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same month (default: %(default)s)")
    parser.add_argument("--verbose", dest="quiet", action="store_false", help="log more than warnings and errors")
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", default=True, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)


def month_arguments(options: argparse.Namespace, started: float) -> Sequence[str]:
    """The month of `options` as the visitors are told it, ending at `started` however often they are started again."""
    return (
        f"--days={options.days}",
        f"--visits-per-day={options.visits_per_day}",
        f"--seed={options.seed}",
        f"--started={started}",
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not 1 <= int(port) <= 65_535:
        raise ValueError
    return Address(host.strip("[]"), int(port))


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:,} to {most:,}")
        return int(text)

    return number
