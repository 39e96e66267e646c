"""JUnit XML: a test case for each check; points are properties, as ``record_property`` of pytest writes them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from numpynet.classroom.exports.lines import lines_of
from numpynet.classroom.feedback import WORDS

TAGS = {"fail": "failure", "error": "error", "timeout": "error", "crash": "error", "wait": "skipped", "skip": "skipped"}


def junit_xml(record: Mapping[str, Any], detail: str) -> str:
    """Return the XML of one submission: failure is wrong, error has crashed or raised, skipped is not written or not tried.

    Parameters
    ----------
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    Text of an XML file.

    Examples
    --------
    >>> record = {"status": "ungradable", "message": "the file is empty", "tasks": [], "outline": [["1", 4]],
    ...           "seconds": 0.1, "assignment": "warmup", "submission": "ann"}
    >>> junit_xml(record, "off").splitlines()[1]
    '<testsuites>'
    """
    lines = lines_of(record, detail)
    tags = [
        "error" if record["status"] != "graded" and not record["tasks"] else TAGS.get(line.status, "") for line in lines
    ]
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(f"{record['assignment']}: {record['submission']}"),
        tests=str(len(lines)),
        failures=str(tags.count("failure")),
        errors=str(tags.count("error")),
        skipped=str(tags.count("skipped")),
        time=f"{record['seconds']:.3f}",
    )
    for line, tag in zip(lines, tags):
        case = ET.SubElement(
            suite, "testcase", classname=f"{record['assignment']}.task_{line.task}", name=_clean(line.name)
        )
        case.set("time", "0.000")
        properties = ET.SubElement(case, "properties")
        for name, value in (("points", line.points), ("max_points", line.max_points)):
            ET.SubElement(properties, "property", name=name, value=f"{value:g}")
        if tag:
            ET.SubElement(case, tag, message=_clean(line.text or WORDS[line.status]))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)
