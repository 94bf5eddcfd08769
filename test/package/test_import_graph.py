# SPDX-License-Identifier: Apache-2.0
"""How the modules of dinoiser_ros hang together, read from their sources; nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from paths import ROOT

# The layers, the lowest first. A module imports from its own layer and from lower ones, never from
# a higher one, not even for type annotations: whoever needs a type of a higher layer knows too much
# about it. A name stands for a module, or for a package with everything in it that is not listed.
LAYERS = [
    ["errors", "utils", "option_schema"],
    ["pictures", "geometry", "objects"],
    ["messages"],
    ["temporal"],
    ["segmentation.weights", "segmentation.pixels"],
    ["segmentation.networks"],
    ["segmentation.examples"],
    ["segmentation.text"],
    ["segmentation.methods"],
    ["segmentation.device", "segmentation.options"],
    ["segmentation.engines"],
    ["segmentation.models"],
    ["segmentation.inference"],
    ["segmentation"],  # segmenter, and the names that the package exports
    ["visualization"],
    ["sim"],
    ["media"],
    ["web", "archives"],
    ["evaluation"],
    ["cli.arguments"],
    ["export"],
    ["training"],
    ["doctor"],
    ["cli", "ros"],
]
MOST_FILES = 14  # in a folder; whoever looks for a file reads all their names

PACKAGE = ROOT / "dinoiser_ros"
LAYER_OF = {f"dinoiser_ros.{name}": number for number, row in enumerate(LAYERS) for name in row}


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def name_of(path: Path, root: Path = ROOT) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, modules: set[str], root: Path = ROOT) -> set[str]:
    """Which of the modules a file imports: anywhere in it, and for type annotations, too."""
    package = list(path.relative_to(root).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {entry.name for entry in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            for entry in node.names:
                full = f"{base}.{entry.name}"
                found.add(full if full in modules else base)
    return found & modules


def graph_of(package: Path) -> dict[str, set[str]]:
    """Module -> those of the package that it imports."""
    root = package.parent
    modules = {name_of(path, root) for path in sources(package)}
    return {name_of(path, root): imports_of(path, modules, root) for path in sources(package)}


def layer(module: str) -> int:
    """The layer of a module, or of the nearest package around it that has one."""
    name = module
    while name not in LAYER_OF:
        name, _, last = name.rpartition(".")
        assert last and name, f"{module} is in no layer: give it one in LAYERS"
    return LAYER_OF[name]


def upward(graph: dict[str, set[str]]) -> list[str]:
    """The imports that go from a lower layer to a higher one."""
    return [
        f"{module} imports {target}"
        for module, targets in sorted(graph.items())
        for target in sorted(targets)
        if layer(target) > layer(module)
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, if there are such."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    found = graph_of(PACKAGE)
    del found["dinoiser_ros"]  # empty: rosidl writes a part of this package
    assert sum(map(len, found.values())) > 300
    return found


def test_no_import_goes_upward(graph: dict[str, set[str]]) -> None:
    assert upward(graph) == []


def test_no_imports_are_circular(graph: dict[str, set[str]]) -> None:
    assert circle(graph) == []


def test_imports_within_a_package_are_relative_and_all_others_absolute() -> None:
    wrong = []
    for path in sources(PACKAGE):
        package = name_of(path.parent / "__init__.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (
                node.level > 1 or (node.level == 0 and is_directly_in(node.module, package))
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: from {node.module}")
    assert wrong == []


def is_directly_in(module: str | None, package: str) -> bool:
    generated = ("dinoiser_ros.msg", "dinoiser_ros.srv")
    return module not in generated and (module or "").rpartition(".")[0] == package


def entry_points() -> Iterator[str]:
    """What starts a module: scripts of ROS, the Makefile, the command of the pip package."""
    files = [ROOT / "Makefile", ROOT / "setup.py", *(ROOT / "scripts").iterdir()]
    for file in files:
        text = file.read_text(encoding="utf-8")
        for word in text.replace(":", " ").replace('"', " ").split():
            if word.startswith("dinoiser_ros."):
                yield word


def test_every_module_is_used(graph: dict[str, set[str]]) -> None:
    used = set(entry_points()).union(*graph.values())
    for path in sources(ROOT / "bench", ROOT / "tools", ROOT / "launch"):
        used |= imports_of(path, set(graph))
    modules = {name_of(path) for path in sources(PACKAGE) if path.name != "__init__.py"}
    assert {name for name in modules - used if not name.endswith(".__main__")} == set()


def test_no_folder_has_too_many_files() -> None:
    folders = [path.parent for path in PACKAGE.rglob("__init__.py")]
    counts = {str(f.relative_to(ROOT)): len(list(f.glob("*.py"))) for f in folders}
    assert len(counts) > 20
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_every_package_says_what_is_in_it() -> None:
    top = PACKAGE / "__init__.py"
    assert top.read_text() == ""
    for path in sorted(PACKAGE.rglob("__init__.py")):
        if path != top:
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
    for path in sources(PACKAGE):
        assert path.with_name("__init__.py").is_file(), f"{path.parent} is no package"


def test_every_source_has_its_licence() -> None:
    names = ("dinoiser_ros", "test", "bench", "tools", "launch")
    files = [path for path in sources(*(ROOT / name for name in names)) if path.stat().st_size]
    files += [ROOT / name for name in ("setup.py", "CMakeLists.txt", "Makefile", "tools/env.sh")]
    files += [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]
    assert len(files) > 250
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        assert first == "# SPDX-License-Identifier: Apache-2.0", path


# -- that the tests above would find something ---------------------------------------------------


def write_package(folder: Path, **contents: str) -> Path:
    """A package dinoiser_ros; "__" in a name stands for a folder."""
    for name, content in contents.items():
        path = folder / "dinoiser_ros" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents:
            if parent.parts:
                (folder / parent / "__init__.py").touch()
        path.write_text(content)
    return folder / "dinoiser_ros"


@pytest.mark.parametrize(
    "statement",
    [
        "from dinoiser_ros.media.inputs import Input",
        "import dinoiser_ros.media.inputs",
        "from dinoiser_ros.media import inputs",
        "def later():\n    from dinoiser_ros.media.inputs import Input",
        "if TYPE_CHECKING:\n    from dinoiser_ros.media.inputs import Input",
        "from ..media.inputs import Input",
    ],
)
def test_an_import_that_goes_upward_is_found(tmp_path: Path, statement: str) -> None:
    package = write_package(tmp_path, utils__files=statement, media__inputs="")
    found = graph_of(package)
    assert upward({k: v for k, v in found.items() if k.count(".") > 1}) == [
        "dinoiser_ros.utils.files imports dinoiser_ros.media.inputs"
    ]


def test_a_circle_is_found(tmp_path: Path) -> None:
    package = write_package(
        tmp_path,
        sim__a="from .b import x",
        sim__b="from . import c",
        sim__c="from dinoiser_ros.sim.a import y",
    )
    assert set(circle(graph_of(package))) == {f"dinoiser_ros.sim.{name}" for name in "abc"}


def test_a_module_without_a_layer_is_found() -> None:
    with pytest.raises(AssertionError, match="in no layer"):
        layer("dinoiser_ros.somewhere.else")
