"""The map of the house: folders import only what lies below them, and nothing imports in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import csc_fairseq

ROOT = Path(csc_fairseq.__file__).parent
# From the top down. What shares a floor may import one way, but not both: no circles.
FLOORS = (
    ("cli", "__init__", "registration"),
    ("tasks",),
    ("criterions", "demo", "training"),
    ("verification.evaluation", "verification.conversations", "verification.mixtures"),
    (
        "verification.encoders",
        "verification.trials",
        "verification.metrics",
        "verification",
        "decisions",
        "diarization",
    ),
    ("models",),
    ("inference",),
    ("backbones",),
    ("corpora", "checkpoints"),
    ("data", "modules", "losses", "optimizers", "digests"),
    ("configurations", "errors", "files", "locking", "options", "package", "page", "text"),
)
HEIGHT = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """The room of a module such as csc_fairseq.verification.trials.drawing: its folder, or itself on the ground floor."""
    parts = module.split(".")[1:]
    if not parts or parts[0] in csc_fairseq.__all__:  # the package, or a name that it offers
        return "__init__"
    for length in (2, 1):
        room = ".".join(parts[:length])
        if room in HEIGHT:
            return room
    raise AssertionError(f"{module} is in no room; add its folder to FLOORS")


def imports_of(source: str, package: str) -> set[str]:
    """Modules of ours that a source imports anywhere, in functions too, but not for type checkers alone."""
    found = set()
    tree = ast.parse(source)
    typed = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    left_out = {id(inner) for node in typed for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{package}: imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "csc_fairseq"}


def arrows() -> dict[tuple[str, str], str]:
    """(room, imported room) with an example, "module -> module"."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(["csc_fairseq", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        for imported in imports_of(path.read_text(encoding="utf-8"), module):
            rooms = room_of(module), room_of(imported)
            if rooms[0] != rooms[1]:
                found.setdefault(rooms, f"{module} -> {imported}")
    return found


def test_arrows_point_down():
    upward = [example for (room, imported), example in arrows().items() if HEIGHT[imported] > HEIGHT[room]]
    assert not upward


def test_there_are_no_circles_between_rooms():
    graph: dict[str, set[str]] = {}
    for room, imported in arrows():
        graph.setdefault(room, set()).add(imported)
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_there_are_no_circles_between_modules():
    """What a module imports at its top is there before it."""
    graph: dict[str, set[str]] = {}
    files = {
        ".".join(["csc_fairseq", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    for module, path in files.items():
        names = imports_of(path.read_text(encoding="utf-8"), module)
        imported = {name if name in files else name.rpartition(".")[0] for name in names}
        graph[module] = {name for name in imported if name in files and name not in ("csc_fairseq", module)}
    TopologicalSorter(graph).prepare()


def test_the_test_would_notice():
    """Each of the three checks on a small example of what it forbids."""
    source = "from csc_fairseq.cli import main\nif TYPE_CHECKING:\n    import csc_fairseq.demo.run\n"
    assert imports_of(source, "x") == {"csc_fairseq.cli.main"}
    assert imports_of("def f():\n    import csc_fairseq.tasks.x\n", "x") == {"csc_fairseq.tasks.x"}
    assert HEIGHT[room_of("csc_fairseq.cli.main")] > HEIGHT[room_of("csc_fairseq.data.pool")]
    assert room_of("csc_fairseq.verification.trials.drawing") == "verification.trials"
    assert room_of("csc_fairseq.errors.InputError") == "errors"
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    with pytest.raises(AssertionError, match="is in no room"):
        room_of("csc_fairseq.utils.helpers")
