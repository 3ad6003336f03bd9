"""Ingest tokens: a server's permission to send a site's events, kept as a hash in the configuration file alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from collector.fault import Fault
from collector.folders import sync_folder

try:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import AoT
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
    document = _parsed(config)
    found = [table for table in document.get("site", []) if table.get("domain") == site]
    if not found:
        raise Fault(f"{config} has no [[site]] with domain = {site!r}; add it first")
    if any(token.get("name") == name for token in found[0].get("ingest_tokens", [])):
        raise Fault(f"{site} has an ingest token named {name} already; choose another name")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    tokens = found[0].setdefault("ingest_tokens", tomlkit.array())
    # As the file writes them already: [[site.ingest_tokens]], or in one list.
    entry = tomlkit.table() if isinstance(tokens, AoT) else tomlkit.inline_table()
    entry.update(
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "trusted_addresses": trusted_addresses}
    )
    tokens.append(entry)
    _replace(config, tomlkit.dumps(document))
    return token


def remove_ingest_tokens(config: Path, name: str) -> list[str]:
    """Takes the tokens called `name` out of `config`, whose comments are kept; returns the sites that had one."""
    document = _parsed(config)
    sites = []
    for table in document.get("site", []):
        tokens = table.get("ingest_tokens", [])
        named = [place for place, token in enumerate(tokens) if token.get("name") == name]
        for place in reversed(named):
            del tokens[place]
        if named:
            sites.append(str(table["domain"]))
    if sites:
        _replace(config, tomlkit.dumps(document))
    return sites


def _parsed(config: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(config.read_text(encoding="utf-8"))
    except (TOMLKitError, UnicodeDecodeError, OSError) as error:
        raise Fault(f"cannot read {config}: {error}") from error


def _replace(config: Path, text: str) -> None:
    """Whole or not at all: written beside, synced, then renamed over. Nobody else may read the draft: the store's
    password may be in it."""
    file = config.resolve()
    draft = file.with_name(file.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.chmod(file.stat().st_mode & 0o777)
    draft.replace(file)
    sync_folder(file.parent)
