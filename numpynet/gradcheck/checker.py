"""The checker: runs the stages on one layer pair and writes down what they found.

    report = check_pair(relu_pair(my_relu_forward, my_relu_backward))
    print(report.text())

A check never ends in a traceback because of the code under test; what went wrong stands in the report. It stops at the
first stage that fails, because what comes later would only repeat it, and says which stages passed before.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np

from numpynet.gradcheck.diagnosis import Cause, scaling_law, settled_causes
from numpynet.gradcheck.draws import Inputs, Sizes, draw_keep_prob, draw_sizes, streams
from numpynet.gradcheck.pairs import LayerPair
from numpynet.gradcheck.report import STAGE_NAMES, Report
from numpynet.gradcheck.run import Finding, Run
from numpynet.gradcheck.stages import STAGES

ALL_STAGES = range(len(STAGES))


def check_pair(
    pair: LayerPair,
    *,
    seed: int = 0,
    sizes: Sizes | None = None,
    keep_prob: float | None = None,
    stages: Collection[int] = ALL_STAGES,
    method: str | None = None,
    task: str | None = None,
    file: str = "FILE.py",
    max_entries: int = 2000,
) -> Report:
    """Check one forward and backward pair and say what is wrong with it.

    Parameters
    ----------
    pair : see ``LayerPair``
    seed : of the sizes, inputs and directions; it stands in the report
    sizes, keep_prob : None to draw them
    stages : which to run, of 0 ... 7; stage 0 always runs. ``(0, 2, 3, 4)`` suits strangers' code that was never meant
        to preserve float32 or to survive logits of 1e4
    method : "complex step" or "central difference" to force one
    task : the name for ``numpynet check --task``; None takes the pair's name
    file : for the command that reproduces
    max_entries : with more entries in all arrays together one random direction per array decides

    Returns
    -------
    the report; what the functions under test do wrong stands in it

    Raises
    ------
    ValueError
        sizes are not four positive integers, or the pair draws other arrays than it names.

    Examples
    --------
    >>> from numpynet.gradcheck import REFERENCE, bug, relu_pair
    >>> check_pair(relu_pair(REFERENCE.relu_forward, REFERENCE.relu_backward)).status
    'pass'
    >>> layers = bug("20c").plant()
    >>> check_pair(relu_pair(layers.relu_forward, layers.relu_backward)).causes[0].text
    'the ReLU gate is open on the wrong side, z < 0'
    """
    size_rng, q_rng, array_rng, direction_rng = streams(seed)
    sizes = draw_sizes(size_rng) if sizes is None else _checked_sizes(sizes)
    keep_prob = draw_keep_prob(q_rng, sizes) if keep_prob is None else keep_prob
    drawn = pair.draw(array_rng, sizes, keep_prob)
    inputs = drawn
    if pair.decay:
        inputs = Inputs(drawn.arrays, {**drawn.constants, pair.decay: 0.0})
    settings = f"(keep_prob={keep_prob:g})" if "keep_prob" in drawn.constants else ""
    run = Run(pair, sizes, keep_prob, inputs, direction_rng, method, max_entries)
    report = Report(
        "pass",
        pair.name,
        task or pair.name,
        settings=settings,
        file=file,
        seed=seed,
        shape=tuple(sizes),
        q=float(keep_prob),
    )
    passed: list[str] = []
    finding: Finding | None = None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            for number, stage in enumerate(STAGES):
                if (number and number not in stages) or not _concerns(pair, number):
                    continue
                run.stage = number
                if number == 6:
                    run.inputs = drawn
                stage(run)
                passed.append(STAGE_NAMES[number])
        except Finding as found:
            found.masked_as = _masked_as(pair, found.array)
            finding = _with_more_draws(pair, run, found, seed)
    report.passed_before = tuple(passed)
    report.notes = tuple(run.notes)
    report.method, report.h = run.used_method
    report.worst_error = run.worst_error
    report.kinks = tuple(dict.fromkeys(run.kinks))
    if finding is not None:
        _write(report, finding)
    return report


def _checked_sizes(sizes: Collection[int]) -> Sizes:
    if len(sizes) != 4 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
        raise ValueError(f"sizes must be four positive integers N, d_in, d_out, K, got {tuple(sizes)}")
    return Sizes(*sizes)


def _concerns(pair: LayerPair, stage: int) -> bool:
    """Say whether a stage is for this pair: a layer is checked by itself (4), a network as a whole (5 and 6)."""
    return {4: not pair.whole, 5: pair.whole, 6: pair.whole and pair.decay is not None}.get(stage, True)


def _write(report: Report, finding: Finding) -> None:
    """Enter a finding into the report."""
    report.status, report.stage, report.kind = finding.status, finding.stage, finding.kind
    report.message, report.array, report.causes = finding.message, finding.array, finding.causes
    report.notes = (*report.notes, *finding.notes)
    comparison, diagnosis = finding.comparison, finding.diagnosis
    if comparison is not None:
        wrong, index = comparison.wrong, comparison.index
        report.index, report.rtol, report.atol = index, comparison.rtol, comparison.atol
        flat = int(np.abs(comparison.analytic - comparison.numeric).argmax())
        report.analytic = float(comparison.analytic.reshape(-1)[flat])
        report.numeric = float(comparison.numeric.reshape(-1)[flat])
        report.max_abs_error, report.scale = comparison.max_abs_error, comparison.scale
        report.n_wrong, report.n_entries = int(wrong.sum()), int(wrong.size)
        report.analytic_array, report.numeric_array = comparison.analytic, comparison.numeric
        report.support = _support(comparison.numeric, wrong, finding.masked_as)
    if diagnosis is not None:
        report.c, report.residual, report.cosine = diagnosis.c, diagnosis.residual, diagnosis.cosine
        report.ratio, report.description = diagnosis.ratio, diagnosis.description
        report.factor = " or ".join(diagnosis.factors)
        report.n_spurious, report.n_missing = diagnosis.n_spurious, diagnosis.n_missing


def _masked_as(pair: LayerPair, array: str | None) -> str:
    """Say what an entry is called that should be 0."""
    mask = pair.masks.get((array or "")[1:], "")
    return {"unit_mask": "dropped ones", "weight_mask": "pruned ones"}.get(mask, "ones that should be 0")


def _support(numeric: np.ndarray, wrong: np.ndarray, masked_as: str) -> str:
    """Say in words which entries are right, if it is a set that has a name."""
    n_right = int((~wrong).sum())
    zero = numeric == 0
    if n_right and np.array_equal(~wrong, zero):
        return f"the {n_right} that are right are exactly the {masked_as}"
    if n_right and np.array_equal(wrong, zero):
        return f"the wrong ones are exactly the {masked_as}"
    return ""


def _with_more_draws(pair: LayerPair, run: Run, finding: Finding, seed: int) -> Finding:
    """Look at other draws where one cannot tell: a shape error in a square layer, a factor with two explanations."""
    try:
        if finding.kind == "raised in backward" and pair.candidates is not None:
            causes = _causes_when_square(pair, run, seed)
            if causes:
                finding.causes, finding.status = causes, "fail"
        ambiguous = len([c for c in finding.causes if 0.75 <= c.score < 1]) > 1
        c, residual = (None, None) if finding.diagnosis is None else (finding.diagnosis.c, finding.diagnosis.residual)
        is_factor = residual is not None and residual < 1e-6 and abs(c - 1) > 1e-5
        unknown = is_factor and not finding.causes
        nameless = bool(finding.causes) and finding.causes[0].id == "factor"
        if finding.kind == "gradient" and (ambiguous or unknown or nameless):
            finding.causes = _settled(pair, finding, seed)
    except Finding:  # other draws find other things; the first finding stands
        pass
    return finding


def _causes_when_square(pair: LayerPair, run: Run, seed: int) -> tuple[Cause, ...]:
    """Return the causes that show when the layer is square, where a product in the wrong order does not raise."""
    N, d_in, _, K = run.sizes
    for sizes in (Sizes(N, d_in, d_in, K), Sizes(d_in, d_in, d_in, K)):
        rng = np.random.default_rng(seed)
        square = Run(pair, sizes, run.keep_prob, pair.draw(rng, sizes, run.keep_prob), rng, run.method)
        try:
            STAGES[0](square)
            STAGES[4](square)
        except Finding as finding:
            if finding.causes:
                return finding.causes
    return ()


def _settled(pair: LayerPair, finding: Finding, seed: int, n_draws: int = 10) -> tuple[Cause, ...]:
    """Measure the factor in draws of other sizes; how it scales with N, K and q says what it is."""
    name = finding.array[1:]
    cs, draws = [], []
    for k in range(1, n_draws + 1):
        size_rng, q_rng, array_rng, direction_rng = streams(seed + 7919 * k)
        sizes = draw_sizes(size_rng)
        q = draw_keep_prob(q_rng, sizes)
        inputs = pair.draw(array_rng, sizes, q)
        if pair.decay:
            inputs.constants[pair.decay] = 0.0
        run = Run(pair, sizes, q, inputs, direction_rng)
        STAGES[0](run)
        gradient = run.gradients[pair.differentiable.index(name)]
        diagnosis = run.diagnosed(name, gradient)
        if diagnosis.c is None or diagnosis.residual is None or diagnosis.residual > 1e-6:
            return finding.causes
        cs.append(diagnosis.c)
        draws.append({"2": 2.0, "N": sizes.N, "K": sizes.K, "q": q, "1-q": 1 - q, "d_in": sizes.d_in})
    return settled_causes(finding.causes, scaling_law(cs, draws), cs[0])
