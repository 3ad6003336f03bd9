"""Events as the spool would hand them over: JSONEachRow lines of about 500 bytes."""

from __future__ import annotations

import orjson

DAY = "2026-03-04"
TIMEZONE = "Europe/Berlin"


def event(batch: int, position: int, **changes: object) -> dict[str, object]:
    """One event; `changes` replace its fields."""
    fields: dict[str, object] = {
        "day": DAY,
        "timezone": TIMEZONE,
        "site": "example.com",
        "at": f"{DAY} {position % 24:02}:{position % 60:02}:{position % 59:02}.{position % 1000:03}",
        "batch": batch,
        "position": position,
        "generation": 0xFEED_FACE_CAFE_BEEF,
        "visitor": (position // 7 * 0x9E37_79B9_7F4A_7C15) % 2**64,
        "network": (position // 9 * 0xC2B2_AE3D_27D4_EB4F) % 2**64,
        "kind": "view",
        "name": "",
        "hostname": "example.com",
        "path": f"/shelf/{position % 977}/article",
        "source": "example.org",
        "channel": "search",
        "campaign": "",
        "country": "DE",
        "browser": "Firefox",
        "browser_version": "130",
        "os": "Windows",
        "os_version": "11",
        "device": "desktop",
        "screen": "large",
        "language": "de",
        "properties": {},
        "engaged_ms": 0,
        "scroll": 0,
    }
    return fields | changes


def event_lines(batch: int, count: int, **changes: object) -> bytes:
    """`count` events of one batch."""
    return b"".join(orjson.dumps(event(batch, position, **changes)) + b"\n" for position in range(count))
