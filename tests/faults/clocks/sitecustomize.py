"""Python imports this as it starts, where this folder is in PYTHONPATH: the process gets the clocks that a test set."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.own_clock import VARIABLE, put_on

put_on(Path(os.environ[VARIABLE]))
