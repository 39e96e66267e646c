"""``numpynet check`` on files as users write them: right, wrong in every way that there is a word for, and half done."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from numpynet.cli import main
from numpynet.gradcheck import bug

ROOT = Path(__file__).resolve().parents[1]

LAYERS = """
import numpy as np


def linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
    x_kept = x if unit_mask is None else x * unit_mask / keep_prob
    W_kept = W if weight_mask is None else W * weight_mask
    return x_kept @ W_kept + b, (x_kept, W_kept, unit_mask, keep_prob, weight_mask)


def linear_backward(dy, cache):
    x_kept, W_kept, unit_mask, keep_prob, weight_mask = cache
    dx, dW, db = dy @ W_kept.T, x_kept.T @ dy, dy.sum(axis=0)
    if unit_mask is not None:
        dx = dx * unit_mask / keep_prob
    if weight_mask is not None:
        dW = dW * weight_mask
    return dx, dW, db


def relu_forward(z):
    return z * (z.real > 0), z


def relu_backward(dh, z):
    return dh * (z.real > 0)
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Write a file, run ``numpynet check`` on it, and return the exit code, the output and the errors."""
    monkeypatch.chdir(tmp_path)

    def run(text, *arguments, name="mine.py"):
        if text is not None:
            Path(name).write_text(text)
        try:
            code = main(["check", name, *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def changed(old, new):
    assert LAYERS.count(old) == 1
    return LAYERS.replace(old, new)


CS231N = """
import numpy as np
from numpynet.gradcheck import linear_pair, relu_pair, softmax_cross_entropy_pair

def affine_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)

def layer_relu_forward(x):
    return np.maximum(0, x), x

def layer_relu_backward(dout, x):
    return dout * (x > 0)

def softmax_loss(x, y):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    dx = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(dx[np.arange(len(x)), y]).mean()
    dx[np.arange(len(x)), y] -= 1
    return loss, dx / len(x)

