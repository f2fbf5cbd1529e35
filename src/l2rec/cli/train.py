"""`l2rec train`: from a TOML file to a run folder, or to one run folder a seed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from l2rec.cli.show import say, show, show_json
from l2rec.errors import SettingError


def train(
    config: Annotated[Path, typer.Argument(help="TOML file with the settings, e.g. a run's own config.toml.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME OF THE FILE where left out.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, e.g. model.rank=16; may be repeated.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Several seeds, e.g. 0,1,2; trains in OUT/seed-0, OUT/seed-1, ...")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Look at everything, stop before the first step.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in OUT stopped.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A finished run, its weights taken where only third signal or evaluation differ."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifests as JSON.")] = False,
) -> None:
    """Train the model that a TOML file describes.

    Prints the run folder. It is chosen by the validation part; the test part is read by `evaluate` alone.
    """
    from l2rec import run as runs

    numbers = seeds_of(seeds)
    settings = runs.settings_of(config, overrides or [])
    folder = out or Path("runs") / (config.resolve().parent.name if config.stem == "config" else config.stem)
    options = runs.Options(device=device, resume=resume, progress=not as_json, source=source)
    if check:
        one = runs.of_seed(numbers[0], settings, folder, options) if numbers else (settings, folder, options)
        facts = runs.check(*one)
        show_json(facts) if as_json else show(_lines(facts))
        return
    trained = (
        runs.train_seeds(settings, folder, numbers, options) if numbers else [runs.train(settings, folder, options)]
    )
    for run in trained:
        taken = run.manifest.source
        how = f"weights of {taken.path}" if taken else f"{run.manifest.seconds or 0:.0f} s"
        say(f"{run.manifest.model}: seed {run.manifest.seed}, {how}. Next: l2rec evaluate {run.path}")
    if as_json:
        show_json([run.manifest.model_dump(mode="json") for run in trained])
    else:
        show("\n".join(str(run.path) for run in trained))


def seeds_of(text: str | None) -> list[int]:
    """Returns the seeds of a list such as `0,1,2`; none where it was not given."""
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise SettingError(f"--seeds {text}: expected different whole numbers with commas between, e.g. --seeds 0,1,2")
    return [int(part) for part in parts]


def _lines(facts: dict[str, Any]) -> str:
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
