"""Makes footfall.min.js of footfall.js: `python -m collector.beacon.build`.

Needs Node.js and, the first time, the npm registry. What comes out is committed; a test builds it anew and compares.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

# BSD-2-Clause; pinned to one release: another one makes other bytes of the same source.
MINIFIER = "terser@5.51.2"
# What browsers understand since 2020; older ones stop at the first line of it, and are not counted.
OPTIONS = ("--ecma", "2020", "--compress", "passes=3,unsafe_arrows", "--mangle", "--toplevel")
MAX_GZIPPED_BYTES = 2_500
TIMEOUT_S = 120

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "footfall.js"
SCRIPT = FOLDER / "footfall.min.js"


class NoMinifier(Exception):
    """There is no Node.js here, or the minifier cannot be had: says which."""


def minified(source: Path = SOURCE) -> bytes:
    """The script of `source`; raises `NoMinifier`, or `RuntimeError` where the source is faulty."""
    npx = shutil.which("npx")
    if npx is None:
        raise NoMinifier("npx is not installed; it comes with Node.js and npm")
    minifier = [npx, "--yes", "--package", MINIFIER, "terser"]
    # First by itself: a registry out of reach is no fault of the source.
    if _ran([*minifier, "--version"]).returncode != 0:
        raise NoMinifier(f"npx cannot get {MINIFIER} from the npm registry")
    made = _ran([*minifier, str(source), *OPTIONS])
    if made.returncode != 0:
        raise RuntimeError(f"{MINIFIER} does not take {source.name}: {made.stderr.decode(errors='replace').strip()}")
    return made.stdout.strip() + b"\n"


def gzipped_bytes(script: bytes) -> int:
    """The size that travels, as by `gzip -9`."""
    return len(gzip.compress(script, 9, mtime=0))


def _ran(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)


def main() -> int:
    """Writes the script, and refuses one that is too large."""
    try:
        script = minified()
    except (NoMinifier, RuntimeError) as fault:
        sys.stderr.write(f"footfall.min.js was not built: {fault}\n")
        return 2
    size = gzipped_bytes(script)
    if size > MAX_GZIPPED_BYTES:
        sys.stderr.write(f"footfall.min.js was not built: {size} bytes gzipped, at most {MAX_GZIPPED_BYTES}\n")
        return 2
    SCRIPT.write_bytes(script)
    sys.stdout.write(f"footfall.min.js: {len(script)} bytes, {size} gzipped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
