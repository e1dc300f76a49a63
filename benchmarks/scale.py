"""How the driver behaves at 10,000 trials and 1,000 slots: `python benchmarks/scale.py [--quick] [--full]`.

Recorded trials (data/digits.json, see curves.py) are replayed by simulated workers through the real director, Optuna,
ASHA, journal (every event brought to disk) and MLflow writer (SQLite). No Ray worker runs, so what Ray itself costs is
not in these figures; benchmarks/overhead.py has that. Every part runs in a fresh process, so that memory peaks are its
own. Without an option: as --full, but one turn, and MLflow takes the first 20,000 events.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SLOTS = 1_000
LADDER = (1, 8, 64, 256, 1_000)
SHAPES = ("wide", "deep")
TURNS = 3  # of --full: one turn's slope scatters by a fifth on an idle machine
START_SECONDS = 0.3  # between two trials on one worker; benchmarks/overhead.py on two cores has 0.2 to 0.3


def part(function: str, **arguments: Any) -> dict[str, Any]:
    """One function of scale_parts.py in a process of its own."""
    code = "import json, pathlib, sys, scale_parts; a = json.loads(sys.argv[2]); " \
           "a.update(folder=pathlib.Path(a['folder'])) if 'folder' in a else None; " \
           "print(json.dumps(getattr(scale_parts, sys.argv[1])(**a)))"
    done = subprocess.run(
        [sys.executable, "-c", code, function, json.dumps(arguments)], stdout=subprocess.PIPE, text=True, check=True,
        cwd=HERE,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(shape: str, trials: int, folder: Path, mlflow_events: int | None, turns: int) -> dict[str, Any]:
    """Everything about one shape: the turn with the middle slope, and the slopes of all."""
    drives = []
    for turn in range(turns):
        drives.append(part("drive", name=shape, trials=trials, slots=SLOTS, folder=str(folder / str(turn))))
        slope = ratio(drives[-1], "decision")
        print(f"{shape}: {drives[-1]['trials']} trials in {drives[-1]['simulator_seconds']:.0f} s, "
              f"slope {_shown(slope)}", flush=True)
    slopes = [ratio(drive, "decision") for drive in drives]
    found = drives[slopes.index(statistics.median_low(slopes))] if None not in slopes else drives[0]
    found["slope_ratio_turns"] = slopes
    folder /= "0"
    found |= part("resume", name=shape, trials=trials, slots=SLOTS, folder=str(folder))
    if mlflow_events:
        found |= part("mlflow", name=shape, events=mlflow_events, folder=str(folder))
    found["slope_ratio"] = ratio(found, "decision")
    found["slope_ratio_cpu"] = ratio(found, "cpu")
    return found


def ratio(found: dict[str, Any], what: str) -> float | None:
    """The figure at trial 10,000 over that at trial 100."""
    last = found.get(f"{what}_ms_at_10000")
    return None if last is None else last / found[f"{what}_ms_at_100"]


def table(shapes: dict[str, dict[str, Any]]) -> str:
    """One row per figure, one column per shape."""
    names = sorted({name for figures in shapes.values() for name in figures})
    rows = [f"{'':32s}" + "".join(f"{shape:>14s}" for shape in shapes)]
    rows += [f"{name:32s}" + "".join(f"{_shown(f.get(name)):>14s}" for f in shapes.values()) for name in names]
    return "\n".join(rows)


def ladder(rows: list[dict[str, Any]]) -> str:
    """Makespan and efficiency by slots."""
    head = f"{'slots':>6s}{'per study':>11s}{'trials':>8s}{'work, h':>10s}{'makespan, h':>13s}{'efficiency':>12s}" \
           f"{'if the driver took no time':>28s}"
    return "\n".join([head, *(
        f"{r['slots']:6d}{r['parallel_trials']:11d}{r['trials']:8d}{r['work_hours']:10.1f}{r['makespan_hours']:13.2f}"
        f"{r['efficiency']:12.3f}{r['efficiency_with_free_driver']:28.3f}" for r in rows
    )])


def _shown(value: float | list[float | None] | None) -> str:
    if isinstance(value, list):
        return " ".join(_shown(one) for one in value)
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="300 trials of one shape, two rungs of the ladder")
    parser.add_argument("--full", action="store_true", help="every event through MLflow; kept in results/; an hour")
    arguments = parser.parse_args()
    quick, full = arguments.quick, arguments.full
    trials, events = (300, 600) if quick else (10_000, 10**9 if full else 20_000)
    ask = 1.0 if quick else None
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        shapes = {
            shape: measured(shape, trials, Path(folder), events if shape == "wide" else None, TURNS if full else 1)
            for shape in (SHAPES[:1] if quick else SHAPES)
        }
    wide = shapes["wide"]
    message = ask or wide["report_ms_at_1000"]
    what_if = part("what_if", recipe="digits" if quick else "big", slots=LADDER[1:3] if quick else LADDER,
                   message_ms=message, start_seconds=START_SECONDS)
    print(table(shapes), "", ladder(what_if["rows"]), sep="\n")
    if what_if["methods_left_out"]:
        print(f"without {', '.join(what_if['methods_left_out'])}, of which no trials were recorded")
    at_64 = {r["slots"]: r["efficiency"] for r in what_if["rows"]}[64]
    figures = {
        "decision_ms_at_100": wide["decision_ms_at_100"], "decision_ms_at_10000": wide.get("decision_ms_at_10000"),
        "slope_ratio": wide["slope_ratio"], "slope_ratio_turns": wide["slope_ratio_turns"],
        "slope_ratio_one_study": shapes.get("deep", {}).get("slope_ratio"),
        "slope_ratio_one_study_turns": shapes.get("deep", {}).get("slope_ratio_turns"),
        "peak_memory_mib": max(f["peak_mib"] for f in shapes.values()),
        "mlflow_writes_per_second": wide["mlflow_writes_per_second"],
        "efficiency_at_64_slots": None if quick else at_64,
    }
    why = "--quick ends at trial 300 of one shape and leaves out the big recipe"
    from tracking.provenance import collect

    found = {
        **figures, "reasons": {name: why for name, value in figures.items() if value is None}, "shapes": shapes,
        "what_if": what_if, "message_ms": message, "start_seconds": START_SECONDS, "slots": SLOTS,
        "machine": platform.machine(), "provenance": collect(HERE),
    }
    if full:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
