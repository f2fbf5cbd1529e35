"""What `bench/results/gpu.json` says, as the README has it; `bench/gpu.py` writes it there.

python bench/gpu_show.py
"""

import json
from pathlib import Path
from typing import Any

from l2rec.cli.readme import placed

HERE, MARK = Path(__file__).parent, "gpu"
GIB = 2**30


def summary(found: dict[str, Any]) -> str:
    """Returns a Markdown table of a card's figures; of figures that claim nothing, that there are none yet."""
    origin = f"{found['device']}, {found['date']}, torch {found['torch']}"
    if found["small"]:
        return (
            "No card has been measured yet. `python bench/gpu.py` is the one command ([docs/gpu.md](docs/gpu.md)); "
            f"last run at small size, which shows that it works and claims nothing: {origin}."
        )
    lines = [f"`python bench/gpu.py`, {origin}.", "", "| what | found | goal |", "| --- | --- | --- |"]
    lines += [f"| {what} | {value} | {goal or '-'} |" for what, value, goal in (*_speed(found), *_search(found))]
    return "\n".join(lines)


def _speed(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Training: of each way that ran its rate, and of all the memory."""
    speed = found.get("speed")
    if not speed:
        return []
    rows = []
    for way, told in speed["ways"].items():
        rows.append((f"training, {way}: tokens a second", f"{told['tokens_per_second']:,.0f}", ""))
        if "share_of_matrix_rate" in told:
            goal = "at least 45 %" if way == "experts" else ""
            rows.append((f"training, {way}: share of the matrix rate", f"{told['share_of_matrix_rate']:.0%}", goal))
        if peak := speed["peak_bytes"].get(way):
            rows.append((f"training, {way}: peak memory at {speed['rows']} histories", f"{peak / GIB:.1f} GiB", ""))
    for way, lost in speed["throughput_lost_against"].items():
        rows.append((f"training, throughput lost against {way}", f"{lost:.0%}", "at most 15 %"))
    rows += [(f"training, {way}", f"failed: {why}", "") for way, why in speed["failed"].items()]
    return [*rows, ("training, largest batch", f"{speed['largest_batch']:,} histories", "")]


def _search(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Search: seconds beside the matrix products alone."""
    search = found.get("search")
    if not search:
        return []
    asked = search["asked"]
    whole = f"top-10 of {asked['users']:,} users x {asked['items']:,} items"
    return [
        (f"{whole}, width {width}", f"{told['search']:.1f} s, {told['ratio']:.2f} times the products alone", "")
        for width, told in search["by_width"].items()
    ]


def show(readme: Path = HERE.parent / "README.md") -> None:
    """Puts the summary of the kept result between the README's marks."""
    found = json.loads((HERE / "results" / "gpu.json").read_text(encoding="utf-8"))
    readme.write_text(placed(readme.read_text(encoding="utf-8"), MARK, summary(found)), encoding="utf-8")


if __name__ == "__main__":
    show()
