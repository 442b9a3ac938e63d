"""The shortest way: one machine that carries everything, a house target beside it, and a contestant's machine.

What `make test` has of pretended machines; the story of a whole event (test_event.py) is told by `make test-long`.
"""

import datetime
import hashlib
import pathlib
import subprocess
import sys

import pytest
import yaml
from conftest import ANSIBLE, PROJECT, Organiser, ends_alone, pack, served

sys.path.insert(0, str(ANSIBLE / "filter_plugins"))
import flowtest

PLATFORM, HOUSE, CONTESTANT, PROGRAMMED, ENDING = "10.77.16.5", "10.77.16.6", "10.77.16.7", "10.77.16.8", "10.77.16.9"


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
    elsewhere = ['{"organiser_cidrs": ["192.0.2.0/24"]}']
    refused = organiser.play("site.yml", "--tags", "preflight", inventory=organiser.inventory, variables=elsewhere)
    refused.refused("we come from 10.77.0.1", "not in organiser_cidrs (192.0.2.0/24)", "would lock us out")
    organiser.play("site.yml", inventory=organiser.inventory).changed_something()
    assert "dport 22 ip saddr != { 10.77.0.1/32 } drop" in lab.shell("platform", "cat /etc/flowtest/firewall.nft")
    active = lab.shell("platform", "systemctl is-active flowtest-generator flowtest-redis flowtest-dashboard").split()
    assert active == ["active"] * 3
    outcome = organiser.play("verify.yml", inventory=organiser.inventory).changed_nothing()
    assert "1000 requests, 200000 points: exact" in outcome.text
    arguments = ["-u", "alice", "--private-key", str(organiser.state / "ssh_key")]
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},").changed_something()
    assert lab.shell("contestant", "systemctl is-active flowtest-target").strip() == "active"
    for name in ("platform", "house", "contestant"):
        lab.halt(name)


@pytest.mark.hosts
@pytest.mark.long
def test_a_contestant_takes_the_program_of_a_release_by_its_sum(novice_organiser, lab):
    """From an address or from here: no archive, no compiler, no other host."""
    organiser, there = novice_organiser, f"{PROGRAMMED},"
    lab.boot("programmed", PROGRAMMED, "alice", (organiser.state / "ssh_key.pub").read_text())
    arguments = ["-u", "alice", "--private-key", str(organiser.state / "ssh_key")]
    play = lambda *variables: organiser.play("target.yml", *arguments, inventory=there, variables=["release_dir=/nowhere", *variables])
    program = PROJECT / "build/quick/flowtest-target"
    sum = hashlib.sha256(program.read_bytes()).hexdigest()
    with served(program.parent) as place:
        address, its_sum = f"target_program={place}/flowtest-target", f"target_program_sha256={sum}"
        play(address).refused("target_program_sha256 is ''", "SHA256SUMS")
        play(address, f"target_program_sha256={'0' * 64}").refused("checksum")
        play(address, its_sum, "target_capacity=300", "target_team=alice").changed_something()
        play(address, its_sum, "target_capacity=300", "target_team=alice").changed_nothing()
    running = lab.shell("programmed", "readlink /proc/$(systemctl show -P MainPID flowtest-target)/exe")
    assert f"/releases/program-{sum[:16]}/" in running
    said = lab.shell("programmed", "curl --silent --dump-header - http://127.0.0.1/; systemctl show -P Environment flowtest-target")
    assert "team: alice" in said.lower() and "FLOWTEST_TARGET_CAPACITY=300" in said, said
    play(f"target_program={program}", f"target_program_sha256={'1' * 64}").refused(f"has the sum {sum}, and not 111")
    lab.halt("programmed")


@pytest.mark.hosts
def test_a_machine_stops_by_itself_when_its_end_has_come(lab):
    """By the units that site.yml writes there."""
    lab.boot("ending", ENDING, "ec2-user", "nobody logs in")
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)
    for unit in ("flowtest-ends.service", "flowtest-ends.timer"):
        text = (ANSIBLE / f"roles/common/templates/{unit}.j2").read_text().replace("{{ common_ends_at | instant_utc }}", flowtest.instant_utc(end.isoformat()))
        assert "{{" not in text
        lab.shell("ending", f"cat > /etc/systemd/system/{unit} <<'END'\n{text}END")
    said = lab.shell("ending", "systemctl daemon-reload; systemctl start flowtest-ends.timer; systemctl is-active flowtest-ends.timer")
    assert said.split() == ["active"], said
    lab.wait("ending")
    assert datetime.datetime.now(datetime.timezone.utc) >= end.replace(microsecond=0)


@pytest.mark.hosts
@pytest.mark.long
def test_a_machine_forgets_an_end_that_is_none_any_more(novice_organiser, lab, tmp_path):
    lab.boot("ending", ENDING, "ec2-user", (novice_organiser.state / "ssh_key.pub").read_text())
    playbook, filters = ends_alone(tmp_path)
    arguments = ["--become", "-u", "ec2-user", "--private-key", str(novice_organiser.state / "ssh_key")]
    play = lambda end: novice_organiser.play(playbook, *arguments, inventory=f"{ENDING},", variables=[f"end={end}"], environment=filters)
    states = lambda: lab.shell("ending", "systemctl is-active flowtest-ends.timer; systemctl is-enabled flowtest-ends.timer").split()
    # As match_prepare reads it.
    [again] = [play for play in yaml.safe_load((ANSIBLE / "match_prepare.yml").read_text()) if play.get("name") == "Tuning again"]
    [read] = [task["ansible.builtin.shell"] for task in again["tasks"] if task["name"] == "Read when the machine stops by itself"]
    assert lab.shell("ending", read) == ""
    play("2098-12-31T23:30:00-01:30").changed_something()
    assert states() == ["active", "enabled"] and lab.shell("ending", read) == "2099-01-01 01:00:00 UTC\n"
    play("").changed_something()
    assert states() == ["inactive", "disabled"] and lab.shell("ending", read) == ""
    play("").changed_nothing()
    lab.halt("ending")
