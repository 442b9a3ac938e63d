"""flowtest-stop, as the role writes it on the dashboard's host, against a Redis as the role configures it: TLS, and the dashboard's user."""

import hashlib
import json
import shutil
import socket
import subprocess
import time

import jinja2
import pytest
import yaml
from conftest import ANSIBLE, PROJECT

LOADGEN = PROJECT / "build/quick/flowtest-loadgen"


def rendered(file, **variables):
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["bool"] = bool
    environment.filters["hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    return environment.from_string((ANSIBLE / "roles" / file).read_text()).render(**variables)


@pytest.fixture
def redis(tmp_path):
    """(command line of its administrator, its address)."""
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server here")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-subj", "/CN=redis",
         "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", tmp_path / "redis.key", "-out", tmp_path / "redis.crt"],
        check=True, capture_output=True,
    )
    keys = yaml.safe_load((ANSIBLE / "roles/redis/vars/main.yml").read_text())
    named = {"redis_contest": "finals"}
    for name in ("redis_of_contest", "redis_of_verify", "redis_keys", "redis_generator_keys"):
        named[name] = jinja2.Template(keys[name]).render(**named)
    passwords = {f"redis_password_{user}": f"{user}-password" for user in ("admin", "generator", "dashboard")}
    (tmp_path / "users.acl").write_text(rendered("redis/templates/users.acl.j2", **named, **passwords).replace("\n~", " ~") + "\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", tmp_path, "--appendonly", "yes", "--save", "",
         "--aclfile", tmp_path / "users.acl", "--tls-cert-file", tmp_path / "redis.crt", "--tls-key-file", tmp_path / "redis.key",
         "--tls-auth-clients", "no", "--maxmemory-policy", "noeviction"],
        stdout=subprocess.DEVNULL,
    )
    admin = ["redis-cli", "--user", "admin", "--pass", "admin-password", "--no-auth-warning", "--tls", "--cacert", str(tmp_path / "redis.crt"), "-p", port]
    try:
        end = time.monotonic() + 60
        while subprocess.run([*admin, "PING"], capture_output=True, text=True, check=False).stdout.strip() != "PONG":
            assert server.poll() is None and time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.1)
        yield admin, f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_traffic_is_stopped_without_the_dashboard(redis, tmp_path):
    admin, address = redis
    document = {
        "name": "finals", "phase": [{"for": "30s", "rate": 10, "connections": 1}], "contestant": [{"name": "alice", "endpoint": "http://127.0.0.1:9/"}], "policy": {}, "dialect": 1, "revision": 1,
        "state": "running",
    }
    subprocess.run([*admin, "SET", "flowtest:{finals}:control", json.dumps(document)], check=True, capture_output=True)
    text = rendered(
        "dashboard/templates/flowtest-stop.j2", dashboard_contest="finals", dashboard_redis_url=f"rediss://dashboard@{address}/",
        dashboard_redis_trust=str(tmp_path / "redis.crt"), dashboard_redis_volatile=False,
    )
    (tmp_path / "password").write_text("dashboard-password")
    script = tmp_path / "flowtest-stop"
    for ours, here in (("/opt/flowtest/current/bin/flowtest-loadgen", LOADGEN), ("/etc/flowtest/secrets/redis-dashboard", tmp_path / "password")):
        assert ours in text
        text = text.replace(ours, str(here))
    script.write_text(text)
    script.chmod(0o755)
    done = subprocess.run([script], env={}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "all traffic of finals is stopped" in done.stderr, done.stderr
    told = subprocess.run([*admin, "GET", "flowtest:{finals}:control"], capture_output=True, text=True, check=True).stdout
    assert json.loads(told)["halted"] is True, told


def test_the_role_writes_it_where_the_day_looks_for_it():
    tasks = yaml.safe_load((ANSIBLE / "roles/dashboard/tasks/configure.yml").read_text())
    [task] = [one["ansible.builtin.template"] for one in tasks if one.get("ansible.builtin.template", {}).get("src") == "flowtest-stop.j2"]
    assert (task["dest"], task["owner"], task["mode"]) == ("/usr/local/sbin/flowtest-stop", "root", "0755")
    assert f"ansible dashboard -b -e @event.yml -a {task['dest']}" in (PROJECT / "docs/EVENT.md").read_text()