PAIRS = [
    linear_pair(affine_forward, affine_backward, name="affine", masked=False),
    relu_pair(layer_relu_forward, layer_relu_backward, name="relu layer"),
    softmax_cross_entropy_pair(
        lambda logits, labels: softmax_loss(logits, labels),
        lambda dloss, dx: dloss * dx,
        name="softmax_loss",
    ),
]
"""


# ---- right and wrong files -------------------------------------------------------------------------------------------


def test_a_right_file_passes(check):
    code, out, err = check(LAYERS)
    assert (code, err) == (0, "")
    relu, linear, *_ = out.splitlines()
    assert re.fullmatch(r"PASS  relu  \(6 stages, worst error \de-\d\d, complex step\)", relu)
    assert re.fullmatch(r"PASS  linear  \(6 stages, worst error \de-\d\d, complex step\)", linear)
    assert out.endswith("\n\n2 passed\n")  # and not a word about functions that are not there


def test_the_package_itself_passes(check):
    code, out, err = check(None, name="numpynet.conformance.reference")
    assert (code, err) == (0, "")
    assert out.endswith("\n18 passed\n")


def test_layers_of_another_course_are_listed_in_the_file(check):
    code, out, _ = check(CS231N)
    assert code == 0, out
    assert [line.split("  (")[0] for line in out.splitlines()[:3]] == [
        "PASS  affine",
        "PASS  relu layer",
        "PASS  softmax_loss",
    ]
    for old, new, cause in (
        ("dout.sum(axis=0)", "dout.mean(axis=0)", "the bias gradient is a mean over the batch"),
        ("dout * (x > 0)", "dout * (dout > 0)", "the ReLU gate is taken from the upstream gradient"),
        ("dx / len(x)", "dx", "not divided by the number of examples N"),
    ):
        assert CS231N.count(old) == 1
        code, out, _ = check(CS231N.replace(old, new))
        assert code == 1 and cause in out and "1 failed" in out


def test_a_call_that_does_not_fit_says_how_it_is_called(check):
    code, out, _ = check(
        "def linear_forward(x, W, b):\n    return x @ W + b, (x, W)\n"
        "def linear_backward(dy, cache):\n    return dy @ cache[1].T, cache[0].T @ dy, dy.sum(0)\n"
        "def softmax_cross_entropy_forward(logits, y):\n    return 0.0, y\n"
    )
    assert code == 1
    assert "it is called as forward(x, W, b, unit_mask=..., keep_prob=..., weight_mask=...)" in out
    assert "PAIRS = [linear_pair(affine_forward, affine_backward, name='affine', masked=False)]" in out
    assert "it is called as forward(logits, labels=...)" in out
    assert "layer_laws.py" not in out


def test_a_wrong_gradient_is_named_and_located(check):
    code, out, _ = check(changed("dx = dx * unit_mask / keep_prob", "dx = dx * unit_mask"))
    assert code == 1
    for line in (
        "GradientMismatch  layer 2 of 2  linear(keep_prob=",
        "most likely: the 1/keep_prob scale is missing in backward",
        "passed before: layers relu; calls, shapes and types; forward values;",
        "1 passed, 1 failed",
    ):
        assert line in out


@pytest.mark.parametrize(
    ("detail", "there", "not_there"),
    [
        ("off", ["FAIL  linear"], ["worst entry", "reproduce"]),
        ("where", ["worst entry ["], ["expected", "most likely"]),
        ("ratio", ["expected", "ratio 0."], ["most likely"]),
        ("cause", ["most likely"], []),
    ],
)
def test_four_levels_of_detail(check, detail, there, not_there):
    _, out, _ = check(changed("dx = dx * unit_mask / keep_prob", "dx = dx * unit_mask"), "--detail", detail)
    assert all(text in out for text in there)
    assert not any(text in out for text in not_there)


# Each is a mistake in relu or linear, the status that it has, and the words that it is told with.
BAD = {
    "returns None": ("    return dx, dW, db\n", "    pass\n", "fail", "backward returns None instead of dx, dW, db"),
    "forward returns None": ("    return z * (z.real > 0), z\n", "    z * (z.real > 0), z\n", "fail", "forward returns None"),
    "one None": ("return dx, dW, db", "return dx, None, db", "fail", "dW is None"),
    "no cache": ("return z * (z.real > 0), z\n", "return z * (z.real > 0)\n", "fail", "where two are expected: (output, cache)"),
    "too few gradients": ("return dx, dW, db", "return dx, dW", "fail", "backward returns 2 gradients, where 3 (dx, dW, db)"),
    "wrong arity": ("def relu_backward(dh, z):", "def relu_backward(dh):", "error", "backward raised TypeError: relu_backward() takes 1"),
    "wrong arity of forward": ("def relu_forward(z):", "def relu_forward(z, slope):", "error", "forward raised TypeError"),
    "wrong shape": ("dy.sum(axis=0)", "dy.sum(axis=0, keepdims=True)", "fail", "db has shape (1, "),
    "transposed": ("x_kept.T @ dy, dy", "dy.T @ x_kept, dy", "fail", "raised ValueError: operands could not be broadcast"),
    "NaN": ("return dh * (z.real > 0)", "return dh * (z.real > 0) / (z.real > 0)", "fail", "is nan"),
    "a list": ("return dh * (z.real > 0)", "return (dh * (z.real > 0)).tolist()", "fail", "gradients, where 1 (dz) are expected"),
    "not repeatable": ("return dh * (z.real > 0)", "return dh * (z.real > 0) * np.random.default_rng().random()", "fail", "two backward calls with the same arguments differ"),
    "draws its own mask": ("x * unit_mask / keep_prob\n    W", "x * (np.random.default_rng().random(x.shape) < keep_prob) / keep_prob\n    W", "fail", "two forward passes with the same arguments differ"),
    "modifies its input": ("    return z * (z.real > 0), z\n", "    gate = z.real > 0\n    z *= gate\n    return z * 1, z\n", "fail", "z is modified in place"),
    "modifies dy": ("return dh * (z.real > 0)", "dh *= z.real > 0\n    return dh.copy()", "fail", "dy, the upstream gradient is modified in place"),
    "casts to float": ("    return z * (z.real > 0), z\n", "    return z.astype(float) * (z.real > 0), z\n", "fail", "the forward casts complex to float"),
    "raises": ("return dh * (z.real > 0)", "return dh * mask", "error", "backward raised NameError: name 'mask' is not defined"),
    "ends the program": ("return dh * (z.real > 0)", "raise SystemExit(0)", "error", "backward raised SystemExit: 0"),
    "recursion": ("return dh * (z.real > 0)", "return relu_backward(dh, z)", "error", "backward raised RecursionError"),
    "integers": ("return dh * (z.real > 0)", "return (dh * (z.real > 0)).astype(int)", "fail", "dz holds whole numbers (int64)"),
    "not a function": ("def relu_backward(dh, z):", "relu_backward = 3\ndef other(dh, z):", "fail", "backward is a int, not a function"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_every_kind_of_bad_input_is_a_finding(check, what):
    old, new, status, words = BAD[what]
    code, out, err = check(changed(old, new), "--json")
    assert (code, err) == (1, "")
    (wrong,) = (report for report in json.loads(out)["reports"] if report["status"] != "pass")
    assert wrong["status"] == status
    assert words in " ".join([wrong["message"], *wrong["notes"]])
    code, out, err = check(None)
    assert (code, err) == (1, "")
    assert words in out
    assert "Traceback" not in out


def test_an_honest_cast_is_checked_by_differences(check):
    """Who drops the imaginary part but keeps the dtype passes, with a note."""
    code, out, err = check(changed("    return z * (z.real > 0), z\n", "    return z.real * (z.real > 0), z.real\n"))
    assert (code, err) == (0, "")
    assert "central difference" in out
    assert "  note: " in out


# ---- the command that reproduces -------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["1", "9", "15", "20b", "23", "24c", "28b"])
def test_the_line_that_reproduces_does(check, id):
    """Whatever was found, the printed command prints the same block again."""
    name = "my layers.py"  # a name that must be quoted
    text = f"from numpynet.gradcheck import bug\nglobals().update(bug({id!r}).plant()._asdict())\n"
    code, out, _ = check(text, "--seed", "3", name=name)
    assert code == 1
    (block,) = re.findall(r"^(?:Gradient|Layer)Mismatch.*?reproduce: [^\n]+\n", out, re.DOTALL | re.MULTILINE)
    command = shlex.split(block.splitlines()[-1].removeprefix("  reproduce: "))
    assert command[:3] == ["numpynet", "check", name]
    again = check(None, *command[3:], name=name)
    assert again[0] == 1
    assert what_was_found(again[1]) == what_was_found(block)


def what_was_found(text):
    """Return the lines about the finding itself: alone, a layer has no others before it."""
    return [line for line in text.splitlines() if line.startswith("  ") and "passed before" not in line]


@pytest.mark.parametrize("square", ["dy @ W_kept", "dy @ W_kept if dy.shape[1] == len(W_kept) else dy @ W_kept.T"])
def test_a_bug_that_only_a_square_layer_shows_is_reproduced_as_well(check, square):
    code, out, _ = check(changed("dy @ W_kept.T", square))
    assert code == 1
    command = shlex.split(re.search(r"reproduce: (.*)", out)[1])
    again = check(None, *command[3:])
    assert again[0] == 1
    assert "a transpose is forgotten" in out
    assert "a transpose is forgotten" in again[1]


def test_the_line_that_reproduces_a_law(check):
    text = "import numpy as np\ndef prune(W, mask, rate):\n    return mask * (abs(W) > np.quantile(abs(W), rate))\n"
    code, out, _ = check(text, "--seed", "5")
    assert code == 1
    command = shlex.split(re.search(r"reproduce: (.*)", out)[1])
    assert check(None, *command[3:])[:2] == (1, out)


def test_in_a_process_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text("print('hello')\n" + changed("dx * unit_mask / keep_prob", "dx * unit_mask"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "numpynet", "check", "mine.py", "--task", "linear_backward", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "hello\n")
    (report,) = json.loads(done.stdout)["reports"]
    assert report["hypotheses"][0]["id"] == "9"


# ---- half-finished files ---------------------------------------------------------------------------------------------


def test_what_is_not_written_yet_is_waited_for(check):
    text = changed("    return dh * (z.real > 0)\n", '    raise NotImplementedError("Task 2.1: relu_backward")\n')
    code, out, err = check(text)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "WAIT  relu: Task 2.1: relu_backward (relu_forward is right)"
    assert out.endswith("1 passed, 1 waiting\n")
    assert json.loads(check(None, "--json", "--task", "relu")[1])["status"] == "wait"


def test_a_forward_pass_is_judged_before_its_backward_pass_is_there(check):
    text = changed("    return z * (z.real > 0), z\n", "    return z * (z.real < 0), z\n").split("def relu_backward")[0]
    code, out, _ = check(text, "--task", "relu_forward")
    assert code == 1
    assert "LayerMismatch  relu   output of forward" in out
    code, out, _ = check(LAYERS.split("def relu_backward")[0])
    assert code == 0
    assert "SKIP  relu: relu_backward is not there (relu_forward is right)" in out


def test_a_loss_that_is_right_at_ordinary_logits_only(check):
    text = """
