"""The shortest way: one machine that carries everything, a house target beside it, and a contestant's machine.

What `make test` has of pretended machines; the story of a whole event (test_event.py) is told by `make test-long`.
"""

import pathlib
import subprocess

import pytest
from conftest import PROJECT, Organiser, pack

PLATFORM, HOUSE, CONTESTANT = "10.77.16.5", "10.77.16.6", "10.77.16.7"


@pytest.fixture(scope="module")
def novice_organiser(account, tmp_path_factory):
    """Somebody with machines that are there already, and without an account."""
    organiser = Organiser(tmp_path_factory.mktemp("two_hosts"), account)
    organiser.state.mkdir()
    key = organiser.state / "ssh_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    hosts = pathlib.Path(organiser.state / "hosts.yml")
    platform = "{platform: {ansible_host: %s, private_ip: %s}}" % (PLATFORM, PLATFORM)
    hosts.write_text(
        f"""all:
  vars:
    ansible_user: ec2-user
    ansible_ssh_private_key_file: {key}
  children:
    generator: {{hosts: {platform}}}
    redis: {{hosts: {platform}}}
    dashboard: {{hosts: {platform}}}
    target: {{hosts: {{house: {{ansible_host: {HOUSE}, private_ip: {HOUSE}}}}}}}
"""
    )
    organiser.inventory = str(hosts)
    return organiser


@pytest.mark.hosts
def test_site_verify_and_target_work_on_machines_that_are_there(novice_organiser, lab):
    organiser = novice_organiser
    key = (organiser.state / "ssh_key.pub").read_text()
    for name, address, user in [("platform", PLATFORM, "ec2-user"), ("house", HOUSE, "ec2-user"), ("contestant", CONTESTANT, "alice")]:
        lab.boot(name, address, user, key)
    pack(PROJECT / "build/quick", organiser.releases, "quick")
    organiser.play("site.yml", inventory=organiser.inventory).changed_something()
    active = lab.shell("platform", "systemctl is-active flowtest-generator flowtest-redis flowtest-dashboard").split()
    assert active == ["active"] * 3
    outcome = organiser.play("verify.yml", inventory=organiser.inventory).changed_nothing()
    assert "1000 requests, 200000 points: exact" in outcome.text
    arguments = ["-u", "alice", "--private-key", str(organiser.state / "ssh_key")]
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},").changed_something()
    assert lab.shell("contestant", "systemctl is-active flowtest-target").strip() == "active"
    for name in ("platform", "house", "contestant"):
        lab.halt(name)
