"""Users: people who sign in with a link that works once. There is no password anywhere.

Invariants:
- A link opens one session, before it expires; whoever comes second with it is refused.
- A session ends by signing out, by its age, or with its user, at the next request.
- The first user is `owner`, made at the first start; after that nobody is made but by the command line.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from collector.clock import Clock
from dashboards.people_file import SECRET_BYTES, AccessFault, PeopleFile, check_name, digest
from dashboards.role import ROLES, Access

OWNER = "owner"
# Time to send it to somebody who reads it the next morning.
LINK_S = 24 * 3_600.0
# The one that `footfall serve` prints also lies in a terminal's scrollback, or in a log.
START_LINK_S = 3_600.0
SESSION_S = 30 * 24 * 3_600.0


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: the cookie's value, told here once, and how long it lasts."""

    session: str
    lasts_s: int


class Users:
    """The users of one people file."""

    def __init__(self, file: PeopleFile, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def add(self, name: str, role: str, site: str | None = None, link_s: float = LINK_S) -> str:
        """A new user, and the token of a link for it. Raises `AccessFault` for a name taken, another form or role."""
        check_name("a user", name)
        if role not in ROLES:
            raise AccessFault(f"a user's role must be one of {', '.join(ROLES)}; choose one")
        created_at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")
        try:
            with self._file.transaction() as people:
                people.execute(
                    "INSERT INTO users (name, role, site, created_at) VALUES (?, ?, ?, ?)",
                    (name, role, site, created_at),
                )
        except sqlite3.IntegrityError:
            raise AccessFault(
                "a user of this name exists; `footfall user link NAME` makes another link for it"
            ) from None
        return self.link(name, link_s)

    def list(self) -> tuple[Access, ...]:
        """Every user, by name."""
        with self._file.transaction() as people:
            rows = people.execute("SELECT name, role, site FROM users ORDER BY name").fetchall()
        return tuple(Access(*row) for row in rows)

    def remove(self, name: str) -> bool:
        """Ends the user, its sessions and its links; False where there is none."""
        with self._file.transaction() as people:
            return people.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount == 1

    def link(self, name: str, lasts_s: float = LINK_S) -> str:
        """The token of a fresh link for the user `name`, told here once. Raises `AccessFault` where there is none."""
        token, now = secrets.token_urlsafe(SECRET_BYTES), self._clock.wall()
        with self._file.transaction() as people:
            people.execute("DELETE FROM sign_in_links WHERE expires_at <= ?", (now,))
            made = people.execute(
                "INSERT INTO sign_in_links SELECT ?, name, ? FROM users WHERE name = ?",
                (digest(token), now + lasts_s, name),
            )
            if made.rowcount != 1:
                raise AccessFault(f"there is no user named {name}; `footfall user list` shows all")
        return token

    def owner_link(self, *, is_terminal: bool) -> str | None:
        """The token of a link for `owner`, whom an installation without users gets, or None where none is called for.

        One is: on a terminal, and as long as nobody has signed in as owner, who could not read anything otherwise.
        None also where the owner was removed and others are there.
        """
        users = {user.name for user in self.list()}
        if not users:
            return self.add(OWNER, "admin", link_s=START_LINK_S)
        if OWNER not in users or not (is_terminal or not self._has_signed_in(OWNER)):
            return None
        return self.link(OWNER, START_LINK_S)

    def has_link(self, token: str) -> bool:
        """Whether `token` would sign somebody in now; looking does not use it up."""
        with self._file.transaction() as people:
            found = people.execute(
                "SELECT 1 FROM sign_in_links WHERE sha256 = ? AND expires_at > ?", (digest(token), self._clock.wall())
            )
            return found.fetchone() is not None

    def sign_in(self, token: str) -> SignedIn | None:
        """Uses the link of `token` up; None where it was used, has expired or never was."""
        session, now = secrets.token_urlsafe(SECRET_BYTES), self._clock.wall()
        with self._file.transaction() as people:
            people.execute("BEGIN IMMEDIATE")
            link = people.execute(
                "DELETE FROM sign_in_links WHERE sha256 = ? AND expires_at > ? RETURNING name", (digest(token), now)
            ).fetchone()
            if link is None:
                return None
            people.execute("DELETE FROM sessions WHERE expires_at <= ?", (now,))
            people.execute("INSERT INTO sessions VALUES (?, ?, ?)", (digest(session), link[0], now + SESSION_S))
            people.execute("UPDATE users SET has_signed_in = 1 WHERE name = ?", link)
        return SignedIn(session, int(SESSION_S))

    def signed_in(self, session: str) -> Access | None:
        """Whose session this is, or None."""
        with self._file.transaction() as people:
            row = people.execute(
                "SELECT name, role, site FROM sessions JOIN users USING (name) WHERE sha256 = ? AND expires_at > ?",
                (digest(session), self._clock.wall()),
            ).fetchone()
        return Access(*row) if row else None

    def sign_out(self, session: str) -> None:
        """Ends this session, and no other one of its user."""
        with self._file.transaction() as people:
            people.execute("DELETE FROM sessions WHERE sha256 = ?", (digest(session),))

    def _has_signed_in(self, name: str) -> bool:
        with self._file.transaction() as people:
            row = people.execute("SELECT has_signed_in FROM users WHERE name = ?", (name,)).fetchone()
        return bool(row and row[0])
