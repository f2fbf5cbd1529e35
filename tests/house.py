"""The inspector of the house: each check yields one complaint a line, with place, value, limit and remedy."""

import ast
import functools
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = {
    "": "the nouns, the complaints, the settings and the pipeline on one page",
    "cli": "one file a command or a close family of commands",
    "data": "from a log and a catalogue to tensors",
    "data/sources": "one file a public format",
    "data/sample": "the bundled data set",
    "nn": "parts of networks that know no catalogue",
    "models": "the finder, and what every model owes",
    "models/floors": "what every model is measured against",
    "models/ids": "models that know items by their numbers",
    "models/text": "models that know items by what is written of them, with a network of their own",
    "models/llm": "models that read items with a language model",
    "evaluation": "ranks, metrics, slices, significance",
    "evaluation/report": "one file that a person opens",
    "run": "a run is a folder",
    "training": "the loop, on one page, and what it needs",
    "serving": "from a run folder to recommendations",
    "serving/publishing": "everybody's list made ahead, put into a store under a version",
    "serving/access": "keys, and the guard at the door",
    "serving/answering": "the desk, and the release that stands behind it",
    "serving/store": "one contract for what a service keeps, and its two stores",
    "serving/api": "the routes of the service",
    "serving/pages": "what a person looks at in a browser",
    "serving/model": "a run that is alive: what it reads beyond its training, how it is steered, why it answers so",
}
"""The rooms that are built; a new one needs its sentence here."""

FILE_LINES, FUNCTION_LINES, PARAMETERS, COMPLEXITY = 300, 40, 6, 8
TESTED_FROM = 30
"""A module with fewer lines needs no test file of its own."""

_BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
_BANNED_CALLS = {"getattr", "hasattr"}
_PICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
_PICKLING_CALLS = {"torch.load", "torch.save", "torch.serialization"}
_PLACES = re.compile(r"(?<![\w.:/$}~-])/(?:home|root|work|tmp|Users|mnt)/\w")
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

Check = Callable[[Path], Iterator[str]]


@dataclass(frozen=True)
class Source:
    """A Python file, read and parsed once."""

    place: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yields every function and method, nested ones included."""
        return (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def sources(root: Path, *folders: str) -> Iterator[Source]:
    """Yields the Python files under some folders of the repository."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield Source(path.relative_to(root).as_posix(), text, ast.parse(text))


def no_file_is_too_long(root: Path) -> Iterator[str]:
    """Every file fits a few screens."""
    for source in sources(root, "src", "tests", "bench"):
        lines = len(source.text.splitlines())
        if lines > FILE_LINES:
            yield f"{source.place}: {lines} lines: over {FILE_LINES}. Split it by nouns."


def no_function_is_too_long(root: Path) -> Iterator[str]:
    """Every function fits one screen; the training loop is a page by design."""
    for source in sources(root, "src", "tests", "bench"):
        if source.place == "src/l2rec/training/loop.py":
            continue
        for function in source.functions():
            lines = _code_lines(source, function)
            if lines > FUNCTION_LINES:
                yield f"{source.place} {function.name}: {lines} lines: over {FUNCTION_LINES}. Split it by verbs."


