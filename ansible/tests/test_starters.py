"""target/starters: the very file that a contestant takes is started as its Containerfile says, and flooded until every
answer was right."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest
from conftest import PROJECT, flood

STARTERS = PROJECT / "target/starters"
EXPRESS = PROJECT / "build/starters/express"
REQUESTS = 2000


def command_of(starter):
    """What its image runs."""
    return json.loads(re.findall(r"^(?:CMD|ENTRYPOINT) (\[.*\])$", (STARTERS / starter / "Containerfile").read_text(), re.MULTILINE)[-1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(words, folder, port=None, listening=None, **environment):
    """Runs a starter, and yields its port: `port`, or the one that it prints after `listening`."""
    server = subprocess.Popen(
        words, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder), "VERSION": "v2", "FROM": "ECS", "TEAM": "alice", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )
    try:
        while port is None:
            line = server.stdout.readline()
            assert line, f"{words[0]} ended: {server.wait(timeout=20)}"
            found = re.search(listening, line)
            port = int(found.group(1)) if found else None
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as health:
                    assert health.status == 200
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, f"{words[0]} does not answer"
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def play(port):
    """A flood, and then a contest that gives nothing to a server that does not say whose it is."""
    flood(f"http://127.0.0.1:{port}/any/path?of=them", REQUESTS, "--connections", "16")
    owned(port)


def owned(port):
    contest = f"""
name = "starter"
[policy]
allow = ["127.0.0.0/8"]
ownership = "header"
[[phase]]
for = "1s"
rate = 100
[[contestant]]
name = "alice"
endpoint = "127.0.0.1:{port}"
"""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "contest.toml"
        file.write_text(contest)
        done = subprocess.run([PROJECT / "build/quick/flowtest-loadgen", "run", file, "--journal", f"{folder}/journal", "--json", "-"], capture_output=True, text=True, timeout=120, check=False)
    # 3: this machine stood still for a moment, which costs a contestant nothing.
    assert done.returncode in (0, 3) and json.loads(done.stdout)["contestants"][0]["points"] == 100 * 200, done.stdout + done.stderr


def test_flask_with_gunicorn_answers_everybody_with_their_own_token():
    words = ["127.0.0.1:0" if word == "0.0.0.0:8080" else word for word in command_of("flask")]
    words[0] = str(PROJECT / "build/ansible/bin" / words[0])
    with served(words, STARTERS / "flask", listening=r"Listening at: http://127\.0\.0\.1:(\d+)") as port:
        play(port)


def test_flask_says_what_the_tests_have():
    """The image takes the versions that the tests ran with."""
    import importlib.metadata

    pins = re.findall(r"(flask|gunicorn)==(\S+)", (STARTERS / "flask/Containerfile").read_text())
    assert dict(pins) == {name: importlib.metadata.version(name) for name in ("flask", "gunicorn")}


def test_express_answers_everybody_with_their_own_token():
    if not shutil.which("node") or not (EXPRESS / "node_modules/express").exists():
        pytest.skip("there is no node, or no express (ansible/bootstrap.sh --tests fetches it where npm is)")
    [wanted] = re.findall(r"express@(\S+)", (STARTERS / "express/Containerfile").read_text())
    assert json.loads((EXPRESS / "node_modules/express/package.json").read_text())["version"] == wanted
    shutil.copy(STARTERS / "express/server.js", EXPRESS)
    with served(command_of("express"), EXPRESS, listening=r"listening on (\d+)", PORT="0") as port:
        play(port)


def test_go_answers_everybody_with_their_own_token(tmp_path):
    if not shutil.which("go") or subprocess.run(["go", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("there is no go here")
    shutil.copy(STARTERS / "go/main.go", tmp_path)
    subprocess.run(["go", "build", "-o", "server", "main.go"], cwd=tmp_path, check=True, timeout=600, env={**os.environ, "CGO_ENABLED": "0", "HOME": str(tmp_path)})
    with served([str(tmp_path / "server")], tmp_path, listening=r"listening on (\d+)", PORT="0") as port:
        play(port)


def test_nginx_alone_answers_everybody_with_their_own_token(tmp_path):
    # What its image does with the file.
    [line] = re.findall(r"^RUN (sed .*)$", (STARTERS / "nginx/Containerfile").read_text(), re.MULTILINE)
    (tmp_path / "built.conf").write_text((STARTERS / "nginx/nginx.conf").read_text())
    subprocess.run(["sh", "-c", line.replace("/etc/nginx/nginx.conf", str(tmp_path / "built.conf"))], check=True, env={"PATH": os.environ["PATH"], "VERSION": "v2", "FROM": "ECS", "TEAM": "alice"})
    text = (tmp_path / "built.conf").read_text()
    port = free_port()
    for old, new in (("listen 8080", f"listen 127.0.0.1:{port}"), ("/tmp/", f"{tmp_path}/")):
        assert old in text
        text = text.replace(old, new)
    tmp_path.chmod(0o777)
    (tmp_path / "nginx.conf").write_text(text)
    with served(["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], tmp_path, port=port):
        play(port)


@pytest.mark.parametrize("starter", ["flask", "express", "go", "nginx"])
def test_a_starter_is_a_file_a_containerfile_and_five_lines(starter):
    files = {file.name for file in (STARTERS / starter).iterdir() if file.is_file()}
    assert len(files) == 3 and {"Containerfile", "README.md"} < files, files
    assert len((STARTERS / starter / "README.md").read_text().splitlines()) == 5
    containerfile = (STARTERS / starter / "Containerfile").read_text()
    assert "USER 65532:65532" in containerfile and "EXPOSE 8080" in containerfile
    assert [line for line in containerfile.splitlines() if line.startswith(("COPY", "FROM "))]
