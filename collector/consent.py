"""Consent, fail closed: a refusal anywhere wins, and without a grant from an enabled source there is none.

Comes right after the site is known: before it nothing of a hit is looked at, and after a refusal
nothing is derived, hashed or written; one counter goes up (P2).

Refusals: Global Privacy Control (`Sec-GPC: 1`, https://w3c.github.io/gpc/), Do Not Track (`DNT: 1`,
https://www.w3.org/TR/tracking-dnt/, can be switched off per site), the opt-out cookie, an explicit 0.
A grant must be one of the exact forms below: what cannot be read is no consent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collector.settings import Site

OPT_OUT_COOKIE = b"footfall_optout"
# Any mention but an explicit 0: without a value, damaged, or in a list that a proxy joined with commas.
_OPTED_OUT = re.compile(rb"(?:^|[;,])\s*footfall_optout(?:\s*$|\s*[;,]|\s*=(?!\s*\"?0\"?\s*(?:[;,]|$)))")

# 1 == True and 0 == False: JSON's own words are among them.
ANSWERS: dict[object, bool] = {1: True, "1": True, "true": True, 0: False, "0": False, "false": False}


def refusal_of(site: Site, headers: Mapping[bytes, bytes], consent: object, policy_version: str | None) -> str | None:
    """Why this hit must not be counted, or None with consent.

    "gpc", "dnt", "opted_out", "refused", "policy_version" or "no_consent".
    `consent` is the value of the `c` field as sent (None where absent); `policy_version` that of `v`.
    """
    gpc = headers.get(b"sec-gpc")
    if gpc is not None and gpc.strip() != b"0":
        return "gpc"
    if site.consent.respect_dnt and (b"1" in headers.get(b"dnt", b"") or b"1" in headers.get(b"x-do-not-track", b"")):
        return "dnt"
    if has_opted_out(headers.get(b"cookie", b"")):
        return "opted_out"
    return _missing_grant(site, consent, policy_version)


def has_opted_out(cookies: bytes) -> bool:
    """Whether a Cookie header carries the opt-out: anything but an explicit 0 counts, so a damaged one does too."""
    return bool(cookies) and _OPTED_OUT.search(cookies) is not None


def _missing_grant(site: Site, consent: object, policy_version: str | None) -> str | None:
    answer = site.consent.assumed if consent is None else _answer_of(consent)
    if answer is False and consent is not None:
        return "refused"
    if not answer or not (site.consent.field or site.consent.assumed):
        return "no_consent"
    if site.policy_version is not None and policy_version != site.policy_version:
        return "policy_version"
    return None


def _answer_of(consent: object) -> bool | None:
    """True for a grant, False for a refusal, None for what says neither: an unknown form is never a grant."""
    if not isinstance(consent, (int, str)):  # 1.0 == 1 in Python, but no client of ours says 1.0.
        return None
    return ANSWERS.get(consent)
