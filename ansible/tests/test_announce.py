"""What `provision` tells contestants comes to the page Rules, once, by the forms of a dashboard that runs."""

import os
import re
import subprocess
import sys
import urllib.request

import pytest
import yaml
from conftest import ANSIBLE, PROJECT

DASHBOARD = PROJECT / "build/quick/flowtest-dashboard"
# As the unit of the role has them.
TOLD = {"FLOWTEST_DASHBOARD_KIT_URL": "https://kit.example.org/NOTES.md", "FLOWTEST_DASHBOARD_TEST_SOURCE": "203.0.113.9"}
WAY_IN = "Contestants' machines in our network: subnet subnet-1 (10.77.16.0/20), security group sg-1 & zone us-east-1a."


@pytest.fixture
def dashboard(tmp_path):
    (tmp_path / "password").write_text("correct-horse-battery-staple\n")
    database = ["--database", str(tmp_path / "flowtest.db")]
    subprocess.run([DASHBOARD, "admin", "create", "admin", *database, "--password-file", tmp_path / "password"], check=True, capture_output=True, timeout=300)
    # Nothing listens there: what people are told needs no Redis.
    server = subprocess.Popen(
        [DASHBOARD, "serve", *database, "--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:9"], env=os.environ | TOLD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        port = None
        while port is None:
            line = server.stdout.readline()
            assert line, f"the dashboard ended: {server.wait(timeout=60)}"
            port = re.search(r"127\.0\.0\.1:(\d{2,})\b(?<!:9)", line)
        yield f"http://127.0.0.1:{port.group(1)}"
    finally:
        server.terminate()
        server.wait(timeout=120)


def announce(origin, password_file, text=WAY_IN):
    return subprocess.run([sys.executable, "-I", ANSIBLE / "tasks/announce.py", origin, "admin", password_file, text], capture_output=True, text=True, timeout=300, check=False)


def test_the_way_in_stands_on_the_page_rules_once(dashboard, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("another-password\n")
    refused = announce(dashboard, wrong)
    assert refused.returncode == 1 and "admin is not let in" in refused.stderr, refused.stderr
    first = announce(dashboard, tmp_path / "password")
    assert (first.returncode, first.stdout) == (0, "announced\n"), first.stderr
    with urllib.request.urlopen(f"{dashboard}/rules", timeout=60) as page:
        text = page.read().decode()
    assert "security group sg-1 &amp; zone us-east-1a" in text.replace("&#38;", "&amp;")
    assert '<a href="https://kit.example.org/NOTES.md"' in text and "<code>203.0.113.9</code>" in text.split("Tests and practice come from")[1]
    # Then nobody needs to sign in. What is the unit's needs no announcement.
    again = announce(dashboard, wrong)
    assert (again.returncode, again.stdout) == (0, "it stands there\n"), again.stderr


def test_what_provision_tells_is_what_site_announces():
    [told] = yaml.safe_load((ANSIBLE / "roles/cloud/tasks/told.yml").read_text())
    kept = told["block"][1]["ansible.builtin.copy"]
    assert kept["dest"] == "{{ cloud_state_dir }}/way_in" and "cloud_told" in kept["content"]
    ours = yaml.safe_load((ANSIBLE / "group_vars/all/main.yml").read_text())["way_in"]
    assert "state_dir ~ '/way_in'" in ours and "topology == 'vpc'" in ours
    # A page of the dashboard takes 500 characters; ids and networks are shorter than what stands for them here.
    assert len(told["vars"]["cloud_told"]) < 700
    tasks = yaml.safe_load((ANSIBLE / "roles/dashboard/tasks/run.yml").read_text())
    [task] = [one["ansible.builtin.script"]["cmd"] for one in tasks if "announce.py" in str(one.get("ansible.builtin.script"))]
    assert "dashboard_way_in | quote" in task
