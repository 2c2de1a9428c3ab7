"""Runs every test and ends with the line `N passed, N failed`.

Lint, generated documents, lit (FileCheck, executed and GoogleTest) and pytest; their
own output is shown as it comes, the counts are added up from their report files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"


def run(command: list, **options) -> subprocess.CompletedProcess:
    print("+", " ".join(str(word) for word in command), flush=True)
    return subprocess.run([str(word) for word in command], cwd=ROOT, **options)


def run_checks(command: list) -> tuple[int, int]:
    """A script that prints one `PASS name` or `FAIL name` line per check."""
    output = run(command, stdout=subprocess.PIPE, text=True)
    print(output.stdout, end="", flush=True)
    lines = output.stdout.splitlines()
    passed = sum(line.startswith("PASS ") for line in lines)
    failed = sum(line.startswith("FAIL ") for line in lines)
    return passed, failed or int(output.returncode != 0)


def run_lit(folders: list[Path], report: Path) -> tuple[int, int]:
    status = run([BIN / "lit", "-s", "-v", "--output", report, *folders]).returncode
    if not report.exists():
        return 0, 1
    codes = [test["code"] for test in json.loads(report.read_text())["tests"]]
    passed = sum(code in ("PASS", "XFAIL", "FLAKYPASS") for code in codes)
    failed = sum(code in ("FAIL", "XPASS", "UNRESOLVED", "TIMEOUT") for code in codes)
    return passed, failed or int(status != 0)


def run_pytest(report: Path, slow: bool) -> tuple[int, int]:
    selection = [] if slow else ["-m", "not slow"]
    command = [BIN / "pytest", "-q", "python/tests", f"--junitxml={report}", *selection]
    status = run(command).returncode
    if not report.exists():
        return 0, 1
    suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    return counts["tests"] - failed - counts["skipped"], failed or int(status != 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", action="store_true", help="the slow tiers as well")
    slow = parser.parse_args().slow
    tests = ROOT / "build" / "test"
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        results = [
            run_checks(["tools/dev/lint.sh"]),
            run_checks(["tools/dev/generate_docs.sh", "--check"]),
            run_lit([tests, tests / "unit"], reports / "lit.json"),
            run_pytest(reports / "pytest.xml", slow),
        ]
    passed = sum(result[0] for result in results)
    failed = sum(result[1] for result in results)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