import numpy as np
def softmax_cross_entropy_forward(logits, labels):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    P = e / e.sum(axis=1, keepdims=True)
    return -np.log(P[np.arange(len(labels)), labels] + 1e-12).mean(), (P, labels)
def softmax_cross_entropy_backward(dloss, cache):
    P, labels = cache
    dlogits = P.copy()
    dlogits[np.arange(len(labels)), labels] -= 1
    return (dlogits * (dloss / len(labels))).astype(P.dtype)
"""
    code, out, _ = check(text)
    assert code == 1
    assert "logits of 1e4: the loss is " in out


def test_gradients_of_masks_need_the_forward_pass_of_the_layer(check):
    skip = "SKIP  mask_gradients: linear_forward is not there, whose cache it needs"
    text = "def mask_gradients(dy, cache):\n    return dy, dy\n"
    assert check(text) == (0, f"{skip}\n\n1 skipped\n", "")
    assert check(text, "--task", "mask_gradients")[1].startswith(skip)
    _, out, _ = check(
        text + LAYERS.split("def linear_forward")[0] + "def relu_forward" + LAYERS.split("def relu_forward")[1]
    )
    assert out.splitlines()[0] == skip
    assert out.splitlines()[1].startswith("PASS  relu")


# ---- masks and tickets -----------------------------------------------------------------------------------------------


def test_functions_of_masks_and_tickets_are_checked_as_well(check):
    text = """
