"""Everything that is measured on one CUDA card: training speed on Qwen3-0.6B's shape, search, and the tables.

The speed of a training step with experts beside plain LoRA of as many trainable weights, as a share of what the card's
matrix product gives in the same run, with the memory that it takes; the best ten of a million items for a million users
beside the bare products; the tables of `configs/` and docs/results.md with more seeds. `--small` cuts it to what shows
that the program runs, e.g. on a CPU; its figures claim nothing and never replace those of a card. README.md gets the
figures of the first two parts.

    python bench/gpu.py [--parts speed,search,tables] [--device cuda] [--tables scientific,...] [--seeds 0,1,2,3,4]
    python bench/gpu.py --device cpu --small
"""

import argparse
import json
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import gpu_jobs
import gpu_search
import gpu_show
import gpu_speed
import gpu_tables
from interleaved import RESULTS

PARTS = ("speed", "search", "tables")


def options() -> argparse.Namespace:
    """Returns what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--tables", default=",".join(("scientific", "beauty", *gpu_jobs.SHARES, *gpu_jobs.ABLATIONS)))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; torch's own choice where 0")
    asked = parser.parse_args()
    asked.parts = asked.parts.split(",")
    if wrong := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"--parts {wrong[0]}: expected some of {','.join(PARTS)}.")
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device cuda: torch {torch.__version__} sees no card here. Pass --device cpu --small.")
    if asked.device == "cpu" and not asked.small and set(asked.parts) != {"tables"}:
        parser.error("--device cpu: the full size would take days. Pass --small.")
    return asked


def header(asked: argparse.Namespace) -> dict[str, Any]:
    """Returns where and when this was measured, and whether it claims anything."""
    card = torch.cuda.get_device_name() if asked.device == "cuda" else f"cpu ({platform.machine()})"
    label = f"{asked.device}, small: shows that the program runs, no claim" if asked.small else "full size"
    return {
        "label": label,
        "small": asked.small,
        "device": card,
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
    }


def write(name: str, found: dict[str, Any]) -> None:
    """Writes a result; those of another part or table stay where they come from the same device at the same size."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if before and not before["small"] and found["small"]:
        print(f"{path.name}: keeps what a card gave at full size; these figures are not written")
        return
    same = all(before.get(key) == found[key] for key in ("small", "device", "torch"))
    whole = before | found if same else found
    if same and "tables" in before.keys() & found.keys():
        whole["tables"] = before["tables"] | found["tables"]
    text = json.dumps(whole, indent=1)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"written: bench/results/{path.name}")
    if name == "gpu":
        gpu_show.show()


def main() -> None:
    """Runs the parts one after another and writes each as soon as it is there."""
    asked = options()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    told = header(asked)
    print(f"{told['label']}: {told['device']}, torch {told['torch']}, {told['date']}", flush=True)
    if "speed" in asked.parts:
        speed = gpu_speed.SMALL if asked.small else gpu_speed.FULL
        write("gpu", told | {"speed": gpu_speed.measure(replace(speed, device=asked.device))})
    if "search" in asked.parts:
        search = gpu_search.SMALL if asked.small else gpu_search.FULL
        write("gpu", told | {"search": gpu_search.measure(replace(search, device=asked.device))})
    if "tables" in asked.parts:
        names = tuple(asked.tables.split(","))
        tables = gpu_tables.Tables(names, asked.seeds, asked.device, asked.runs)
        tables = gpu_tables.small(asked.device, asked.runs / "small") if asked.small else tables
        found = gpu_tables.measure(tables)
        write("gpu_tables", told | {"tables": found})
        if any(table["failed"] for table in found.values()):
            sys.exit("some runs failed; see above")


if __name__ == "__main__":
    main()
