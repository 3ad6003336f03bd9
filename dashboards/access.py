"""Who may read: the API tokens of `people.sqlite`, which the dashboards own and nothing of which is in the store.

Invariants:
- A token is 256 random bits, shown once. What is kept is its SHA-256: nobody can try 2^256 tokens, so that a slow hash,
  which passwords need because people choose them, would only slow every request down.
- A removed token is refused from the next request on, by every process, and stays removed after a crash, for which
  commits are synced (`synchronous=FULL`).
- The file is readable by its owner alone, from its first byte on.
- A token made for one site reads no other.

Several processes may have the file open: `footfall token` beside the running dashboards.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from collector.fault import Fault

Role = Literal["viewer", "analyst", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

# Tells a secret scanner and a reader whose token it is.
TOKEN_PREFIX = "footfall_"  # noqa: S105  no secret
TOKEN_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@ -]{0,63}")
# A writer holds the file for milliseconds; who waits longer than this meets a broken disk.
BUSY_TIMEOUT_S = 5.0
DEVELOPMENT_NAME = "development"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
    site TEXT,
    created_at TEXT NOT NULL
) STRICT
"""


class AccessFault(Fault):
    """What was asked of the people file cannot be done; the text is one line that says why."""


@dataclass(frozen=True)
class Access:
    """What the bearer of a token may do; `site` None stands for every site."""

    name: str
    role: Role
    site: str | None

    def may_read(self, site: str) -> bool:
        """Whether the trends of `site` are open to this bearer."""
        return self.site is None or self.site == site


class People:
    """`people.sqlite` in the data folder, made at first use. Raises `AccessFault` where a newer Footfall wrote it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file = data / "people.sqlite"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.touch(mode=0o600)
        self._file.chmod(0o600)
        with self._transaction() as people:
            people.execute("PRAGMA journal_mode = WAL")
            (version,) = people.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise AccessFault(f"{self._file}: was written by a newer Footfall; install that one")
            people.execute(SCHEMA)
            people.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def add_token(self, name: str, role: str, site: str | None = None) -> str:
        """A new token, told here once and never again. Raises `AccessFault` for a name taken, another form or role."""
        if not NAME.fullmatch(name):
            raise AccessFault("a token's name must be 1 to 64 letters, digits, spaces and _.@-; choose another")
        if role not in ROLES:
            raise AccessFault(f"a token's role must be one of {', '.join(ROLES)}; choose one")
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        row = (name, _digest(token), role, site, datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            with self._transaction() as people:
                people.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise AccessFault("a token of this name exists; remove it first, or choose another name") from None
        return token

    def list_tokens(self) -> tuple[Access, ...]:
        """Every token's name, role and site, by name."""
        with self._transaction() as people:
            rows = people.execute("SELECT name, role, site FROM tokens ORDER BY name").fetchall()
        return tuple(Access(name, role, site) for name, role, site in rows)

    def remove_token(self, name: str) -> bool:
        """Refuses the token `name` from now on; False where there is none."""
        with self._transaction() as people:
            return people.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount == 1

    def authorised(self, bearer: str) -> Access | None:
        """What `bearer` may do, or None. Compares in constant time with every token, the matching one or not."""
        digest = _digest(bearer)
        with self._transaction() as people:
            rows = people.execute("SELECT sha256, name, role, site FROM tokens").fetchall()
        found = [Access(*row) for sha256, *row in rows if hmac.compare_digest(sha256, digest)]
        return found[0] if found else None

    def development_token(self, site: str) -> str:
        """A viewer's token for the development site `site`, the same at every start, also in `run/viewer-token`.

        A newcomer's first question must not fail because the line that showed the token has scrolled away. Keeping this
        one in plain text, mode 0600, gives nothing away: it reads a development site alone, and who can read the file
        can read that site's trends beside it. Installations without a development site have neither file nor token.
        """
        file = self._data / "run" / "viewer-token"
        kept = file.read_text().strip() if file.is_file() else ""
        if self.authorised(kept) == Access(DEVELOPMENT_NAME, "viewer", site):
            return kept
        self.remove_token(DEVELOPMENT_NAME)
        token = self.add_token(DEVELOPMENT_NAME, "viewer", site)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(file, token + "\n")
        return token

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection for this alone (0.1 ms): requests come from many threads, removals from other processes."""
        people = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S)
        try:
            people.execute("PRAGMA synchronous = FULL")
            with people:
                yield people
        finally:
            people.close()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _write_private(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    fresh.replace(file)
