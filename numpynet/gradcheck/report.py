"""The report of one check: what was found, as text, as JSON, as a picture, at the level of detail that one wants.

Four levels: "off" says pass or fail; "where" adds the layer, the array and the entry; "ratio" the numbers; "cause" the
most likely cause. Homework wants "ratio", an examination "where"; corrected code is never printed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpynet.gradcheck.diagnosis import Cause

DETAILS = ("off", "where", "ratio", "cause")

STAGE_NAMES = (
    "calls, shapes and types",
    "forward values",
    "repeatable, nothing modified",
    "linear in the upstream gradient",
    "gradients",
    "the whole network",
    "weight decay",
    "masks, float32, extremes",
)


class GradientMismatch(AssertionError):
    """A layer did not pass its check; the report stands in ``report`` and, as a note, under the traceback."""

    def __init__(self, report: Report, detail: str = "cause") -> None:
        super().__init__(f"{report.layer}: {report.headline()}" if detail != "off" else "the check failed")
        self.report = report
        if hasattr(self, "add_note"):  # Python 3.11
            self.add_note(report.text(detail))
        else:
            self.args = (report.text(detail),)


@dataclass
class Report:
    """The result of checking one layer pair.

    ``status`` is "pass", "fail" (the layer is wrong), "error" (it raised), "wait" (it raises NotImplementedError) or
    "skip". The fields after ``message`` are None or 0 where the finding is not about numbers.
    """

    status: str
    layer: str
    task: str
    settings: str = ""  # "(keep_prob=0.7)"
    layer_index: int = 1
    n_layers: int = 1
    array: str | None = None
    stage: int | None = None
    kind: str = ""  # of the finding, a short word: "gradient", "forward", "shape", "dtype", "none", "mutation", ...
    message: str = ""  # one sentence: what was found
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    ratio: float | None = None
    factor: str = ""  # the name of the ratio, if it has one: "q", "1/N"
    max_abs_error: float | None = None
    scale: float | None = None
    rtol: float | None = None
    atol: float | None = None
    n_wrong: int = 0
    n_entries: int = 0
    n_spurious: int = 0
    n_missing: int = 0
    c: float | None = None
    residual: float | None = None
    cosine: float | None = None
    support: str = ""  # which entries are right, in words
    causes: tuple[Cause, ...] = ()
    description: str = ""  # what is known when no cause is
    kinks: tuple[tuple[tuple[int, ...], float], ...] = ()
    method: str = "complex step"
    h: float = 1e-30
    dtype: str = "float64"
    passed_before: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    file: str = "FILE.py"
    seed: int | None = None
    shape: tuple[int, ...] = ()
    q: float | None = None
    worst_error: float = 0.0  # relative, over everything that was compared; the figure to quote for a pass
    # The arrays behind the numbers, for the picture; not part of the JSON.
    analytic_array: np.ndarray | None = field(default=None, repr=False)
    numeric_array: np.ndarray | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Whether the status is "pass"."""
        return self.status == "pass"

    @property
    def cause(self) -> str | None:
        """The id of the first cause, or None."""
        return self.causes[0].id if self.causes else None

    def reproduce(self) -> str:
        """Return the command that repeats this check.

        Examples
        --------
        >>> Report("fail", "relu", "relu", file="mine.py", seed=7, shape=(5, 7, 11, 3)).reproduce()
        'numpynet check mine.py --task relu --seed 7 --shape 5,7,11,3'
        """
        if self.task == "function":
            return f"check_function(f, x, seed={self.seed})"
        shape = f" --shape {','.join(str(n) for n in self.shape)}" if self.shape else ""
        seed = f" --seed {self.seed}" if self.seed is not None else ""
        return f"numpynet check {self.file} --task {self.task}{seed}{shape}"

    def headline(self) -> str:
        """Return one line: what is wrong with which array.

        Examples
        --------
        >>> Report("fail", "relu", "relu", kind="gradient", array="dz", n_wrong=3, n_entries=35).headline()
        'dz is wrong in 3 of 35 entries'
        """
        if self.kind == "gradient":
            return f"{self.array} is wrong in {self.n_wrong} of {self.n_entries} entries"
        return self.message or self.status

    def text(self, detail: str = "cause") -> str:
        """Return the report for a person.

        Parameters
        ----------
        detail : "off", "where", "ratio" or "cause"

        Returns
        -------
        lines of text

        Examples
        --------
        >>> Report("pass", "relu", "relu").text("off")
        'PASS  relu'
        """
        level = _level(detail)
        if self.status != "fail" or level == 0:
            line = f"{self.status.upper()}  {self.layer}"
            if level == 0:
                return line
            line += f": {self.message}" if self.message else ""
            if self.passed and self.passed_before:
                line += f"  ({len(self.passed_before)} stages, worst error {self.worst_error:.0e}, {self.method})"
            lines = [line, *(f"  note: {note}" for note in self.notes)]
            if self.status in ("error", "fail"):
                lines.append(f"  reproduce: {self.reproduce()}")
            return "\n".join(lines)

        title = "GradientMismatch" if self.kind == "gradient" else "LayerMismatch"
        where = f"layer {self.layer_index} of {self.n_layers}  " if self.n_layers > 1 else ""
        lines = [f"{title}  {where}{self.layer}{self.settings}   {_of_what(self.array)}".rstrip()]
        if self.kind not in ("gradient", "forward"):
            lines.append(f"  {self.message}")
        elif level == 1:
            lines.append(f"  worst entry {_brackets(self.index)}")
        if level >= 2:
            lines += self._numbers(level)
        if level >= 3:
            lines += self._causes()
        if self.kinks and level >= 2:
            units = ", ".join(f"{_brackets(index)} (z = {z:.3g})" for index, z in self.kinks[:4])
            lines.append(f"  at a kink, judged by the bracket of both sides: {units}")
        lines += [f"  note: {note}" for note in self.notes] if level >= 2 else []
        if self.passed_before:
            lines.append(f"  passed before: {'; '.join(self.passed_before)}")
        if self.kind in ("gradient", "forward") and level >= 2:
            lines.append(f"  method: {self._method()}")
        lines.append(f"  reproduce: {self.reproduce()}")
        return "\n".join(lines)

    def _method(self) -> str:
        if self.kind == "forward":
            return f"the equation of the layer, tolerance {self.rtol:g}"
        return f"{self.method}, h {self.h:g}, tolerance {self.rtol:g}"

    def _named_factor(self, level: int) -> str:
        names = self.factor.replace("q", "keep_prob")
        return f", and that is {names}" if level >= 3 and self.factor and self.factor != "-1" else ""

    def _numbers(self, level: int) -> list[str]:
        if self.analytic is None or self.numeric is None:
            return []
        ratio = ""
        constant = self.ratio is not None and abs(self.ratio - 1) > 1e-4
        if constant and self.numeric:
            ratio = f"   ratio {self.ratio:.4f}"
        yours, expected = _same_digits(self.analytic, self.numeric)
        lines = [f"  worst entry {_brackets(self.index)}:  yours  {yours}   expected  {expected}{ratio}"]
        support = f"; {self.support}" if self.support else ""
        lines.append(f"  wrong: {self.n_wrong} of {self.n_entries} entries{support}")
        if constant and not self.n_spurious and not self.n_missing:
            lines.append(f"  yours = {self.ratio:.4f} x expected on every wrong entry{self._named_factor(level)}")
        elif self.n_spurious or self.n_missing:
            lines.append(f"  spurious (should be 0): {self.n_spurious}; missing (should not be 0): {self.n_missing}")
        return lines

    def _causes(self) -> list[str]:
        if not self.causes:
            return [f"  cause: {self.description}"] if self.description else []
        first, *others = self.causes
        lines = [f"  most likely: {first.text}"]
        lines += [f"  or: {cause.text}" for cause in others[:1]]
        return lines

    def to_dict(self, detail: str = "cause") -> dict[str, Any]:
        """Return the fields of the report as plain Python values without NaN or infinity; ``flags`` says where one was.

        Parameters
        ----------
        detail : "off", "where", "ratio" or "cause"

        Returns
        -------
        name -> value, as JSON can hold it

        Examples
        --------
        >>> Report("pass", "relu", "relu").to_dict()["status"]
        'pass'
        """
        level = _level(detail)
        flags: list[str] = []

        def number(name: str) -> float | None:
            value = getattr(self, name)
            if value is None:
                return None
            if not math.isfinite(value):
                flags.append(f"{name} is not finite")
                return None
            return float(value)

        result: dict[str, Any] = {"version": 1, "status": self.status, "task": self.task, "layer": self.layer}
        if level >= 1:
            result |= {
                "layer_index": self.layer_index,
                "n_layers": self.n_layers,
                "array": self.array,
                "stage": self.stage,
                "kind": self.kind,
                "message": self.message,
                "index": None if self.index is None else [int(i) for i in self.index],
                "passed_before": list(self.passed_before),
                "reproduce": self.reproduce(),
                "seed": self.seed,
                "shape": [int(n) for n in self.shape],
                "q": number("q"),
            }
        if level >= 2:
            result |= {name: number(name) for name in ("analytic", "numeric", "ratio", "max_abs_error", "scale")}
            result |= {name: number(name) for name in ("rtol", "atol", "c", "residual", "cosine", "worst_error", "h")}
            result |= {name: getattr(self, name) for name in ("n_wrong", "n_entries", "n_spurious", "n_missing")}
            result |= {"method": self.method, "dtype": self.dtype, "notes": list(self.notes), "support": self.support}
            result["kinks"] = [{"unit": [int(i) for i in index], "z": float(z)} for index, z in self.kinks]
        if level >= 3:
            result["hypotheses"] = [cause._asdict() for cause in self.causes]
            result["description"] = self.description
        result["flags"] = flags
        return result

    def to_json(self, detail: str = "cause") -> str:
        """Return ``to_dict`` as JSON text.

        Parameters
        ----------
        detail : "off", "where", "ratio" or "cause"

        Returns
        -------
        an object, indented

        Examples
        --------
        >>> json.loads(Report("pass", "relu", "relu").to_json("off"))["layer"]
        'relu'
        """
        return json.dumps(self.to_dict(detail), indent=2, allow_nan=False)

    def raise_if_failed(self, detail: str = "cause") -> Report:
        """Return the report if it passed, or raise GradientMismatch with its text.

        Parameters
        ----------
        detail : of the text of the error: "off", "where", "ratio" or "cause"

        Returns
        -------
        the report itself

        Raises
        ------
        GradientMismatch
            The status is not "pass".

        Examples
        --------
        >>> Report("pass", "relu", "relu").raise_if_failed().status
        'pass'
        """
        if not self.passed:
            raise GradientMismatch(self, detail)
        return self

    def figure(self) -> Any:
        """Return a matplotlib figure: yours, expected, and a heat map of where the gradient is wrong.

        Raises
        ------
        ValueError
            The finding is not about the entries of an array, so there is nothing to draw.
        """
        from matplotlib.figure import Figure  # only who draws needs it

        if self.analytic_array is None or self.numeric_array is None:
            raise ValueError(f"there is nothing to draw: this report is about {self.kind or self.status}, not entries")
        yours, expected = _as_matrix(self.analytic_array), _as_matrix(self.numeric_array)
        panels = [("yours", yours), ("expected", expected)]
        if yours.shape == expected.shape:
            panels.append(("yours - expected", yours - expected))
        figure = Figure(figsize=(3.6 * len(panels), 3.4), layout="constrained")
        limit = max(float(np.abs(expected).max(initial=0.0)), 1e-300)
        for axis, (title, values) in zip(figure.subplots(1, len(panels)), panels):
            image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
            axis.set(title=title, xlabel="column", ylabel="row")
        if self.index is not None and yours.shape == expected.shape:
            row, column = np.unravel_index(np.ravel_multi_index(self.index, self.analytic_array.shape), yours.shape)
            axis.plot(column, row, "k+", markersize=12)  # the worst entry
        figure.colorbar(image, ax=figure.axes, shrink=0.8)
        figure.suptitle(f"{self.layer}: {self.headline()}")
        return figure


