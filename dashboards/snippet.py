"""What a newcomer copies: the line of HTML that loads the beacon, and a curl line that sends a first event."""

from __future__ import annotations

import html
import json

from collector.settings import Settings, Site

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def collector_url(settings: Settings) -> str:
    """Where the collector listens. Its public name, where a proxy gives it one, is known to nobody here."""
    return f"http://{settings.collector.listen}"


def script_tag(settings: Settings, site: Site) -> str:
    """For every page of `site`. On a development site consent is taken as given, so that something is seen."""
    attributes = {"src": f"{collector_url(settings)}/beacon.js", "data-site": site.domain}
    if site.policy_version is not None:
        attributes["data-policy"] = site.policy_version
    if site.is_development:
        attributes["data-consent"] = "granted"
    told = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<script defer {told}></script>"


def curl_line(settings: Settings, site: Site) -> str:
    """One page view as a browser would send it, for a shell."""
    event = {"n": "pageview", "u": f"http://{site.domain}/", "d": site.domain, "c": "1"}
    if site.policy_version is not None:
        event["v"] = site.policy_version
    # Within single quotes a shell takes everything but a single quote as it stands.
    body = json.dumps(event).replace("'", "'\\''")
    return f"curl -i {collector_url(settings)}/api/event -A '{FIREFOX}' -d '{body}'"
