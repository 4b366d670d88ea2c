"""The server of a run's page: what it answers, and whom."""

import gzip
import http.client
import json
import os
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest

from overparam.cli import main
from overparam.watch import RunFile
from overparam.watch import server as module
from overparam.watch.server import RunServer


@pytest.fixture
def server(tmp_path):
    with RunServer(tmp_path / "run.jsonl", port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path: str, **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=240)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def outside(text: str) -> list[str]:
    """What a page fetches from elsewhere; the text of a script is none of it."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.extend(
        value for name, value in attributes if name in ("src", "href") and "//" in (value or "")
    )
    parser.feed(text)
    return found


def test_the_page_needs_no_other_host(server):
    status, body = ask(server, "/")
    assert status == 200
    text = body.decode()
    assert "connect-src 'self'" in text
    assert outside(text) == []
    assert outside("<img src='https://example.invalid/x.png'>") == ["https://example.invalid/x.png"]
    assert ask(server, "/elsewhere")[0] == 404


def test_news_come_only_when_there_are_any(server):
    status, body = ask(server, "/state")
    news = json.loads(body)
    assert (status, news["state"]) == (200, "waiting")
    since = f"/state?since={news['version'].replace(' ', '%20')}"
    assert ask(server, since)[0] == 204
    server.run.path.write_text('{"begin": 0}\n{"steps": [0], "loss": [1.0], "lr": [0.1]}\n')
    status, body = ask(server, since)
    assert status == 200
    assert "loss" in json.loads(body)["figures"]


def test_a_name_that_points_here_from_elsewhere_is_refused(server):
    assert ask(server, "/", Host="evil.example:80")[0] == 403
    assert ask(server, "/state", Host="localhost:1")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
def test_other_machines_are_refused_unless_allowed(tmp_path, host, capsys):
    with pytest.raises(ValueError, match=r"watch\(host=...\).*127\.0\.0\.1"):
        RunServer(tmp_path / "run.jsonl", host=host, port=0)
    assert main(["watch", str(tmp_path / "run.jsonl"), "--host", host]) == 2
    error = capsys.readouterr().err
    assert "--allow-remote" in error
    assert len(error.splitlines()) == 1


def test_allowed_means_allowed(tmp_path):
    with RunServer(tmp_path / "run.jsonl", host="0.0.0.0", port=0, allow_remote=True) as server:
        assert server.server_address[0] == "0.0.0.0"


def test_a_port_in_use_is_one_sentence(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["watch", str(tmp_path / "run.jsonl"), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert "expected a free port, got Address already in use" in error
    assert "--port 0" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(tmp_path, port):
    with pytest.raises(ValueError, match=r"watch\(port=...\)"):
        RunServer(tmp_path / "run.jsonl", port=port)


def test_a_folder_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="a run's file, got a folder"):
        RunServer(tmp_path, port=0)


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind, capsys):
    path = tmp_path / "run.jsonl"
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            server.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        assert main(["watch", str(path), "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert "a run's file, got a pipe, a socket or a device" in error
    assert len(error.splitlines()) == 1


def test_a_record_that_becomes_a_pipe_holds_nobody_up(server):
    server.run.path.write_text('{"begin": 0}\n{"steps": [0], "loss": [1.0], "lr": [0.1]}\n')
    assert json.loads(ask(server, "/state")[1])["state"] == "running"
    server.run.path.unlink()
    os.mkfifo(server.run.path)
    assert json.loads(ask(server, "/state")[1])["state"] == "unreadable"
    server.run.path.unlink()
    assert json.loads(ask(server, "/state")[1])["state"] == "running"


def test_a_long_record_is_read_while_it_is_answered_for(server, monkeypatch):
    monkeypatch.setattr(module, "_PORTION", 1000)
    line = '{"steps": [%d], "loss": [1.0], "lr": [0.1]}\n'
    server.run.path.write_text("".join(line % step for step in range(100)))
    states = [json.loads(ask(server, "/state")[1]) for _ in range(6)]
    assert [state["state"] for state in states] == ["reading"] * 4 + ["running"] * 2
    assert "reading the record, " in states[0]["facts"]
    assert "step 99" in states[-1]["facts"]


def test_the_page_is_made_once(server, monkeypatch):
    made = []
    page = module.page
    monkeypatch.setattr(module, "page", lambda run: made.append(run) or page(run))
    _, plain = ask(server, "/")
    _, packed = ask(server, "/", **{"Accept-Encoding": "br, gzip"})
    assert len(made) == 1
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2


def test_an_answer_is_made_once_for_all_who_ask(server, monkeypatch):
    made = []
    answer = module.answer
    monkeypatch.setattr(module, "answer", lambda *a: made.append(a) or answer(*a))
    assert ask(server, "/state") == ask(server, "/state")
    assert len(made) == 1


def test_connections_that_say_nothing_give_way(server):
    server.most = 4
    before = threading.active_count()
    silent = [socket.create_connection(server.server_address, timeout=10) for _ in range(12)]
    try:
        assert ask(server, "/state")[0] == 200
        assert silent[0].recv(1) == b""  # closed by the server
        assert len(server._open) <= 4
        assert threading.active_count() < before + 12
    finally:
        for connection in silent:
            connection.close()


def test_a_connection_is_closed_when_it_is_silent_for_long(server, monkeypatch):
    assert 1 <= module._Answer.timeout <= 60  # longer than a page asks again after
    monkeypatch.setattr(module._Answer, "timeout", 0.1)
    with socket.create_connection(server.server_address, timeout=10) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(server.server_address, timeout=10) as halting:
        halting.sendall(b"GET / HT")
        assert halting.recv(1) == b""


def test_more_than_can_be_answered_are_told_so(server, monkeypatch):
    server.most = 1
    asked, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(server, "news", lambda since: asked.set() or (go_on.wait(30) and b"{}"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "/state")
        assert asked.wait(10)
        status, body = ask(server, "/state")
        assert (status, body) == (503, b"Too many connections; try again.\n")
        go_on.set()
        assert first.result()[0] == 200


def test_readers_that_leave_are_no_errors(server, capfd):
    for _ in range(3):
        with socket.create_connection(server.server_address, timeout=10) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reader.recv(10)
    assert ask(server, "//[")[0] == 404
    assert capfd.readouterr().err == ""


def test_a_name_that_is_no_text_has_a_page(tmp_path):
    name = os.fsdecode(b"run-\xff.jsonl")
    assert b"run-" in module.page(RunFile(tmp_path / name))
