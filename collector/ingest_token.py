"""Ingest tokens: a server's permission to send a site's events, kept as a hash in the configuration file alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from collector.fault import Fault

try:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
except ImportError:
    raise Fault("writing into footfall.toml needs tomlkit; install footfall[serve]") from None

PREFIX = "footfall_ingest_"
TOKEN_BYTES = 32


def add_ingest_token(config: Path, name: str, site: str | None, *, trusted_addresses: bool) -> str:
    """A new token for `site`, told here once; its SHA-256 goes into `config`, whose comments and order are kept.

    A random 256-bit token needs no slow hash: nobody can try them all.
    """
    if site is None:
        raise Fault("an ingest token is for one site; name it with --site")
    if not config.exists():
        raise Fault(
            f"there is no configuration file {config} to keep the token's hash in; write one with the site {site} first"
        )
    try:
        document = tomlkit.parse(config.read_text())
    except (TOMLKitError, UnicodeDecodeError, OSError) as error:
        raise Fault(f"cannot read {config}: {error}") from error
    found = [table for table in document.get("site", []) if table.get("domain") == site]
    if not found:
        raise Fault(f"{config} has no [[site]] with domain = {site!r}; add it first")
    if any(token.get("name") == name for token in found[0].get("ingest_tokens", [])):
        raise Fault(f"{site} has an ingest token named {name} already; choose another name")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    entry = tomlkit.inline_table()
    entry.update(
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "trusted_addresses": trusted_addresses}
    )
    found[0].setdefault("ingest_tokens", tomlkit.array()).append(entry)
    _replace(config, tomlkit.dumps(document))
    return token


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: written beside, synced, then renamed over."""
    draft = file.with_name(file.name + ".draft")
    with draft.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.chmod(file.stat().st_mode & 0o777)
    draft.replace(file)
