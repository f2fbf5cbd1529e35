"""What a person asks for on a page, from its address: the wish, the changed history, and what is wrong beside each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from l2rec.errors import SettingError
from l2rec.serving.api.asking import Reader
from l2rec.serving.wishes import Limits, Wish, check_ids

DEADLINE = 5.0
"""Seconds that the model gets for a page; a person waits longer than a program."""
_FIELDS = {
    "prompt": "prompt",
    "k": "k",
    "diversity": "diversity",
    "only": "allow_attributes",
    "never": "deny_attributes",
}
"""Fields of the form and the parameters of the API that they are."""

Given = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Asked:
    """What stands in an address.

    Attributes:
        user: The user's id; empty where none was chosen.
        find: Words of a title that are looked for.
        dropped: Items that the history is looked at without.
        added: Items that it is looked at with, at its end.
        typed: What stands in the fields `prompt`, `k` and `diversity`.
        only: Tokens of which an item needs one.
        never: Tokens that it must not have.
        wish: What is wanted of the list; fields that are wrong are left out.
        wrong: By field, why it was left out.
        moved: Whether an item was put or removed just now.
        why: Whether the list is to be explained.
    """

    user: str = ""
    find: str = ""
    dropped: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    typed: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    wish: Wish = field(default_factory=Wish)
    wrong: Mapping[str, str] = field(default_factory=dict)
    moved: bool = False
    why: bool = False

    @property
    def edited(self) -> bool:
        """Whether the history is another than the user's."""
        return bool(self.dropped or self.added)

    def query(self) -> str:
        """Returns the address's part behind the question mark, without what is empty or happened just now."""
        pairs = [("user", self.user), *self.typed.items()]
        for name, values in (("drop", self.dropped), ("add", self.added), ("only", self.only), ("never", self.never)):
            pairs += [(name, value) for value in values]
        return urlencode([(name, value) for name, value in pairs if value])


def given(query: bytes) -> dict[str, list[str]]:
    """Returns the values of a query string or of a form's body, by name.

    Raises:
        SettingError: there are too many.
    """
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=5_000)
    except ValueError:
        raise SettingError("the form: over 5000 values. Begin again without them.") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def asked(told: Given, limits: Limits) -> Asked:
    """Returns what a person asks for; nothing of it can fail, what is wrong is said beside its field."""
    dropped, added = _moved(told)
    wrong: dict[str, str] = {}
    user = first(told, "user").strip()
    if user and (complaint := _complaint("user id", (user,), 1, limits)):
        wrong["user"], user = complaint, ""
    for name, ids in (("drop", dropped), ("add", added)):
        if complaint := _complaint("history", ids, limits.history, limits):
            wrong["find"] = complaint
            dropped, added = (() if name == "drop" else dropped), (() if name == "add" else added)
    wish, unfit = wished(told, limits)
    return Asked(
        user=user,
        find=first(told, "find").strip()[: limits.text],
        dropped=dropped,
        added=added,
        typed={name: first(told, name).strip() for name in ("prompt", "k", "diversity")},
        only=_filled(told, "only"),
        never=_filled(told, "never"),
        wish=wish,
        wrong=wrong | unfit,
        moved=bool(_filled(told, "put") or _filled(told, "remove")),
        why=first(told, "why") == "1",
    )


def wished(told: Given, limits: Limits) -> tuple[Wish, dict[str, str]]:
    """Returns the wish of those fields that are right, and by field what is wrong with the others.

    The API's own reader judges each field, so that a page and a program hear the same.
    """
    reader = Reader(limits)
    wrong, right = {}, [("deadline_ms", str(1000 * min(DEADLINE, limits.seconds)))]
    for name, parameter in _FIELDS.items():
        pairs = [(parameter, value.strip()) for value in told.get(name, ()) if value.strip()]
        try:
            reader.wish(urlencode(pairs).encode())
        except SettingError as error:
            wrong[name] = str(error)
        else:
            right += pairs
    return reader.wish(urlencode(right).encode()), wrong


def first(told: Given, name: str) -> str:
    """Returns the first value of a name, or nothing."""
    return next(iter(told.get(name, ())), "")


def _moved(told: Given) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The items left out and added, with the button that was pressed just now."""
    dropped, added = list(_filled(told, "drop")), list(_filled(told, "add"))
    for item in _filled(told, "put"):
        if item in dropped:  # it was taken away before: put back where it stood
            dropped.remove(item)
        else:
            added = [*(a for a in added if a != item), item]
    for item in _filled(told, "remove"):
        dropped, added = [*dropped, item], [a for a in added if a != item]
    return tuple(dict.fromkeys(dropped)), tuple(dict.fromkeys(added))


def _filled(told: Given, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in told.get(name, ()) if value))


def _complaint(name: str, values: Sequence[str], most: int, limits: Limits) -> str:
    try:
        check_ids(name, values, most, limits)
    except SettingError as error:
        return str(error)
    return ""
