"""Gradescope: ``results.json``, and a zip with ``setup.sh`` and ``run_autograder`` that brings this package along."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpynet
from numpynet.classroom.exports.lines import lines_of


def gradescope_results(record: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """Return what Gradescope reads as ``results.json``: a test for each check; their points add up to those of the file.

    Parameters
    ----------
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    What JSON can hold.

    Examples
    --------
    >>> record = {"title": "Warm-up", "assignment": "warmup", "status": "ungradable", "score": 0.0, "seconds": 0.1,
    ...           "message": "the file is empty", "max_score": 4, "tasks": [], "outline": [["1", 4]], "sandbox": []}
    >>> gradescope_results(record, "off")["tests"][0]["status"]
    'failed'
    """
    return {
        "score": record["score"],
        "execution_time": record["seconds"],
        "output": record["message"],
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"assignment": record["assignment"], "status": record["status"], "sandbox": record["sandbox"]},
        "tests": [
            {
                "score": line.points,
                "max_score": line.max_points,
                "status": "passed" if line.status == "pass" else "failed",
                "name": line.name,
                "number": line.number,
                "output": line.text,
                "tags": [f"task {line.task}"],
                "visibility": "visible",
            }
            for line in lines_of(record, detail)
        ],
    }


SETUP = """#!/usr/bin/env bash
# Runs once, when the autograder is built: Python with NumPy in an environment of its own, and closed doors.
set -euo pipefail
root=${AUTOGRADER_ROOT:-/autograder}
apt-get update
apt-get install -y python3 python3-venv
python3 -m venv --copies "$root/venv"
"$root/venv/bin/pip" install "numpy>=2.0" matplotlib
# Submissions run as another user, who may use NumPy and read nothing of the grader.
chmod -R go-rwx "$root/source"
"""

RUN = """#!/usr/bin/env bash
# Runs for every submission.
set -uo pipefail
root=${AUTOGRADER_ROOT:-/autograder}
results=$root/results/results.json
mkdir -p "$root/results"
chmod 700 "$root/results" "$root/submission" "$root/source"
rm -f "$results"
cd "$root/source"
PYTHONPATH=$root/source/package "$root/venv/bin/python" -B -m numpynet autograder run --settings settings.json \\
    --submission "$root/submission" --metadata "$root/submission_metadata.json" --results "$results"
if [ ! -s "$results" ]; then
    echo '{"score": 0, "output": "The grader failed; please tell your teacher.", "stdout_visibility": "hidden"}' > "$results"
fi
"""


def gradescope_zip(settings: Mapping[str, Any], extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return the zip of an autograder: the two scripts, the settings, and this package.

    Parameters
    ----------
    settings : for ``numpynet autograder run``
    extra : further files, by their names in the zip

    Returns
    -------
    The bytes of a zip; the same input gives the same bytes.

    Examples
    --------
    >>> names = zipfile.ZipFile(io.BytesIO(gradescope_zip({"assignment": "warmup"}))).namelist()
    >>> names[:3]
    ['setup.sh', 'run_autograder', 'settings.json']
    """
    files = {
        "setup.sh": SETUP.encode(),
        "run_autograder": RUN.encode(),
        "settings.json": json.dumps(dict(settings), indent=2).encode(),
        **(extra or {}),
    }
    package = Path(numpynet.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".npz", ".txt"):
            files[f"package/numpynet/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # no clock: same content, same bytes
            info.external_attr = (0o100755 if name in ("setup.sh", "run_autograder") else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()
