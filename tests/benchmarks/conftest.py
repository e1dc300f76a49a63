"""The benchmarks import each other as scripts do."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parents[2] / "benchmarks")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)  # last: no name of the benchmarks may hide another module