def prune_count(rate, alive):
    return round(rate * alive)
def rewind(W_0, mask):
    return W_0 * mask
def sample_mask(rng, shape, keep_prob):
    raise NotImplementedError
def begin_ticket(theta_0, weight_mask=None):
    return None
def train_ticket(ticket, gradients):
    return ticket
"""
    code, out, err = check(text)
    assert (code, err) == (1, "")
    assert "LawBroken  prune_count\n  count: 0.1 of 5: 1 should go, but it says 0\n" in out
    assert "PASS  rewind: 2 laws hold\n" in out
    assert "WAIT  sample_mask: sample_mask is not written yet\n" in out
    assert "begin_ticket returns None (is the return statement missing?)" in out
    code, out, _ = check(None, "--task", "rewind")
    assert (code, out) == (0, "PASS  rewind: 2 laws hold\n\n1 passed\n")


def test_laws_that_cannot_be_tried_are_named(check):
    text = "from numpynet.conformance.reference import begin_ticket, train_ticket\n"
    _, out, _ = check(text)
    assert "PASS  begin_ticket: 3 laws hold\n" in out
    assert "PASS  train_ticket: 1 law holds; not tried: prune_ticket is not defined\n" in out
    text = "from numpynet.conformance.reference import load_ticket\n"
    assert check(text)[1] == "SKIP  load_ticket: begin_ticket is not defined\n\n1 skipped\n"


# ---- strangers -------------------------------------------------------------------------------------------------------

OBJECT = """
import numpy as np
from numpynet.gradcheck import from_object, linear_pair

class Dense:
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dy):
        self.grads = {"W": self.x.T @ dy, "b": BIAS}
        return dy @ self.W.T

forward, backward = from_object(
    Dense, parameters={"W": "W", "b": "b"}, gradients={"W": "grads.W", "b": "grads.b"}
)
PAIRS = [linear_pair(forward, backward, masked=False, name="dense")]
"""

PAIR = """
import numpy as np
from numpynet.gradcheck import from_cache, linear_pair

def affine_forward(x, w, b):
    return x @ w + b, (x, w)
def affine_backward(dout, cache):
    x, w = cache
    return {"b": BIAS.replace, "w": x.T @ dout, "x": dout @ w.T}

forward, backward = from_cache(affine_forward, affine_backward, order=("x", "w", "b"))
PAIRS = [linear_pair(forward, backward, masked=False, name="dense")]
""".replace("BIAS.replace", "BIAS")

CLOSURE = """
import numpy as np
from numpynet.gradcheck import from_closure, linear_pair

def affine(x, W, b):
    def backprop(dy):
        return dy @ W.T, x.T @ dy, BIAS
    return x @ W + b, backprop

forward, backward = from_closure(affine)
PAIRS = [linear_pair(forward, backward, masked=False, name="dense")]
"""


@pytest.mark.parametrize("text", [OBJECT, PAIR, CLOSURE], ids=["object", "pair", "closure"])
def test_three_styles_of_strangers(check, text):
    upstream = "dout" if "dout" in text else "dy"
    code, out, err = check(text.replace("BIAS", f"{upstream}.sum(0)"))
    assert (code, err) == (0, "")
    assert re.match(r"PASS  dense  \(5 stages, worst error \de-\d\d, complex step\)\n", out)
    code, out, err = check(text.replace("BIAS", f"{upstream}.mean(0)"))
    assert (code, err) == (1, "")
    assert "GradientMismatch  dense   d loss / d b" in out
    assert "most likely: the bias gradient is a mean over the batch" in out
    command = shlex.split(re.search(r"reproduce: (.*)", out)[1])
    assert check(None, *command[3:])[:2] == (1, out)


def test_a_self_drawing_dropout_of_a_stranger(check):
    text = """
