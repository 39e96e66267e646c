"""Write numbers.js: what the playground checks its own arithmetic against, and the points that it draws.

    python docs/playground/export_numbers.py          write the file
    python docs/playground/export_numbers.py --check  say whether the file is what this numpynet computes

Everything comes from numpynet, in float64, from fixed seeds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from numpynet.data import make_spirals, make_xor
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.equations.masks import prune_lowest, sample_mask
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.pruning.counts import survivors

FILE = Path(__file__).with_name("numbers.js")
SIZES, KEEP_PROB, LR = (2, 5, 4, 3), 0.7, 0.03
PREFIX = "/* Written by export_numbers.py from numpynet; not by hand. */\nconst NUMBERS = "


def check_case(rng: np.random.Generator) -> dict[str, object]:
    """A net with both masks: one forward pass, one backward pass, some cuts and some steps of Adam."""
    net = MLP(SIZES, keep_prob=KEEP_PROB)
    theta = Parameters(rng.normal(size=net.layout.size), net.layout)
    mask = Parameters.ones(net.layout, dtype=np.float64)
    for name in net.layout.weight_names:
        mask[name] = sample_mask(rng, mask[name].shape, 0.6, dtype=np.float64)
    x, labels = rng.normal(size=(6, 2)), rng.integers(0, 3, size=6)
    unit_masks = net.sample_unit_masks(rng, (6,), dtype=np.float64)
    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
    loss, loss_cache = softmax_cross_entropy_forward(logits, labels)
    dlogits = softmax_cross_entropy_backward(1.0, loss_cache)
    gradients = net.backward(dlogits, caches)
    dx = _input_gradient(net, theta, mask, caches, dlogits)
    evaluation, _ = net.forward(theta, x, weight_mask=mask)

    def arrays(parameters: Parameters, kind: str) -> list:
        return [parameters[f"{kind}{layer}"] for layer in range(1, net.n_layers + 1)]

    return {
        "W": arrays(theta, "W"), "b": arrays(theta, "b"), "weight_masks": arrays(mask, "W"),
        "unit_masks": unit_masks, "keep_prob": KEEP_PROB, "x": x, "labels": labels,
        "logits": logits, "evaluation": evaluation, "loss": loss, "dlogits": dlogits,
        "dW": arrays(gradients, "W"), "db": arrays(gradients, "b"), "dx": dx,
        "prune": [_cut(rng, density) for density in (0.0, 0.1, 0.25, 0.55, 1.0)], "adam": _adam(rng),
    }  # fmt: skip


def _input_gradient(net: MLP, theta: Parameters, mask: Parameters, caches, dlogits: np.ndarray) -> np.ndarray:
    """dL/dx, which MLP does not compute, because training does not need it.   Equation (B6)"""
    dz = dlogits
    for layer in range(net.n_layers, 0, -1):
        dh, _, _ = net.layer_rules[layer - 1].backward(dz, caches.linear[layer - 1], need_dx=True)
        if layer > 1:
            dz = net.activation.backward(dh, caches.activation[layer - 2])
    return dh


def _cut(rng: np.random.Generator, density: float) -> dict[str, object]:
    """Weights with ties, some of them dead already, cut to a density by magnitude.   Equation (L2)"""
    W = rng.integers(-4, 5, size=(5, 7)) / 2.0
    mask = sample_mask(rng, W.shape, 0.8, dtype=np.float64)
    k = max(int(mask.sum()) - survivors(density, W.size), 0)
    return {"W": W, "mask": mask, "density": density, "result": prune_lowest(np.abs(W), mask, k)}


def _adam(rng: np.random.Generator) -> dict[str, object]:
    """Three steps of Adam from given gradients.   Equation (O5)"""
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(3, 3, 4))
    w, adam = start.reshape(-1).copy(), Adam()
    state = adam.init(w)
    for g in gradients:
        adam.step(w, g.reshape(-1), state, LR)
    return {"start": start, "gradients": gradients, "lr": LR, "end": w.reshape(3, 4)}


def data_sets() -> dict[str, object]:
    """Training and test points of the two sets, rounded to what a picture shows."""
    made = {}
    for name, make, options in (
        ("xor", make_xor, {"noise": 0.45}),
        ("spirals", make_spirals, {"noise": 0.05, "turns": 0.8}),
    ):
        scale = 0.6 if name == "xor" else 1.0
        parts = {}
        for part, n, seed in (("train", 120, 0), ("test", 200, 1)):
            x, y = make(np.random.default_rng(seed), n, dtype=np.float64, **options)
            parts[part] = {"x": np.round(scale * x, 4), "y": y}
        made[name] = parts
    return made


def numbers() -> dict[str, object]:
    """Everything that the page needs."""
    return {"check": check_case(np.random.default_rng(7)), "data": data_sets()}


def plain(value: object) -> object:
    """Arrays as lists, numbers as numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def written() -> object:
    """What the file holds."""
    return json.loads(FILE.read_text(encoding="utf-8").removeprefix(PREFIX).partition(";\n")[0])


def same(a: object, b: object) -> bool:
    """Whether two structures agree, numbers to 1e-12 (processors add in different orders)."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-12 * max(1.0, abs(b))
    return a == b


def main(arguments: list[str]) -> int:
    """Write or check the file."""
    if arguments not in ([], ["--check"]):
        print("usage: export_numbers.py [--check]", file=sys.stderr)
        return 2
    if arguments:
        fits = FILE.exists() and same(plain(numbers()), written())
        print(f"{FILE.name} is {'what' if fits else 'not what'} this numpynet computes")
        return 0 if fits else 1
    text = json.dumps(plain(numbers()), separators=(",", ":"), allow_nan=False)
    FILE.write_text(
        f'{PREFIX}{text};\nif (typeof module !== "undefined") module.exports = NUMBERS;\n', encoding="utf-8"
    )
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
