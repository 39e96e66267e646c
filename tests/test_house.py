"""The rules of the house that no linter knows: who may import whom, where matplotlib may be, and what no file says.

Each rule is a function from source text to complaints, so that a planted offence can show that it would be found.
"""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "numpynet"

# The rooms from the ground floor up; a room may import those of the floors below it, and itself. A file or folder of
# numpynet that stands in no row has no place yet: give it one.
FLOORS = [
    ["equations"],
    ["fields", "storage", "seeding", "statistics", "progress", "threads", "freed_memory"],
    ["dask_cluster"],
    ["parallel"],
    ["data"],
    ["parameters"],
    ["optimizers", "initializers", "schedules", "layer_rules"],
    ["network"],
    ["subnetworks"],
    ["plan", "training_checks", "survivors"],
    ["training"],
    ["checkpoints", "classifier", "dropout_choices"],
    ["train_choices"],
    ["gradcheck"],
    ["pruning"],
    ["lottery"],
    ["conformance"],
    ["figures", "report"],
    ["classroom"],
    ["audit", "train_run", "experiments", "check_run", "mutants_run"],
    ["demo", "link"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Everything from outside that may be imported; scikit-learn only where it has asked for it, by calling us. The suite
# of laws is a test, whoever runs it.
OUTSIDE = {"numpy", "matplotlib"}
OUTSIDE_OF = {
    Path("equations"): {"numpy"},
    Path("classifier.py"): {"numpy", "sklearn"},
    Path("dask_cluster.py"): {"distributed"},
    Path("parallel.py"): {"distributed"},
    Path("conformance"): {"numpy", "pytest", "hypothesis"},
}

# Code of strangers draws from the shared generator; to repeat its numbers, this file sets it and puts it back.
SHARED_GENERATOR = {Path("gradcheck/adapters.py"), Path("classroom/sandbox/child.py")}

# Public functions without an example of their own: what they do takes a folder, a command line or half a minute, or the
# example stands with their counterpart.
WITHOUT_EXAMPLE = {
    "classroom.autograder.run_one",
    "classroom.batch.run_batch",
    "classroom.grade_command.run_grade",
    "classroom.grading.blank_record",  # that of grade is one that is filled in
    "classroom.grading.grade",
    "classroom.grading.record_key",
    "classroom.pool.graded",
    "checkpoints.load_checkpoint",  # that of save_checkpoint loads
    "experiments.lottery_command.run",
    "experiments.lottery_ticket.take_ticket",
    "experiments.lottery_command.resume",
    "experiments.lottery_command.make_report",
    "experiments.lottery_compare.compare_runs",
    "experiments.lottery_command.run_and_tell",
    "experiments.lottery_command.level_facts",
    "demo.run_demo",
    "demo.dropout_experiment",
    "demo.ticket_experiment",
    "train_run.run_train",
    "training_checks.check_data",
    "training_checks.own_start",
    "training_checks.own_mask",
    "training_checks.own_frozen",
}
# Rooms and files of small inner functions, which others of the house use: there a docstring is enough.
WORKSHOPS = {Path("gradcheck"), Path("pruning/counts.py"), Path("commands"), Path("classroom/sandbox")}
# Rooms of laws, each of which is a statement in words already, beside its function.
LAWS = {Path("conformance")}

SOURCES = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def module_name(path: Path) -> str:
    """The dotted name of a file of the package: equations/linear.py is numpynet.equations.linear."""
    parts = ["numpynet", *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """The syntax tree of a source, all of it in a row; every rule reads it, none writes to it."""
    return tuple(ast.walk(ast.parse(source)))


def offences(rule: Callable[[str, Path], list]) -> dict[Path, list]:
    """The files of the package that break a rule, and how."""
    return {path: complaints for path, source in SOURCES.items() if (complaints := rule(source, path))}


def imported(source: str, module: str = "numpynet", *, is_package: bool = True) -> Iterator[tuple[str, ast.AST]]:
    """Every name that a source imports, anywhere in it, in full: numpynet.network.MLP, numpy, ..."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:
                yield f"{base}.{alias.name}", node


def room_of(name: str) -> str | None:
    """The room of an imported name; None for numpynet itself, which holds nothing but the version."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] not in ("__version__", "__init__") else None


# ---- imports point downwards ----------------------------------------------------------------------------------------


def upward_imports(source: str, path: Path) -> list[str]:
    """Imports of this file that go up, or to a room that has no floor."""
    module = module_name(path)
    room = room_of(module)
    complaints = []
    for name, node in imported(source, module, is_package=path.name == "__init__.py"):
        if name.split(".")[0] != "numpynet":
            continue
        other = room_of(name)
        if other is None or other == room:
            continue
        if room is None or other not in FLOOR_OF or FLOOR_OF[other] >= FLOOR_OF[room]:
            complaints.append(f"{path}:{node.lineno}: {module} imports {name}")
    return complaints


def test_every_room_has_a_floor():
    rooms = {path.parts[0].removesuffix(".py") for path in SOURCES} - {"__init__"}
    assert rooms <= FLOOR_OF.keys(), "give it a place in FLOORS"


def test_imports_point_downwards():
    assert [complaint for path, source in SOURCES.items() for complaint in upward_imports(source, path)] == []


@pytest.mark.parametrize(
    ("path", "source", "n"),
    [
        ("network.py", "from numpynet.training import begin", 1),
        ("network.py", "import numpynet.cli", 1),
        ("network.py", "from numpynet import lottery, parameters", 1),
        ("network.py", "def f():\n    from numpynet.demo import run_demo", 1),
        ("network.py", "from .training import begin", 1),
        ("equations/linear.py", "from ..network import MLP", 1),
        ("equations/linear.py", "from . import checks\nfrom .masks import density", 0),
        ("equations/__init__.py", "from .linear import linear_forward", 0),
        ("seeding.py", "from numpynet.statistics import t_interval", 1),  # neighbours on one floor
        ("network.py", "from numpynet.attic import box", 1),
        ("network.py", "from numpynet.parameters import Layout\nimport numpynet\nimport numpy.random", 0),
        ("__init__.py", "from numpynet.network import MLP", 1),  # it would be imported by --help
    ],
)
def test_an_upward_import_would_be_found(path, source, n):
    assert len(upward_imports(source, Path(path))) == n


def test_no_module_imports_itself_in_a_circle():
    modules = {module_name(path): path for path in SOURCES}
    graph = {}
    for module, path in modules.items():
        names = [name for name, _ in imported(SOURCES[path], module, is_package=path.name == "__init__.py")]
        names = [name if name in modules else name.rpartition(".")[0] for name in names]
        graph[module] = {name for name in names if name in modules} - {module}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("numpynet.equations.checks") < order.index("numpynet.network") < order.index("numpynet.cli")


def foreign_imports(source: str, path: Path) -> list[str]:
    """Imports from outside that this file may not have."""
    allowed = OUTSIDE_OF.get(path, OUTSIDE_OF.get(Path(path.parts[0]), OUTSIDE))
    names = {name.split(".")[0] for name, _ in imported(source)}
    return sorted(names - allowed - {"numpynet"} - sys.stdlib_module_names)


def test_nothing_else_is_imported_from_outside():
    assert offences(foreign_imports) == {}


def test_the_ground_floor_imports_numpy_alone():
    for path, source in SOURCES.items():
        if path.parts[0] == "equations":
            inside = {room_of(name) for name, _ in imported(source) if name.split(".")[0] == "numpynet"}
            assert inside <= {"equations"}


def test_a_foreign_import_would_be_found():
    assert foreign_imports("import scipy.stats, math\nfrom numpy import pi", Path("network.py")) == ["scipy"]
    assert foreign_imports("def f():\n    import matplotlib", Path("equations/linear.py")) == ["matplotlib"]
    assert foreign_imports("def f():\n    import matplotlib", Path("figures.py")) == []


def early_imports(source: str) -> list[int]:
    """Lines that import more than NumPy from outside when the module is imported, or pyplot at all.

    An import for type checkers alone is none.
    """
    found = [(name, node.lineno) for name, node in imported(source) if name.split(".")[0] in ("matplotlib", "sklearn")]
    late = set()
    for node in nodes(source) if found else ():
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if for_types or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            late |= {inner.lineno for inner in ast.walk(node) if isinstance(inner, (ast.Import, ast.ImportFrom))}
    return [line for name, line in found if line not in late or "pyplot" in name]


def test_matplotlib_is_imported_only_where_something_is_drawn():
    assert offences(lambda source, path: early_imports(source)) == {}


def test_an_early_import_of_matplotlib_would_be_found():
    assert early_imports("import matplotlib") == [1]
    assert early_imports("x = 1\nfrom matplotlib.figure import Figure") == [2]
    assert early_imports("class A:\n    import matplotlib") == [2]
    assert early_imports("def f():\n    from matplotlib import pyplot") == [2]
    assert (
        early_imports("if TYPE_CHECKING:\n    from matplotlib.figure import Figure\ndef f():\n    import matplotlib")
        == []
    )


# ---- randomness and pickles -----------------------------------------------------------------------------------------

GENERATORS = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "RandomState", "bit_generator"}


def global_randomness(source: str) -> list[int]:
    """Lines that use the generator which NumPy or Python shares among everybody."""
    lines = []
    for node in nodes(source):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            lines += [node.lineno] * (node.attr not in GENERATORS)
    for name, node in imported(source):
        parts = name.split(".")
        lines += [node.lineno] * (
            parts[0] == "random" or (parts[:2] == ["numpy", "random"] and not set(parts[2:]) <= GENERATORS)
        )
    return lines


def test_nobody_draws_from_a_shared_generator():
    assert offences(lambda source, path: global_randomness(source)).keys() == SHARED_GENERATOR


def test_a_shared_generator_would_be_found():
    assert global_randomness("np.random.seed(0)\nx = np.random.rand(3)\ny = numpy.random.normal()") == [1, 2, 3]
    assert global_randomness("from numpy.random import rand\nimport random\nfrom random import choice") == [1, 2, 3]
    assert global_randomness("rng = np.random.default_rng(0)\nrng.normal()\nisinstance(rng, np.random.Generator)") == []
    assert global_randomness("from numpy.random import default_rng\nimport numpy.random") == []


def pickles(source: str) -> list[int]:
    """Lines that read or write pickles."""
    lines = []
    for node in nodes(source):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            lines += [node.lineno] * (not isinstance(node.value, ast.Constant) or node.value.value is not False)
    lines += [
        node.lineno for name, node in imported(source) if name.split(".")[0] in ("pickle", "dill", "joblib", "shelve")
    ]
    return lines


def test_nobody_reads_pickles():
    assert offences(lambda source, path: pickles(source)) == {}


def test_a_pickle_would_be_found():
    assert pickles("np.load(f, allow_pickle=True)\nnp.load(f, allow_pickle=flag)\nimport pickle") == [1, 2, 3]
    assert pickles("np.load(f, allow_pickle=False)\nnp.load(f)") == []


# ---- docstrings -----------------------------------------------------------------------------------------------------


def poorly_documented(source: str, prefix: str, *, examples: bool = True) -> list[str]:
    """Public functions, classes and methods without a docstring, and public functions without an example."""
    names = []
    for node in nodes(source)[0].body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node) or ""
        is_function = not isinstance(node, ast.ClassDef)
        if not text or (
            is_function and examples and not re.search(r"^Examples\n-{8}\n(.*\n)*>>> ", text, re.MULTILINE)
        ):
            names.append(f"{prefix}.{node.name}")
        if not is_function:
            names += [
                f"{prefix}.{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, ast.FunctionDef)
                and not method.name.startswith("_")
                and not ast.get_docstring(method)
            ]
    return names


def missing_examples() -> set[str]:
    return {
        name
        for path, source in SOURCES.items()
        if LAWS.isdisjoint((path, Path(path.parts[0])))
        for name in poorly_documented(
            source,
            module_name(path).removeprefix("numpynet."),
            examples=WORKSHOPS.isdisjoint((path, *path.parents)),
        )
    }


def test_every_public_function_has_a_docstring_with_an_example():
    assert missing_examples() - WITHOUT_EXAMPLE == set()


def test_the_list_of_exceptions_is_no_longer_than_it_must_be():
    assert WITHOUT_EXAMPLE - missing_examples() == set()


def test_every_module_says_what_it_is_for():
    assert [path for path, source in SOURCES.items() if not ast.get_docstring(nodes(source)[0])] == []


def test_a_missing_docstring_would_be_found():
    source = '''
def bare(): ...
def told():
    """Text."""
def shown():
    """Text.

    Examples
    --------
    >>> shown()
    """
class Box:
    """Text."""
    def open(self): ...
    def _inner(self): ...
def _private(): ...
'''
    assert poorly_documented(source, "m") == ["m.bare", "m.told", "m.Box.open"]
    assert poorly_documented(source, "m", examples=False) == ["m.bare", "m.Box.open"]


# ---- what no file says ----------------------------------------------------------------------------------------------

# Paths of one machine, and hosts of package registries. They are put together here so that this file does not say them.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.~-])/(?:" + "|".join(["work", "tmp", "root", "home", "Users", "mnt"]) + r")/",
            r"\b[A-Z]:\\" + r"\\?Users\b",
            r"\b(?:"
            + "|".join(["pypi" + r"\.org", "python" + "hosted", "test" + r"\.pypi", "ana" + r"conda\.org"])
            + r")",
            r"\b(?:"
            + "|".join(["npm" + r"js\.(?:com|org)", "crates" + r"\.io", "docker" + r"\.io", "hugging" + "face"])
            + r")",
            r"\b(?:" + "|".join(["arti" + "factory", "ne" + "xus-repo", "dev" + "pi"]) + r")\b",
        ]
    ),
)


def forbidden_words(text: str) -> list[str]:
    """What a text says that depends on one machine."""
    return [match[0] for match in FORBIDDEN.finditer(text)]


def text_files() -> list[Path]:
    """The text files of the repository, as git knows them, and new ones that it does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git repository, so which files belong to it is not known")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    return [path for path in files if b"\0" not in path.read_bytes()[:8000]]


def test_no_file_speaks_of_one_machine():
    files = text_files()
    assert PACKAGE / "cli.py" in files
    assert Path(__file__).resolve() in files
    found = {str(path.relative_to(ROOT)): forbidden_words(path.read_text(encoding="utf-8")) for path in files}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/main/notes",
        'open("/' + 'tmp/x.npz")',
        "cd /" + "home/me/code",
        "C:\\" + "Users\\me",
        "pip install -i https://" + "pypi" + ".org/simple numpynet",
        "https://hugging" + "face.co/x",
    ],
)
def test_a_forbidden_word_would_be_found(text):
    assert len(forbidden_words(text)) == 1


@pytest.mark.parametrize(
    "text", ["runs/demo/report.html", "~/.cache/numpynet", "a net that does its homework/again", "../data"]
)
def test_harmless_words_are_let_pass(text):
    assert forbidden_words(text) == []
