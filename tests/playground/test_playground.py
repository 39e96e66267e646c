"""The playground computes what numpynet computes, in a real browser, and its buttons do what they say.

Where Node or a browser is missing, the tests that need one are skipped, visibly.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "playground"
NODE = shutil.which("node")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node, which runs JavaScript without a browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to open the playground in")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000",
)  # fmt: skip

spec = importlib.util.spec_from_file_location("export_numbers", FOLDER / "export_numbers.py")
export_numbers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(export_numbers)


def self_check(folder: Path) -> dict[str, float]:
    """Run the page's own check in Node: quantity -> worst difference."""
    script = 'console.log(JSON.stringify(require("./net.js").selfCheck(require("./numbers.js"))))'
    done = subprocess.run([NODE, "-e", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return {name: float("inf") if error is None else error for name, error in json.loads(done.stdout)}


def opened(folder: Path, profile: Path) -> str:
    """The page as it is after its scripts have run."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", (folder / "index.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture
def copied(tmp_path):
    """A copy of the playground, in which a piece of text may be replaced."""
    folder = tmp_path / "playground"
    shutil.copytree(FOLDER, folder)

    def change(name: str, old: str, new: str) -> Path:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
        return folder

    change.folder = folder
    return change


def test_the_numbers_are_those_of_this_numpynet():
    assert export_numbers.same(export_numbers.plain(export_numbers.numbers()), export_numbers.written())


def test_other_numbers_would_be_noticed():
    numbers = export_numbers.plain(export_numbers.numbers())
    numbers["check"]["dW"][1][2][3] += 1e-9
    assert not export_numbers.same(numbers, export_numbers.written())


@needs_node
def test_every_quantity_agrees():
    errors = self_check(FOLDER)
    assert len(errors) == 9
    assert max(errors.values()) < 1e-14


@needs_node
@pytest.mark.parametrize(
    ("old", "new", "noticed"),
    [
        ("(unitMask[n][i] * x) / keepProb", "unitMask[n][i] * x", "logits with both masks"),
        ("unitMask ? (unitMask[n][i] * sum) / keepProb : sum", "sum", "gradients of the weights"),
        ("if (weightMask) dW = times(weightMask, dW);", "", "gradients of the weights"),
        ("sum += delta[j] * weights[j];", "sum += delta[j];", "gradient of the input"),
        ("row.map((g, j) => (z[n][j] > 0 ? g : 0))", "row.map((g, j) => (g > 0 ? g : 0))", "gradients of the weights"),
        ("db[j] += delta[j];", "db[j] += delta[j] / 2;", "gradients of the biases"),
        ("(x - (k === labels[n] ? 1 : 0)) / N", "x - (k === labels[n] ? 1 : 0)", "gradient of the logits"),
        ("a[0] - b[0] || a[1] - b[1]", "a[0] - b[0] || b[1] - a[1]", "mask of exact count"),
        ("n - Math.floor((1 - density) * n + 0.5)", "Math.floor(density * n)", "mask of exact count"),
        ("(s.m / (1 - beta1 ** t))", "s.m", "steps of Adam"),
    ],
)
def test_a_planted_bug_is_noticed_by_the_page(copied, old, new, noticed):
    errors = self_check(copied("net.js", old, new))
    assert [name for name, error in errors.items() if error > 1e-6 and noticed in name], errors


@needs_browser
def test_the_page_checks_itself_in_a_browser(tmp_path):
    page = opened(FOLDER, tmp_path / "profile")
    assert 'data-check="pass"' in page
    assert re.search(r"This page computes what numpynet computes: 9 quantities, worst difference \d", page)


@needs_browser
def test_the_page_says_so_where_it_is_wrong(copied, tmp_path):
    page = opened(copied("net.js", "if (weightMask) dW = times(weightMask, dW);", ""), tmp_path / "profile")
    assert 'data-check="fail"' in page
    assert "This page does not compute what numpynet computes" in page


DRIVE = """
const said = {};
const click = (id) => $(id).click();
const slide = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("input")); };
const flat = (nested) => nested.flat(Infinity);
said.before = S.test.accuracy;
for (let k = 0; k < 397; k++) trainStep();
for (let k = 0; k < 3; k++) click("step");
said.steps = S.step;
said.after = S.test.accuracy;
slide("density", 0.3);
said.doomed = document.querySelectorAll("#net line[stroke-dasharray]").length;
click("prune");
said.left = S.masks.map(count);
said.largest = Math.min(...flat(S.theta.W[1]).map(Math.abs).filter((w) => w > 0));
for (let k = 0; k < 100; k++) trainStep();
click("step");
said.revived = flat(S.theta.W).filter((w, i) => !flat(S.masks)[i] && w !== 0).length;
click("rewind");
said.rewound = flat(S.theta.W).every((w, i) => w === flat(S.theta0.W)[i] * flat(S.masks)[i]);
said.edges = document.querySelectorAll("#net line").length;
click("fresh");
said.fresh = flat(S.theta.W).every((w, i) => (w === 0) === (flat(S.masks)[i] === 0)) && flat(S.theta.W)[0] !== flat(S.theta0.W)[0];
click("dense");
said.dense = count(S.masks);
slide("keep", 0.6);
let kept = 0, drawn = 0;
for (let k = 0; k < 60; k++) { click("redraw"); for (const mask of S.unitMasks.slice(1)) { kept += flat(mask).reduce((a, b) => a + b); drawn += flat(mask).length; } }
said.kept = kept / drawn;
said.inputsKept = S.unitMasks[0] === null;
const dropped = document.querySelectorAll("#net .node.dropped").length;
said.droppedAreDrawn = dropped === S.unitMasks.slice(1).reduce((n, mask) => n + flat(mask).filter((d) => !d).length, 0);
const node = document.querySelector("#net .node.selected");
node.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
said.selected = S.selected;
said.title = $("unit-title").textContent;
said.rows = document.querySelectorAll("#unit tbody tr").length;
document.documentElement.dataset.said = JSON.stringify(said);
"""


@needs_browser
def test_the_buttons_do_what_they_say(copied, tmp_path):
    page = copied.folder / "page.js"
    page.write_text(page.read_text(encoding="utf-8") + DRIVE, encoding="utf-8")
    dump = opened(copied.folder, tmp_path / "profile")
    (text,) = re.findall(r'data-said="([^"]*)"', dump)
    said = json.loads(text.replace("&quot;", '"'))
    assert said["steps"] == 400
    assert said["before"] < 0.75 < 0.85 < said["after"]
    assert said["left"] == [24 - 17, 144 - 101, 24 - 8]  # n - floor((1 - density) n + 1/2); the last layer: 0.65
    assert said["doomed"] == 192 - sum(said["left"]) and said["edges"] == sum(said["left"])
    assert said["revived"] == 0 and said["rewound"] and said["fresh"] and said["dense"] == 192
    assert abs(said["kept"] - 0.6) < 3.2724 / 1440**0.5  # Hoeffding, failure probability 1e-9
    assert said["inputsKept"] and said["droppedAreDrawn"]
    assert said["selected"] == [2, 0] and said["title"].startswith("hidden 2, unit 1") and said["rows"] == 12


def test_nothing_is_fetched_from_outside():
    for path in FOLDER.iterdir():
        if path.is_dir():
            continue
        addresses = re.findall(r"https?://[^\s\"'<>)]+", path.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path.name  # the name of the language, not an address