def _level(detail: str) -> int:
    if detail not in DETAILS:
        raise ValueError(f"detail is {detail!r}, expected one of {', '.join(DETAILS)}")
    return DETAILS.index(detail)


def _of_what(array: str | None) -> str:
    if array is None:
        return ""
    if array == "y":
        return "output of forward"
    return f"d loss / d {array[1:]}" if array.startswith("d") else array


def _brackets(index: tuple[int, ...] | None) -> str:
    return "" if index is None else f"[{', '.join(str(int(i)) for i in index)}]"


def _same_digits(a: float, b: float) -> tuple[str, str]:
    """Write both numbers with the same digits after the point, or both with an exponent."""
    largest = max(abs(x) for x in (a, b) if math.isfinite(x)) if math.isfinite(a) or math.isfinite(b) else 0.0
    close = math.isfinite(a) and math.isfinite(b) and abs(a - b) < 1e-5 * largest
    digits = 12 if close else 6
    style = f".{digits}f" if 1e-3 <= largest < 1e6 or largest == 0 else f".{digits}e"
    return format(a, style), format(b, style)


def _as_matrix(array: np.ndarray) -> np.ndarray:
    return np.atleast_2d(array).reshape(-1, array.shape[-1] if array.ndim else 1).astype(np.float64)
