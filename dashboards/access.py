"""Who may read: the API tokens of `people.sqlite`, and its users (`users`).

A token made for one site reads no other. What is kept of one, and where, is told in `people_file`.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from collector.clock import Clock, SystemClock
from dashboards.people_file import SECRET_BYTES, AccessFault, PeopleFile, check_name, digest
from dashboards.role import ROLES, Access, Role
from dashboards.users import Users

__all__ = ["ROLES", "Access", "AccessFault", "People", "Role"]

# Tells a secret scanner and a reader whose token it is.
TOKEN_PREFIX = "footfall_"  # noqa: S105  no secret
DEVELOPMENT_NAME = "development"


class People:
    """Everybody who may read: API tokens here, users in `users`. Raises `AccessFault` where a newer Footfall wrote the
    file."""

    def __init__(self, data: Path, clock: Clock | None = None) -> None:
        self._data = data
        self._file = PeopleFile(data)
        self.users = Users(self._file, clock or SystemClock())

    def add_token(self, name: str, role: str, site: str | None = None) -> str:
        """A new token, told here once and never again. Raises `AccessFault` for a name taken, another form or role."""
        check_name("a token", name)
        if role not in ROLES:
            raise AccessFault(f"a token's role must be one of {', '.join(ROLES)}; choose one")
        token = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = (name, digest(token), role, site, datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            with self._file.transaction() as people:
                people.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise AccessFault("a token of this name exists; remove it first, or choose another name") from None
        return token

    def list_tokens(self) -> tuple[Access, ...]:
        """Every token's name, role and site, by name."""
        with self._file.transaction() as people:
            rows = people.execute("SELECT name, role, site FROM tokens ORDER BY name").fetchall()
        return tuple(Access(name, role, site) for name, role, site in rows)

    def remove_token(self, name: str) -> bool:
        """Refuses the token `name` from now on; False where there is none."""
        with self._file.transaction() as people:
            return people.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount == 1

    def of_site(self, site: str) -> tuple[str, ...]:
        """What there is for `site` alone, in words: tokens and users."""
        with self._file.transaction() as people:
            tokens = people.execute("SELECT name FROM tokens WHERE site = ? ORDER BY name", (site,)).fetchall()
            users = people.execute("SELECT name FROM users WHERE site = ? ORDER BY name", (site,)).fetchall()
        return (*(f"the token {name}" for (name,) in tokens), *(f"the user {name}" for (name,) in users))

    def forget_site(self, site: str) -> None:
        """Ends the tokens and users of `site`, with sessions and links, and leaves no byte of its name."""
        with self._file.transaction() as people:
            people.execute("DELETE FROM tokens WHERE site = ?", (site,))
            people.execute("DELETE FROM users WHERE site = ?", (site,))
        self._file.empty_log()
        kept = self._data / "run" / "viewer-token"
        if kept.is_file() and self.authorised(kept.read_text().strip()) is None:
            kept.unlink()

    def authorised(self, bearer: str) -> Access | None:
        """What `bearer` may do, or None. Compares in constant time with every token, the matching one or not."""
        asked = digest(bearer)
        with self._file.transaction() as people:
            rows = people.execute("SELECT sha256, name, role, site FROM tokens").fetchall()
        found = [Access(*row) for sha256, *row in rows if hmac.compare_digest(sha256, asked)]
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


def _write_private(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())  # Or a power cut leaves the name with nothing, or anything, behind it.
    fresh.replace(file)
