"""What somebody may read: a role, and one site or all. Users and API tokens have the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "analyst", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Access:
    """What a user, or the bearer of a token, may do; `site` None stands for every site."""

    name: str
    role: Role
    site: str | None

    def may_read(self, site: str) -> bool:
        """Whether the trends of `site` are open to this one."""
        return self.site is None or self.site == site
