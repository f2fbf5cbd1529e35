"""The protocol's name: split, candidates, seen rule, tie rule and cut-offs, without which a number is not a result."""

from l2rec.config import EvaluationSettings
from l2rec.evaluation.ranking import check_cutoffs


def protocol_name(split: str, settings: EvaluationSettings) -> str:
    """Returns the name of the protocol, e.g. `loo/full/unseen/expected-ties/@5,10,20`.

    Its parts: the split; `full`: the whole catalogue is ranked; `unseen`: without the items of the user's history, or
    `all`: with them; `expected-ties`: a metric is its mean over every order of equal scores; the cut-offs. Where the
    split asks several cases of one user (`-all`), `user-means` says that each user's mean comes first.

    Args:
        split: Name of the split: `loo`, `temporal-first`, `temporal-last` or `temporal-all`.
        settings: What is ranked and how it is counted.

    Raises:
        SettingError: there is no cut-off, or one is below 1.
    """
    check_cutoffs(settings.cutoffs)
    seen = "unseen" if settings.mask_seen else "all"
    means = ["user-means"] if split.endswith("-all") else []
    cutoffs = ",".join(str(k) for k in sorted(set(settings.cutoffs)))
    return "/".join([split, "full", seen, "expected-ties", *means, f"@{cutoffs}"])
