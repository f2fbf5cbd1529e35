"""`l2rec doctor`: what of this machine l2rec can use, and what is missing."""

import sys
from typing import Annotated

import typer

from l2rec.cli.show import show_json, show_table


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at what l2rec needs of this machine.

    Python, torch, devices, backbone, extras, disk and cache; the exit code is 1 if something necessary is missing.
    """
    from l2rec.run.health import examined

    findings = examined()
    if as_json:
        show_json([finding._asdict() for finding in findings])
    else:
        show_table(("", "part", "found"), [(f.state, f.part, f.found) for f in findings], words=(0, 1, 2))
    if any(finding.state == "missing" for finding in findings):
        sys.exit(1)
