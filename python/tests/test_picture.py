"""The picture of a network in the docs is that of the exporter as it is."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"


def test_picture_is_current(tmp_path):
    script, out = ROOT / "tools" / "dev" / "draw_network.py", tmp_path / "network.svg"
    subprocess.run([sys.executable, script, PICTURES / "network.mlir", out], check=True)
    committed = PICTURES / "network.svg"
    assert out.read_text() == committed.read_text(), "run 'make docs' and commit docs/pictures"
    circles = ElementTree.parse(committed).findall(".//{http://www.w3.org/2000/svg}circle")
    # 2 channels of 2 rails and 4 pulses; 2 neurons and 3 relays; 2 rails.
    assert len(circles) == 8 + 5 + 2
