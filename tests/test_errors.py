"""The complaints have one root, and a missing package names the extra that brings it."""

import inspect

import pytest

from l2rec import errors


def test_every_complaint_can_be_caught_as_one() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(kinds) > 5
    assert all(issubclass(kind, errors.L2RecError) for kind in kinds)
    assert not issubclass(errors.L2RecError, ValueError | OSError)


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(errors.MissingExtraError, match=r'^faiss: not installed\. Run: pip install "l2rec\[serve\]"$'):
        raise errors.MissingExtraError("faiss", "serve")
