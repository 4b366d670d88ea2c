import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from overparam._files import expect_writable, replacing, write_whole


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which nothing can be brought to rest."""

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("content", ["Grüße\n1\r\n", b"\x00\xff"])
def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path, content):
    path = tmp_path / "a"
    assert write_whole(path, content) == path
    raw = path.read_bytes()
    assert (raw if isinstance(content, bytes) else raw.decode()) == content
    assert os.listdir(tmp_path) == ["a"]


def half_written(path, error):
    with replacing(path) as file:
        file.write("new")
        raise error


def test_an_exception_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error):
            half_written(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_keeps_the_old_file(tmp_path, full_disk):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(OSError, match=r"No space left .*a'$"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_told_before_the_work(tmp_path, full_disk):
    with pytest.raises(OSError, match=r"`--json` expected a file that can .* No space left"):
        expect_writable(tmp_path / "a", "--json")
    assert os.listdir(tmp_path) == []


def test_asking_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old")
    expect_writable(tmp_path / "a", "--json")
    expect_writable(tmp_path / "b", "--json")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_cannot_be_a_file_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="a folder that exists"):
        expect_writable(tmp_path / "no" / "a", "--json")
    with pytest.raises(OSError, match="the name of a file"):
        expect_writable(tmp_path, "--json")
    with pytest.raises(OSError, match="File name too long"):
        expect_writable(tmp_path / ("a" * 300), "--json")


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("")
    old.chmod(0o640)
    mask = os.umask(0o027)
    try:
        write_whole(old, "1")
        write_whole(new, "1")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_a_link_is_followed_and_a_pipe_is_written_to(tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder" / "file")
    write_whole(link, "1")
    write_whole(link, "2")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "2"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can be someone else")
def test_a_folder_one_may_not_write_to_is_told_before_the_work(tmp_path):
    script = (
        "import os, sys\n"  # imported as root: the interpreter itself may be root's alone
        "from overparam._files import expect_writable\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "expect_writable(sys.argv[1], '--json')\n"
    )
    for folder, expected in ((Path("/"), "a file that can be written"), (tmp_path, "")):
        # Into the first nothing can be written; the second cannot even be looked into.
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder / "a")],
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert "`--json` expected a file" in done.stderr
        assert expected in done.stderr


KILLED = """
import sys
from overparam._files import write_whole
for turn in range(10**9):
    write_whole(sys.argv[1], f"{turn % 10}" * 200_000)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_writer_leaves_one_whole_file(tmp_path):
    path = tmp_path / "a"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)])
        while not path.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = path.read_text()
        assert len(content) == 200_000
        assert set(content) == {content[0]}
        path.unlink()
