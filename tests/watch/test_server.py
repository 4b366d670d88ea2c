"""The server of a run's page: what it answers, and whom."""

import http.client
import json
import socket
import threading

import pytest

from overparam.cli import main
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


def test_the_page_needs_no_other_host(server):
    status, body = ask(server, "/")
    assert status == 200
    text = body.decode()
    assert "connect-src 'self'" in text
    assert 'src="http' not in text
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