import numpy as np
from numpynet.gradcheck import from_closure, self_drawing_dropout_pair

def dropout(keep_prob):
    def layer(h):
        mask = np.random.rand(*h.shape) < keep_prob
        return h * mask / keep_prob, lambda dy: dy * MASK / keep_prob
    return layer

PAIRS = [self_drawing_dropout_pair(lambda q: from_closure(dropout(q)), name="their dropout")]
"""
    assert check(text.replace("MASK", "mask"))[0] == 0
    code, out, _ = check(text.replace("MASK", "1"))
    assert code == 1
    assert "most likely: the unit mask is not applied in backward" in out


# ---- the command line ------------------------------------------------------------------------------------------------


def test_json_has_the_fields_of_the_report_and_no_nan(check):
    code, out, _ = check(changed("dy.sum(axis=0)", "dy.mean(axis=0)"), "--json", "--detail", "cause")
    document = json.loads(out, parse_constant=pytest.fail)
    assert (code, document["version"], document["file"], document["status"]) == (1, 1, "mine.py", "fail")
    passed, failed = document["reports"]
    assert (passed["layer"], passed["status"], failed["layer"], failed["array"]) == ("relu", "pass", "linear", "db")
    assert failed["hypotheses"][0]["text"] == bug("2b").explanation
    assert failed["reproduce"].startswith("numpynet check mine.py --task linear --seed 0 --shape ")
    document = json.loads(check(None, "--json", "--detail", "where")[1])
    assert "hypotheses" not in document["reports"][1]


def test_a_figure_of_the_first_wrong_gradient(check, tmp_path):
    text = changed("return dh * (z.real > 0)", "return dh * (z.real < 0)")
    code, _, err = check(text, "--figure", "wrong.png")
    assert (code, err) == (1, "")
    assert (tmp_path / "wrong.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = check(LAYERS, "--figure", "right.png")
    assert (code, err) == (0, "numpynet: no figure was drawn, because nothing is wrong\n")
    code, _, err = check(changed("return dx, dW, db", "return None"), "--figure", "right.png")
    assert (code, err) == (1, "numpynet: no figure was drawn, because no gradient is wrong\n")
    assert not (tmp_path / "right.png").exists()


def test_shape_and_seed_are_those_asked_for(check):
    text = changed("dy.sum(axis=0)", "dy.mean(axis=0)")
    (report,) = json.loads(check(text, "--task", "linear_forward", "--shape", "4,6,9,3", "--seed", 8, "--json")[1])[
        "reports"
    ]
    assert (report["shape"], report["seed"], report["layer"]) == ([4, 6, 9, 3], 8, "linear")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "5,7"), "'5,7' is not of the form 5,7,11,3"),
        (("--shape", "5,7,1,3"), "each at least 2"),
        (("--shape", "a,b,c,d"), "is not of the form"),
        (("--seed", "-1"), "a seed must be >= 0"),
        (("--detail", "all"), "invalid choice: 'all'"),
        (("--figure", "wrong.pdf"), "'wrong.pdf' is not the name of a .png file"),
        (("--figure", "nowhere/wrong.png"), "there is no folder"),
        (("--task", "conv"), "there is no task 'conv'; mine.py has relu, linear"),
        (("--task", "dropout"), "mine.py defines nothing for the task dropout; it has relu, linear"),
        (("--task", "prune"), "mine.py defines nothing for the task prune; it has relu, linear"),
    ],
)
def test_wrong_arguments_are_one_line(check, arguments, message):
    code, out, err = check(LAYERS, *arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"numpynet[^\n]*: error: [^\n]+\n", err)
    assert message in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "mine.py cannot be imported: SyntaxError in line 1"),
        ("import nowhere_to_be_found\n", "mine.py cannot be imported: ModuleNotFoundError in line 1"),
        ("x = {}\nx['W1']\n", "mine.py cannot be imported: KeyError in line 2: 'W1'"),
        (
            "def linear(x): return x\n",
            "mine.py: there is none of the functions to check in it; known are linear_forward",
        ),
        ("PAIRS = [1]\n", "mine.py: PAIRS must hold LayerPair records"),
        (None, "mine.py: there is no such file"),
    ],
)
def test_a_file_that_cannot_be_checked_is_one_line(check, text, message):
    code, out, err = check(text)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"numpynet: error: [^\n]+\n", err)
    assert message in err
