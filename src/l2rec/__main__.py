"""Lets `python -m l2rec` be the same as `l2rec`."""

from l2rec.cli.app import main

main()
