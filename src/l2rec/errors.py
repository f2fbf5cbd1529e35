"""The complaints: what a user can fix, said in one line with place, value, limit and remedy."""


class L2RecError(Exception):
    """Base of everything that a user can fix; the command line prints it as one line and exits 2."""


class SettingError(L2RecError):
    """A setting is unknown, missing or out of range."""


class DataError(L2RecError):
    """A file of interactions, items or users cannot be used as it is."""


class BackboneError(L2RecError):
    """A language model cannot be found, loaded or trusted."""


class RunError(L2RecError):
    """A run folder is missing, half written, changed or does not fit."""


class DivergedError(RunError):
    """A training came to a loss or a gradient that is no finite number."""


class InterruptedRunError(RunError):
    """A training was asked to stop, and can go on from its checkpoint."""


class ModelError(L2RecError):
    """A model's name is unknown or its file does not keep the contract."""


class StoreError(L2RecError):
    """A store holds nothing that can be served, or refuses a change."""


class StoreDownError(StoreError):
    """A store cannot be reached or written just now; the same call may succeed later."""


class MissingExtraError(L2RecError):
    """A part needs a package that only an extra installs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package}: not installed. Run: pip install "l2rec[{extra}]"')
