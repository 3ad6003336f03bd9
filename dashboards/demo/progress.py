"""What one sees of the demo while it gets ready: a bar that grows, or plain lines in a file or pipe."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 24
# Fast enough to look alive, and nothing beside the work.
BAR_EVERY_S = 0.1
LINE_EVERY_S = 5.0


class Progress:
    """Says how far it is; called as often as one likes."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out, self._is_terminal = out, out.isatty()
        self._shown_at = 0.0
        self._shown = ""

    def show(self, share: float, text: str) -> None:
        """`share` of all the work is done, 0 to 1; `text` says what is being done."""
        now = time.monotonic()
        if now - self._shown_at < (BAR_EVERY_S if self._is_terminal else LINE_EVERY_S) or text == self._shown:
            return
        self._shown_at, self._shown = now, text
        if self._is_terminal:
            done = round(WIDTH * min(share, 1.0))
            # The line is cleared first: a log line may stand in it.
            self._write(f"\r\x1b[K{'█' * done}{'░' * (WIDTH - done)} {100 * share:3.0f} %  {text}")
        else:
            self._write(f"{100 * share:.0f} %: {text}\n")

    def say(self, text: str) -> None:
        """Says something once that stays, above or instead of the bar."""
        self._write(f"\r\x1b[K{text}\n" if self._is_terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