def _code_lines(source: Source, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    text = source.text.splitlines()
    return sum(bool(text[n - 1].strip()) and not text[n - 1].lstrip().startswith("#") for n in lines)


def no_signature_is_too_wide(root: Path) -> Iterator[str]:
    """A function takes at most six parameters, the receiver apart, and never an open bag of them.

    A command's parameters are its options, which a person wants flat and many: what `cli` offers is not counted.
    """
    for source in sources(root, "src", "bench"):
        for function in source.functions():
            given = function.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([n for n in names if n not in {"self", "cls"}])
            command = source.place.startswith("src/l2rec/cli/") and not function.name.startswith("_")
            if count > PARAMETERS and not command:
                yield f"{source.place} {function.name}: {count} parameters: over {PARAMETERS}. Group them in a noun."
            if given.kwarg is not None:
                yield f"{source.place} {function.name}: **{given.kwarg.arg}: an open door. Name the parameters."


def no_attribute_is_guessed(root: Path) -> Iterator[str]:
    """A reader can jump to every name, so attributes are not asked for by text."""
    for source in sources(root, "src", "tests", "bench"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name) and node.id in _BANNED_CALLS:
                yield f"{source.place} line {node.lineno}: {node.id}: hides a type. Name the attribute."


def no_name_says_nothing(root: Path) -> Iterator[str]:
    """A file or folder is named for what it holds."""
    for folder in ("src", "tests", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.stem.removeprefix("test_").strip("_") in _BANNED_NAMES:
                yield f"{path.relative_to(root).as_posix()}: says nothing of what it holds. Name it by its noun."


def every_file_opens_with_a_sentence(root: Path) -> Iterator[str]:
    """The first lines of a file say what it is for."""
    for source in sources(root, "src", "tests", "bench"):
        opening = (ast.get_docstring(source.tree) or "").split("\n\n")[0].strip()
        if len(opening.split()) < 3 or not opening.endswith((".", "!", "?")):
            yield f"{source.place}: opens without a sentence. Say first what the file is for."


def every_module_has_its_tests(root: Path) -> Iterator[str]:
    """In the room's tests a file is named for the module or its inner room, or imports it, or calls it as a command.

    A model's file is tested by what every model owes.
    """
    for source in sources(root, "src/l2rec"):
        path = Path(source.place).relative_to("src/l2rec")
        if path.stem.startswith("__") or len(source.text.splitlines()) < TESTED_FROM:
            continue
        room, *inner = path.parent.parts or ("",)
        names = [path.stem.strip("_"), *inner, *(["every_model"] if room == "models" else [])]
        tests = root / "tests" / room
        files = tests.rglob("*.py") if room else tests.glob("*.py")
        known = {f"test_{name}" for name in names} | {".".join(("l2rec", *path.with_suffix("").parts))}
        known |= {f'"{path.stem}"'} if room == "cli" else set()
        if not any(known & _mentions(file) for file in files):
            yield f"{source.place}: untested. Write {tests.relative_to(root).as_posix()}/test_{names[0]}.py."


@functools.cache
def _mentions(file: Path) -> frozenset[str]:
    """A file's own name, the modules that it imports, and its words in quotes."""
    found = {file.stem}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(f'"{node.value}"')
    return frozenset(found)


def every_test_room_is_a_room(root: Path) -> Iterator[str]:
    """No folder of tests is left behind when its source moves."""
    for path in sorted((root / "tests").rglob("*")):
        room = path.relative_to(root / "tests").as_posix()
        if any(path.glob("*.py")) and not (root / "src" / "l2rec" / room).is_dir():
            yield f"tests/{room}: mirrors no room of src/l2rec. Move or delete it."


def every_room_is_listed(root: Path) -> Iterator[str]:
    """A new room is a decision, so it is written down."""
    house = root / "src" / "l2rec"
    built = {p.parent.relative_to(house).as_posix() for p in house.rglob("*.py")}
    built = {"" if room == "." else room for room in built}
    for room in sorted(built):
        if room not in ROOMS:
            yield f"src/l2rec/{room}: not in the list of rooms. Add its sentence to tests/house.py."
        elif not (house / room / "__init__.py").is_file():
            yield f"src/l2rec/{room}: no __init__.py. Add one that opens with a sentence."


def nothing_is_pickled(root: Path) -> Iterator[str]:
    """A file that runs code when it is read never enters a run folder; a bench may have to read a rival's."""
    for source in sources(root, "src"):
        for node in ast.walk(source.tree):
            for name in _pickling(node):
                yield f"{source.place} line {node.lineno}: {name}: pickles. Use safetensors, Parquet or JSON."


def _pickling(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names if a.name.split(".")[0] in _PICKLERS)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _PICKLERS:
        yield node.module or ""
    elif isinstance(node, ast.Attribute) and ast.unparse(node) in _PICKLING_CALLS:
        yield ast.unparse(node)
    elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        yield "allow_pickle"


def no_text_is_local_or_unfinished(root: Path) -> Iterator[str]:
    """What is published holds no path of somebody's machine and no promise to finish it later."""
    for path in _published(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, start=1):
            place = f"{path.relative_to(root).as_posix()} line {number}"
            if found := _PLACES.search(line):
                yield f'{place}: "{found.group()}": a path of one machine. Make it relative.'
            if found := _UNFINISHED.search(line):
                yield f'{place}: "{found.group()}": unfinished. Finish it, or open an issue.'


def _published(root: Path) -> list[Path]:
    """Tracked files; all files where the tree is no repository, as in a source archive."""
    if not (root / ".git").exists():
        return [p for p in sorted(root.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True)
    return [p for name in listed.stdout.split("\0") if name and (p := root / name).is_file()]


def the_linter_keeps_its_part(root: Path) -> Iterator[str]:
    """Complexity is ruff's to count; its limits are the house's."""
    lint = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    for rules in ("C90", "PL", "D"):
        if rules not in lint["select"]:
            yield f"pyproject.toml: ruff does not select {rules}. Add it to lint.select."
    for group, name, limit in (("mccabe", "max-complexity", COMPLEXITY), ("pylint", "max-args", PARAMETERS)):
        value = lint.get(group, {}).get(name)
        if value != limit:
            yield f"pyproject.toml: {name} {value}: expected {limit}. Set it in lint.{group}."


CHECKS: tuple[Check, ...] = (
    no_file_is_too_long,
    no_function_is_too_long,
    no_signature_is_too_wide,
    no_attribute_is_guessed,
    no_name_says_nothing,
    every_file_opens_with_a_sentence,
    every_module_has_its_tests,
    every_test_room_is_a_room,
    every_room_is_listed,
    nothing_is_pickled,
    no_text_is_local_or_unfinished,
    the_linter_keeps_its_part,
)
