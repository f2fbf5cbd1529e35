"""A run is a folder: trained from settings, measured once on the test part, compared with others, and asked."""

from l2rec.run.pipeline import Options, Plan, check, of_seed, plan, settings_of, train, train_seeds
from l2rec.run.record import Run, runs_in

__all__ = ["Options", "Plan", "Run", "check", "of_seed", "plan", "runs_in", "settings_of", "train", "train_seeds"]
