"""Who may import whom, held over the syntax trees."""

import ast
from pathlib import Path

import pytest

import tfimportance

PACKAGE = Path(tfimportance.__file__).parent

# A room may use itself, `_checks` and these; whoever is not here, nobody.
ALLOWED = {
    "__main__": {"cli"},
    "_arrays": set(),
    "_checks": set(),
    "_files": set(),
    "_metrics": set(),
    "_svg": set(),
    "_threads": set(),
    "allocation": {"weighting"},
    "bundle": {"_files", "serving"},
    "cli": {
        "_files",
        "config",
        "data",
        "datasets",
        "encoding",
        "pipeline",
        "review",
        "serving",
        "stages",
        "strategies",
    },
    "comparison": {
        "evaluation",
        "strategies",
        "training",
    },
    "config": set(),
    "data": {"datasets"},
    "datasets": set(),
    "diagnosis": {"importance", "reliability", "similarity"},
    "encoding": {"_files", "_threads"},
    "evaluation": set(),
    "examples": {"data", "evaluation", "importance", "training", "weighting"},
    "importance": {"_threads", "similarity"},
    "pipeline": {
        "_files",
        "comparison",
        "config",
        "data",
        "encoding",
        "importance",
        "reliability",
        "report",
        "serving",
        "stages",
        "strategies",
        "weighting",
    },
    "reliability": {"evaluation", "importance", "similarity", "weighting"},
    "report": {"_files", "_metrics", "_svg", "evaluation"},
    "review": {"_files", "data", "diagnosis", "encoding", "reliability"},
    "serving": {"_files", "data", "encoding", "importance", "similarity"},
    "similarity": set(),
    "stages": {
        "_files",
        "allocation",
        "bundle",
        "data",
        "encoding",
        "evaluation",
        "importance",
        "serving",
        "strategies",
        "training",
        "weighting",
    },
    "strategies": {"allocation", "importance", "reliability", "weighting"},
    "training": {
        "_files",
        "allocation",
        "evaluation",
        "importance",
        "similarity",
        "weighting",
    },
    "weighting": set(),
}


def rooms():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "__init__.py":
            yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            if node.module == "tfimportance":
                yield from (alias.name for alias in node.names)
            elif node.module.startswith("tfimportance."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("tfimportance")


@pytest.mark.parametrize(
    ("room", "path"),
    [*rooms()],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_room_imports_only_what_it_may(room, path):
    allowed = ALLOWED[room] | {room, "_arrays", "_checks", "__version__"}
    assert set(imported_rooms(path)) <= allowed


def test_no_two_rooms_need_each_other():
    for room, others in ALLOWED.items():
        for other in others:
            assert room not in ALLOWED[other], (room, other)


def test_every_public_name_is_there_and_documented():
    for name in tfimportance.__all__:
        assert getattr(tfimportance, name).__doc__, name


def test_public_names_are_sorted():
    assert list(tfimportance.__all__) == sorted(tfimportance.__all__)
