"""Outputs appear as a whole or not at all; what killed runs left behind goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from spikequant import SpikeQuantError
from spikequant.outputs import replacing_file, replacing_folder, workspace


def ours(folder):
    return (folder / "mark").is_file()


def write(folder, text):
    (folder / "mark").write_text(text)


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "new" / "out"
    with replacing_folder(target, ours, "ours") as fresh:
        write(fresh, "1")
        assert not target.exists()
    assert (target / "mark").read_text() == "1"
    assert not hidden(target.parent)


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    write(target, "old")
    (target / "left over").touch()
    with replacing_folder(target, ours, "ours") as fresh:
        write(fresh, "new")
        assert (target / "mark").read_text() == "old"
    assert [path.name for path in target.iterdir()] == ["mark"]
    assert (target / "mark").read_text() == "new"


def test_failure_keeps_the_old(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    write(target, "old")
    with pytest.raises(ZeroDivisionError), replacing_folder(target, ours, "ours") as fresh:
        write(fresh, "new")
        raise ZeroDivisionError
    assert (target / "mark").read_text() == "old"
    assert not hidden(tmp_path)


@pytest.mark.parametrize("make", ["folder", "file"])
def test_error_something_else_is_there(tmp_path, make):
    target = tmp_path / "out"
    if make == "folder":
        target.mkdir()
        (target / "precious").touch()
    else:
        target.touch()
    context = replacing_folder(target, ours, "a compiled model")
    with pytest.raises(SpikeQuantError, match="is not a compiled model"), context:
        pytest.fail("the body must not run")
    assert target.exists()


def test_file_keeps_umask_and_old_content_until_the_end(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with replacing_file(target) as fresh:
        fresh.write_text("new")
        fresh.chmod(0o600)
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    assert not hidden(tmp_path)


def test_error_file_is_a_folder(tmp_path):
    with pytest.raises(SpikeQuantError, match="is a folder"), replacing_file(tmp_path):
        pass


def test_error_nothing_was_written(tmp_path):
    with pytest.raises(SpikeQuantError, match="cannot be written"), replacing_file(tmp_path / "a"):
        pass


def test_error_no_permission(tmp_path):
    (tmp_path / "file").touch()
    below_a_file = tmp_path / "file" / "out"
    with pytest.raises(SpikeQuantError, match="cannot be written"), replacing_file(below_a_file):
        pass


def test_abandoned_folders_go_and_used_ones_stay(tmp_path):
    """A killed process leaves its folder; its lock goes with it."""
    code = (
        "import sys, time, pathlib; from spikequant.outputs import workspace\n"
        f"with workspace(pathlib.Path({str(tmp_path / 'a[1]')!r})) as work:\n"
        "    (work / 'half').touch(); print(work, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    folder = tmp_path / os.path.basename(process.stdout.readline().strip())
    try:
        with workspace(tmp_path / "a[1]"):
            assert folder.exists(), "still in use"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with workspace(tmp_path / "a"):
            assert folder.exists(), "belongs to another output"
        with workspace(tmp_path / "a[1]"):
            assert not folder.exists()
    finally:
        process.kill()
        process.stdout.close()
