"""Results of a benchmark: rows as a table for people and as bench/results/NAME.json."""
import json
import platform
import statistics
import time

from harness import paths

RESULTS = paths.ROOT / "bench" / "results"


def median(values):
    return statistics.median(values) if values else None


def row(what, unit, ours, ceiling=None, flux=None, target=None, most=True):
    """target: (limit, text); met when ours is at most the limit, or with most=False at least."""
    limit, text = target if target else (None, "")
    met = None if limit is None or ours is None else ours <= limit if most else ours >= limit
    return {"what": what, "unit": unit, "ours": ours, "ceiling": ceiling, "flux": flux, "target": text, "limit": limit, "met": met}


def shown(value):
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def tell(name, rows, notes=(), keep=True):
    """Prints the table and (keep) writes the file; returns whether every target was met."""
    heads = ("what", "unit", "ours", "ceiling", "Flux", "target", "met")
    lines = [[item["what"], item["unit"], shown(item["ours"]), shown(item["ceiling"]), shown(item["flux"]), item["target"],
              {None: "", True: "yes", False: "NO"}[item["met"]]] for item in rows]
    widths = [max(len(line[column]) for line in [heads, *lines]) for column in range(len(heads))]
    for line in [heads, *lines]:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())
    for note in notes:
        print(note)
    if keep:
        write(name, rows, notes)
    return all(item["met"] is not False for item in rows)


def write(name, rows, notes):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({
        "name": name, "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": platform.machine(),
        "kernel": platform.release(), "notes": list(notes), "rows": rows}, indent=2) + "\n")
