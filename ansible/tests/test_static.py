"""What needs neither an account nor a machine: syntax, versions that agree, documents that name what exists."""

import fnmatch
import importlib.util
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import time

import pytest
import yaml
from conftest import ANSIBLE, PLAYBOOKS, PROJECT, commands_of
from test_stop import rendered


def test_every_playbook_is_sound():
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory/hosts.example.yml", "--syntax-check", *PLAYBOOKS],
        cwd=ANSIBLE, capture_output=True, text=True, timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(PLAYBOOKS), done.stdout


def test_the_playbooks_are_those_that_were_promised():
    promised = "provision build site target match_prepare verify results backup restore teardown"
    assert {f"{name}.yml" for name in promised.split()} <= set(PLAYBOOKS)


def test_the_collection_is_the_one_that_collections_yml_names():
    installed = PROJECT / "build/ansible/collections/ansible_collections/amazon/aws/MANIFEST.json"
    version = yaml.safe_load(installed.read_text())["collection_info"]["version"]
    [named] = yaml.safe_load((ANSIBLE / "collections.yml").read_text())["collections"]
    assert named == {"name": "amazon.aws", "version": f"=={version}"}


def test_an_older_collection_at_home_is_not_taken(tmp_path):
    """ansible-galaxy may have put one there years ago."""
    old = tmp_path / ".ansible/collections/ansible_collections/amazon/aws"
    (old / "plugins/modules").mkdir(parents=True)
    (old / "plugins/modules/ec2_vpc_net.py").write_text("DOCUMENTATION = 'module: ec2_vpc_net\\nshort_description: of years ago\\ndescription: [old]\\nauthor: [x]'\n")
    (old / "MANIFEST.json").write_text(json.dumps({"collection_info": {"namespace": "amazon", "name": "aws", "version": "1.0.0"}}))
    done = subprocess.run(
        ["ansible-doc", "-t", "module", "--json", "amazon.aws.ec2_vpc_net"], cwd=ANSIBLE, env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=300, check=True,
    )
    filename = json.loads(done.stdout)["amazon.aws.ec2_vpc_net"]["doc"]["filename"]
    assert filename.startswith(str(PROJECT / "build/ansible/collections")), filename


def test_a_python_that_starts_nothing_is_not_taken(tmp_path):
    """Beside pyenv every version's name is in PATH, and most of them end with an error."""
    for name in ("python3.14", "python3.13", "python3.12", "python3"):
        (tmp_path / name).write_text("#!/bin/sh\necho \"pyenv: $0: command not found\" >&2\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    # No SSH: a local connection to a host of that name asks for its interpreter in the same way.
    done = subprocess.run(
        ["ansible", "all", "-i", "somewhere,", "-c", "local", "-m", "ansible.builtin.ping"], cwd=ANSIBLE,
        env={**os.environ, "PATH": f"{os.environ['PATH'].split(':')[0]}:{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=300, check=False,
    )
    assert done.returncode == 0 and "pong" in done.stdout, done.stdout + done.stderr


def test_a_fault_of_typing_is_a_sentence():
    """The filter that provision and site ask, with a case for each of its sentences."""
    sys.path.insert(0, str(ANSIBLE / "filter_plugins"))
    import flowtest

    for networks, words in [
        ("203.0.113.7/32", "wants a list"),
        (["203.0.113.7"], "a single address is 203.0.113.7/32"),
        (["2001:db8::7"], "a single address is 2001:db8::7/128"),
        (["203.0.113.7/33"], "which is no network"),
        (["anything/8"], "which is no network"),
        (["203.0.113.7/24"], "the network is 203.0.113.0/24"),
    ]:
        [fault] = flowtest.network_faults(networks, "organiser_cidrs")
        assert fault.startswith("organiser_cidrs") and words in fault, fault
    assert flowtest.network_faults(["203.0.113.7/32", "0.0.0.0/0", "2001:db8::/32"], "x") == []
    assert "IPv4" in flowtest.network_faults(["2001:db8::/32"], "x", [4])[0]
    unquoted = yaml.safe_load("at: 2026-12-01T10:20:00Z")["at"]
    assert "in quotes" in flowtest.instant_faults(unquoted, "deadline_from")[0]
    assert flowtest.instant_faults("2026-12-01T10:20:00+01:00", "x") == flowtest.instant_faults("", "x") == []
    assert "no instant" in flowtest.instant_faults("10:20", "x")[0]
    for never in ("2026-02-30T10:20:00Z", "2026-12-01T25:20:00Z", "2026-12-01T10:20:00+99:00", "0001-01-01T00:00:00+01:00"):
        assert "no calendar or clock" in flowtest.instant_faults(never, "x")[0], never
    beside = {"a": "10.77.0.0/24", "b": "10.77.16.0/20"}
    assert flowtest.subnet_faults(beside, "10.77.0.0/16", "v") == []
    assert [one[:4] for one in flowtest.subnet_faults(beside, "10.90.0.0/16", "v")] == ["a is", "b is"]
    assert flowtest.subnet_faults({**beside, "b": "10.77.0.0/20"}, "10.77.0.0/16", "v") == ["a (10.77.0.0/24) and b (10.77.0.0/20) overlap."]
    assert "from /16 to /28" in flowtest.subnet_faults(beside, "10.0.0.0/8", "v")[0]
    assert flowtest.subnet_faults({"a": "nothing"}, "10.77.0.0/16", "v") == [], "another filter tells it"
    assert flowtest.count_faults({"n": 20, "m": "1"}) == []
    assert [flowtest.count_faults({"n": bad}) for bad in ("2k", 0, -1, 1.5, "")] == [[f"n is '{bad}', and wants a whole number above 0."] for bad in ("2k", 0, -1, 1.5, "")]
    assert flowtest.instant_utc("2026-12-31T23:30:00.5-01:30") == "2027-01-01 01:00:00 UTC"
    assert flowtest.in_networks("::ffff:10.0.0.5", ["10.0.0.0/8"]) and flowtest.in_networks("fe80::1%eth0", ["fe80::/10"])
    assert not flowtest.in_networks("192.0.2.1", ["10.0.0.0/8", "2001:db8::/32"]) and not flowtest.in_networks("nobody", ["0.0.0.0/0"])


@pytest.mark.parametrize("practice", [False, True])
@pytest.mark.parametrize("authority", ["", "-----BEGIN CERTIFICATE-----"])
def test_whom_redis_is_trusted_by_says_nothing_about_contestants(practice, authority):
    """SSL_CERT_FILE would take the system's authorities from the whole program: no contestant with a public certificate would play."""
    defaults = yaml.safe_load((ANSIBLE / "roles/generator/defaults/main.yml").read_text())
    given = {"generator_practice_only": practice, "generator_ca": authority, "generator_redis_trust": "/etc/flowtest/redis.crt", "generator_redis_certificate": "its text"}
    unit = rendered("generator/templates/generator.service.j2", **{**defaults, **given})
    environment = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    assert environment["FLOWTEST_LOADGEN_REDIS_CA"] == "/etc/flowtest/redis.crt" and "FLOWTEST_LOADGEN_REDIS" in environment, unit
    assert environment.get("FLOWTEST_LOADGEN_CA") == ("/etc/flowtest/flowtest-generator-ca.pem" if authority else None), unit
    tasks = yaml.safe_load((ANSIBLE / "roles/generator/tasks/configure.yml").read_text())
    [written] = [one for one in tasks if "generator_ca" in str(one.get("when"))]
    assert written["ansible.builtin.copy"]["dest"].replace("{{ generator_service }}", "flowtest-generator") == "/etc/flowtest/flowtest-generator-ca.pem"
    told = [path for path in [*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("roles/**/*.j2"), *ANSIBLE.glob("roles/**/*.yml"), *ANSIBLE.glob("group_vars/**/*.yml")] if "SSL_CERT_FILE" in path.read_text()]
    assert told == [], told


def test_the_mask_of_cores_is_the_kernels():
    text = (ANSIBLE / "roles/tuning/templates/flowtest-tune.j2").read_text()
    [function] = re.findall(r"^mask_of\(\) \{.*?^\}$", text, re.MULTILINE | re.DOTALL)
    for cores, mask in [(1, "1"), (16, "ffff"), (32, "ffffffff"), (33, "1,ffffffff"), (96, "ffffffff,ffffffff,ffffffff"), (64, "ffffffff,ffffffff")]:
        assert subprocess.run(["sh", "-c", f"{function}\nmask_of {cores}"], capture_output=True, text=True, check=True).stdout.strip() == mask


def test_on_ec2_the_security_group_alone_decides_about_ssh():
    assert yaml.safe_load((ANSIBLE / "group_vars/aws_ec2.yml").read_text())["common_organiser_cidrs"] == []


def test_every_type_that_the_documents_advise_has_a_price():
    prices = yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())["cloud_prices"]
    texts = "".join((PROJECT / name).read_text() for name in ("docs/EVENT.md", "ansible/README.md", "ansible/roles/cloud/defaults/main.yml"))
    named = set(re.findall(r"\b[a-z][0-9][a-z]*\.[0-9]*(?:medium|large|xlarge)\b", texts))
    # A family alone is advised as well: the sizes of generators.
    named |= {f"{family}.{size}" for family in re.findall(r"\b(c[0-9]gn)\b", texts) for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")}
    assert "c8gn.4xlarge" in named and named <= set(prices), named - set(prices)


def templated(expression, **variables):
    """What Ansible makes of an expression."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import filter_loader
    from ansible.template import Templar, trust_as_template

    filter_loader.add_directory(str(ANSIBLE / "filter_plugins"))
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in variables.items()}
    return Templar(DataLoader(), variables=trusted).template(trust_as_template(expression))


def test_an_hour_costs_every_machine_with_its_address_and_its_disk():
    known = yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())
    fleets = [{"role": "generator", "count": 2, "type": "c7g.large", "disk": 500}, {"role": "builder", "count": 1, "type": "c7g.2xlarge", "disk": "60"}]
    cost = templated(
        known["cloud_hour_usd"], cloud_fleets=fleets, cloud_generator_count=2, cloud_journal_gib=100, cloud_data_gib=10,
        **{name: known[name] for name in ("cloud_prices", "cloud_price_address", "cloud_price_gib_month")},
    )
    disks = 2 * 500 + 60 + 2 * 100 + 10
    assert float(cost) == pytest.approx(2 * 0.0725 + 0.29 + 3 * 0.005 + disks * 0.08 / 730)


def test_what_is_typed_wrong_is_told_before_the_account_is_asked_and_made_after_what_stands_was_seen():
    preflight = [one["name"] for one in yaml.safe_load((ANSIBLE / "roles/cloud/tasks/preflight.yml").read_text())]
    assert preflight.index("Refuse a budget that warns nobody") < preflight.index("Look at the account")
    order = [one["ansible.builtin.import_tasks"] for one in yaml.safe_load((ANSIBLE / "roles/cloud/tasks/main.yml").read_text())]
    assert order.index("standing.yml") < order.index("budget.yml") < order.index("network.yml")


def test_a_budget_is_none_or_of_dollars_and_somebodys():
    [refuse] = [one["ansible.builtin.assert"] for one in yaml.safe_load((ANSIBLE / "roles/cloud/tasks/preflight.yml").read_text()) if one["name"] == "Refuse a budget that warns nobody"]
    taken = lambda usd, email: templated("{{ " + refuse["that"] + " }}", cloud_budget_usd=usd, cloud_budget_email=email)
    assert taken(0, "") and taken("1", "me@example.org") and taken(50, "me@example.org")
    assert not any(taken(usd, "me@example.org") for usd in (-50, "-50", 0.5, "0.5")) and not taken(50, "nobody")


def test_a_card_with_fewer_queues_than_cores_is_no_go_unless_what_comes_is_spread(tmp_path):
    """Cards as /sys and the tuning have them, and what match_prepare says of each."""
    text = (ANSIBLE / "roles/tuning/templates/flowtest-tune.j2").read_text()
    take = lambda name: re.findall(rf"^{name}\(\) \{{.*?(?:^\}}$| \}}$)", text, re.MULTILINE | re.DOTALL)[0].replace("/sys/class/net", str(tmp_path))
    functions = "\n".join(take(name) for name in ("cards", "queues_of", "mask_of", "complain", "spread_received", "queues"))
    drivers = tmp_path / "drivers"
    for card, driver, count in (("eth0", "ena", 8), ("eth1", "ena", 16), ("veth0", "veth", 1)):
        (drivers / driver).mkdir(parents=True, exist_ok=True)
        (tmp_path / card / "device").mkdir(parents=True)
        (tmp_path / card / "device/driver").symlink_to(drivers / driver)
        for queue in range(count):
            (tmp_path / card / f"queues/rx-{queue}").mkdir(parents=True)
            (tmp_path / card / f"queues/rx-{queue}/rps_cpus").write_text("0000\n")

    def said(*words):
        script = f"nproc() {{ echo 16; }}\nstrict=yes failed=0 interrupts=spread\n{functions}\n" + "\n".join(words)
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    [generators] = [play for play in yaml.safe_load((ANSIBLE / "match_prepare.yml").read_text()) if play.get("name") == "Generators"]
    [refuse] = [task["ansible.builtin.assert"] for task in generators["tasks"] if task["name"] == "Refuse fewer queues than cores"]
    is_go = lambda line: templated("{{ " + refuse["that"] + " }}", item=line)
    before = said("queues")
    assert before == ["eth0 8 16 no", "eth1 16 16 no"] and [is_go(line) for line in before] == [False, True]
    assert templated(refuse["fail_msg"], item=before[0], inventory_hostname="finals-generator-1").startswith(
        "NO-GO: finals-generator-1's card eth0 has 8 queues for 16 cores")
    after = said("spread_received", "queues")
    assert after == ["eth0 8 16 yes", "eth1 16 16 no"] and all(is_go(line) for line in after)
    assert {one.read_text() for one in tmp_path.glob("eth0/queues/*/rps_cpus")} == {"ffff\n"}


def test_a_machine_that_has_another_end_than_the_variable_is_no_go(tmp_path):
    """What match_prepare reads of a machine, and what it says of it: site.yml was not run since cloud_ends_at was changed."""
    [again] = [play for play in yaml.safe_load((ANSIBLE / "match_prepare.yml").read_text()) if play.get("name") == "Tuning again"]
    tasks = {task["name"]: task for task in again["tasks"]}
    read, refuse = tasks["Read when the machine stops by itself"]["ansible.builtin.shell"], tasks["Refuse a machine that has another end"]
    assert "/etc/systemd/system/flowtest-ends.timer" in read
    unit = (ANSIBLE / "roles/common/templates/flowtest-ends.timer.j2").read_text()
    timer = tmp_path / "flowtest-ends.timer"

    def said(has, shall, active=True, groups=("generator", "aws_ec2")):
        """Nothing, or the sentence."""
        timer.write_text(templated(unit, common_ends_at=has))
        script = f"systemctl() {{ {'true' if active else 'false'}; }}\n" + read.replace("/etc/systemd/system", str(tmp_path))
        stops = {"stdout": subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.rstrip("\n")}
        given = {"prepare_stops": stops, "inventory_hostname": "finals-generator-1", "group_names": list(groups), "cloud_ends_at": shall, **refuse["vars"]}
        it = refuse["ansible.builtin.assert"]
        return "" if templated("{{ " + it["that"] + " }}", **given) else templated(it["fail_msg"], **given)

    first, later = "2098-12-01T20:00:00Z", "2098-12-02T20:00:00+01:00"
    assert said(first, first) == said(later, "2098-12-02T19:00:00Z") == ""
    assert said(first, later).startswith(
        "NO-GO: finals-generator-1 stops by itself at 2098-12-01 20:00:00 UTC, and cloud_ends_at says 2098-12-02 19:00:00 UTC: run site.yml")
    # One that was taken away, one that was never told, and one that is stopped.
    assert "at 2098-12-01 20:00:00 UTC, and cloud_ends_at says never" in said(first, "")
    assert "never stops by itself, and cloud_ends_at says 2098" in said(first, first, active=False)
    assert said(first, "", active=False) == ""
    # Hosts of one's own stop by nobody.
    assert said(first, first, active=False, groups=("generator",)) == ""


def test_every_host_with_a_generator_has_the_systems_authorities():
    [install] = [one for one in yaml.safe_load((ANSIBLE / "roles/common/tasks/install.yml").read_text()) if "ansible.builtin.package" in one]
    names = install["ansible.builtin.package"]["name"]
    packages = lambda *groups: templated(names, common_clock=True, common_firewall=True, group_names=list(groups))
    site = yaml.safe_load((ANSIBLE / "site.yml").read_text())
    named = lambda play: [one["role"] for one in play.get("roles", [])]
    generators = [play["hosts"] for play in site if "generator" in named(play)]
    assert sorted(generators) == ["dashboard", "generator"] and all("ca-certificates" in packages(group) for group in generators)
    assert "ca-certificates" not in packages("target") and "chrony" in packages("target")


def test_updates_that_come_by_themselves_rest_on_the_day():
    tasks = {task["name"].split(" #")[0]: task for task in yaml.safe_load((ANSIBLE / "roles/common/tasks/configure.yml").read_text())}
    looked = tasks["Look whether the system upgrades itself"]["ansible.builtin.command"]
    assert {"apt-daily.timer", "apt-daily-upgrade.timer", "dnf-automatic-install.timer"} <= set(looked.split())
    rest = tasks["Let upgrades rest"]
    assert rest["ansible.builtin.systemd_service"] == {"name": "{{ item }}", "state": "stopped", "enabled": False}
    found = {"stdout_lines": ["apt-daily.timer         enabled enabled", "apt-daily-upgrade.timer enabled enabled"]}
    assert templated(rest["loop"], common_upgrades=found) == ["apt-daily.timer", "apt-daily-upgrade.timer"]
    # Where nobody looked there is nothing to stop.
    assert templated(rest["loop"], common_upgrades={"skipped": True}) == []
    assert yaml.safe_load((ANSIBLE / "roles/common/defaults/main.yml").read_text())["common_upgrades_rest"] is not False


def test_the_policy_is_one_of_iam():
    policy = json.loads((ANSIBLE / "policy.json").read_text())
    actions = [action for one in policy["Statement"] for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])]
    assert len(actions) == len(set(actions)) and all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+\*?", action) for action in actions)
    assert not [one["Sid"] for one in policy["Statement"] if "*" in one["Action"]]
    # IAM takes 6,144 characters without blanks.
    assert len(re.sub(r"\s", "", json.dumps(policy))) < 6144


def test_the_account_is_asked_for_every_action_of_the_policy():
    sys.path.insert(0, str(ANSIBLE / "filter_plugins"))
    import flowtest

    policy = json.loads((ANSIBLE / "policy.json").read_text())
    asked = flowtest.policy_questions(policy, [], "aws", "eu-west-1", "111122223333", "flowtest-finals-eu-west-1")
    actions = sorted(action for one in policy["Statement"] for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"]))
    found = sorted(action for one in asked for action in one["actions"])
    assert found == sorted(action.replace("Describe*", "DescribeInstances") for action in actions)
    of = {action: one["resource"] for one in asked for action in one["actions"]}
    assert of["iam:PassRole"] == of["iam:CreateRole"] == "arn:aws:iam::111122223333:role/flowtest-finals-eu-west-1"
    assert of["iam:AddRoleToInstanceProfile"] == "arn:aws:iam::111122223333:instance-profile/flowtest-finals-eu-west-1"
    assert re.fullmatch(r"arn:aws:ssm:eu-west-1::parameter/aws/service/[^*]+", of["ssm:GetParameter"]) and of["ec2:CreateTags"] == "*"
    # What may be left out is there to be left out.
    names = {one["Sid"] for one in policy["Statement"]}
    left_out = set(re.findall(r"'([A-Z][A-Za-z]+)'", yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())["cloud_asked"]))
    assert left_out == {"SecondDoor", "TeamsByHand", "Peerings", "RoleOfTheHosts", "RoleOfTheHostsPutsCopies", "HandTheRoleToTheHosts", "Budget", "StacksOfBudgetAndCards"} <= names
    assert flowtest.policy_questions(policy, list(names), "aws", "r", "1", "n") == []


def test_an_account_that_does_not_answer_is_told():
    tasks = yaml.safe_load((ANSIBLE / "roles/cloud/tasks/preflight.yml").read_text())
    [silent] = [task for task in tasks if "WARNING: the policy simulator of IAM does not answer" in str(task)]
    [unsure] = [task for task in tasks if "WARNING: by the policy simulator of IAM no policy lets" in str(task)]
    assert silent["when"] == "cloud_allowed.unanswered | length > 0" and unsure["when"] == "cloud_allowed.doubtful | length > 0"
    assert "{{ cloud_allowed.said }}" in str(silent), "in the simulator's own words"
    assert tasks[-1]["name"] == "Refuse to begin what would break in the middle" and tasks.index(silent) < tasks.index(unsure) < len(tasks) - 1
    # Who knows better has a way past it.
    goes_on = lambda **given: templated("{{ " + tasks[-1]["ansible.builtin.assert"]["that"] + " }}", **given)
    assert [goes_on(cloud_allowed={"forbidden": denied}, cloud_without_rights=anyway) for denied, anyway in (([], False), (["x"], False), (["x"], True))] == [True, False, True]


@pytest.fixture
def allowed(monkeypatch):
    """The module that asks the account, without what it has of its collection."""
    import types

    name = "ansible_collections.amazon.aws.plugins.module_utils.modules"
    for index in range(name.count(".") + 1):
        monkeypatch.setitem(sys.modules, name.rsplit(".", index)[0], types.ModuleType("stub"))
    sys.modules[name].AnsibleAWSModule = None
    monkeypatch.syspath_prepend(ANSIBLE / "roles/cloud/library")
    monkeypatch.delitem(sys.modules, "flowtest_allowed", raising=False)
    import flowtest_allowed

    return flowtest_allowed


def test_what_the_simulator_has_said_stays_where_it_refuses_a_list(allowed):
    from botocore.exceptions import ClientError

    role = "arn:aws:iam::111122223333:role/flowtest-finals"

    class Simulator:
        def get_paginator(self, name):
            return self

        def paginate(self, ActionNames, ResourceArns, **more):
            if ResourceArns == [role] and len(ActionNames) > 1:
                raise ClientError({"Error": {"Code": "InvalidInput", "Message": "require different authorization information"}}, "Simulate")
            if ActionNames == ["iam:TagRole"]:
                raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "Simulate")
            yield {"EvaluationResults": [{"EvalActionName": one, "EvalDecision": "implicitDeny" if "Create" in one else "allowed"} for one in ActionNames]}

    groups = [
        {"resource": "*", "actions": ["ec2:CreateVpc", "ec2:DeleteVpc"]}, {"resource": role, "actions": ["iam:TagRole", "iam:CreateRole", "iam:DeleteRole"]},
        {"resource": "*", "actions": ["cloudformation:CreateStack"]},
    ]
    answers, unanswered, said = allowed.simulated(Simulator(), "arn:aws:iam::111122223333:user/ada", "eu-west-1", groups)
    assert sorted(name for name, decision in answers.items() if decision != "allowed") == ["cloudformation:CreateStack", "ec2:CreateVpc", "iam:CreateRole"]
    assert len(answers) == 5 and unanswered == ["iam:TagRole"] and "Rate exceeded" in said


def test_what_nobody_can_tell_is_no_refusal(allowed):
    groups = [{"resource": "*", "actions": ["ec2:DeleteVpc", "ec2:CreateVpc", "ec2:StopInstances"]}, {"resource": "arn:aws:iam::1:role/r", "actions": ["iam:CreateRole"]}]
    judged = lambda refused, let_in, **answers: allowed.judged(refused, let_in, {name.replace("_", ":"): one for name, one in answers.items()}, groups)
    # A policy for one region's resources is none for any resource.
    assert judged([], [], ec2_DeleteVpc="implicitDeny") == ([], ["ec2:DeleteVpc"])
    assert judged([], ["ec2:CreateVpc"], ec2_CreateVpc="implicitDeny") == ([], [])
    assert judged(["ec2:CreateVpc"], [], ec2_CreateVpc="implicitDeny") == (["ec2:CreateVpc"], [])
    assert judged([], [], ec2_StopInstances="explicitDeny", iam_CreateRole="implicitDeny") == (["ec2:StopInstances", "iam:CreateRole"], [])


def test_what_only_a_bucket_needs_is_asked_with_a_bucket():
    sys.path.insert(0, str(ANSIBLE / "filter_plugins"))
    import flowtest

    policy = json.loads((ANSIBLE / "policy.json").read_text())
    asked = {action for one in flowtest.policy_questions(policy, ["RoleOfTheHostsPutsCopies"], "aws", "r", "1", "n") for action in one["actions"]}
    assert "iam:CreateRole" in asked and not {"iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"} & asked
    assert "if cloud_copies_bucket | length > 0 else ['RoleOfTheHostsPutsCopies']" in yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())["cloud_asked"]


def test_commands_of_the_documents_are_in_the_policy():
    """The organiser has this policy, by the profile that EVENT.md exports first; S3, registries and the organisation are asked by others."""
    statements = json.loads((ANSIBLE / "policy.json").read_text())["Statement"]
    allowed = {action for one in statements for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])}
    words = [shlex.split(line) for document in ("ansible/README.md", "docs/EVENT.md") for line in commands_of(PROJECT / document)]
    by_other = [one for one in words if one[:2] == ["aws", "--profile"]]
    asked = {f"{one[1]}:{''.join(part.title() for part in one[2].split('-'))}" for one in words if one[0] == "aws" and one not in by_other}
    assert {"ec2:AcceptVpcPeeringConnection", "ram:CreateResourceShare", "ec2:RunInstances"} <= asked <= allowed, asked - allowed
    # What is shared is taken back.
    assert {"ram:GetResourceShares", "ram:DeleteResourceShare"} <= asked
    assert {(one[2], one[3]) for one in by_other} == {("kit", "s3"), ("kit", "s3api"), ("kit", "ecr"), ("management", "ram")}
    assert ["enable-sharing-with-aws-organization"] in [one[4:] for one in by_other if one[2] == "management"]
    # An image for each processor that ecs.yml may be told, under a name of its own.
    pushed = [one[3] for one in words if one[:2] == ["skopeo", "copy"]]
    assert len(set(pushed)) == len(pushed) and {one.rsplit("-", 1)[1] for one in pushed if "REGISTRY" not in one} == {"x86_64", "aarch64"}, pushed


def test_the_day_hands_the_kit_to_who_has_a_browser():
    """What everybody may do with bucket and registry is to read, and the page that the program's sum stands on is named to `site`."""
    lines = [shlex.split(line) for line in commands_of(PROJECT / "docs/EVENT.md")]
    statements = [json.loads(word)["Statement"] for words in lines for word in words if words[0] == "aws" and word.startswith("{")]
    assert [one["Action"] for [one] in statements] == [["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "s3:GetObject"]
    text = (PROJECT / "docs/EVENT.md").read_text()
    assert re.search(r"`kit_url: https://\S+/NOTES\.md` in `event\.yml`", text) and any(words[:2] == ["skopeo", "copy"] for words in lines)


def test_a_stack_that_failed_once_is_made_by_the_next_run():
    """One that was rolled back stays, and CloudFormation changes none that has."""
    made = []
    for file in [*ANSIBLE.glob("roles/cloud/tasks/*.yml"), *ANSIBLE.glob("tasks/*.yml")]:
        made += [task["amazon.aws.cloudformation"] for task in yaml.safe_load(file.read_text()) if "amazon.aws.cloudformation" in task]
    # One that an older play has left so, or the console, is removed first.
    first = lambda name: [task.get("ansible.builtin.import_tasks") for task in yaml.safe_load((ANSIBLE / f"roles/cloud/tasks/{name}.yml").read_text())][0]
    assert first("budget") == first("card") == "stack_failed.yml"
    made = [one for one in made if one.get("state") != "absent"]
    assert len(made) == 3 and {one.get("on_create_failure") for one in made} == {"DELETE"}, made
    # A budget is the account's: the same deployment in another region has one as well.
    [budget] = [one for one in made if "budget" in one["stack_name"]]
    assert budget["template_parameters"]["Name"].startswith("{{ cloud_identity }}-")
    assert "cloud_region" in yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())["cloud_identity"]


def test_groups_of_other_accounts_are_not_ours_to_remove():
    """Of accounts that a subnet is shared with; the pretended account has no other beside it."""
    tasks = yaml.safe_load((ANSIBLE / "roles/cloud/tasks/foreign.yml").read_text())
    refuse, ask = ([one["name"] for one in tasks].index(name) for name in ("Refuse while other accounts have groups there", "Ask before what is not ours is removed"))
    assert refuse < ask and "cloud_foreign" not in str(tasks[refuse]), "their removal is nothing that somebody here may wave through"
    there = lambda *owners: {"security_groups": [{"group_id": f"sg-{number}", "owner_id": owner} for number, owner in enumerate(owners)]}
    found = lambda *owners: templated(tasks[refuse]["vars"]["cloud_groups_of_others"], cloud_groups_there=there(*owners), cloud_caller={"account": "111122223333"})
    assert found("111122223333", "444455556666") == ["sg-1 of 444455556666"] and found("111122223333") == []


def test_a_budget_has_another_name_where_it_warns_somebody_else():
    """AWS changes neither whom a budget warns nor its name: CloudFormation makes another one first, and two of one name there are none."""
    [task] = [one for one in yaml.safe_load((ANSIBLE / "roles/cloud/tasks/budget.yml").read_text()) if "amazon.aws.cloudformation" in one]
    name = lambda email: templated(task["amazon.aws.cloudformation"]["template_parameters"]["Name"], cloud_identity="flowtest-a-us-east-1", cloud_budget_email=email)
    [budget] = yaml.safe_load((ANSIBLE / "roles/cloud/files/budget.yml").read_text())["Resources"].values()
    assert {"Ref": "Email"} in [one["Address"] for warned in budget["Properties"]["NotificationsWithSubscribers"] for one in warned["Subscribers"]]
    assert name("a@example.org") == name("a@example.org") != name("b@example.org")
    # AWS takes 100 characters.
    assert len(name("a@example.org")) == len("flowtest-a-us-east-1") + 9


def test_the_policy_has_all_that_the_module_of_stacks_asks_for():
    """The budget and the cards are stacks, and a stack that stands is looked at in check mode by a change set."""
    module = PROJECT / "build/ansible/collections/ansible_collections/amazon/aws/plugins/modules/cloudformation.py"
    asked = {call for call in re.findall(r"\bcfn\.([a-z_]+)\(", module.read_text()) if call != "get_paginator"}
    asked |= set(re.findall(r"get_paginator\(\"([a-z_]+)\"\)", module.read_text()))
    # Only for change sets that stay, which we make none of.
    asked -= {"list_change_sets"}
    allowed = {action for one in json.loads((ANSIBLE / "policy.json").read_text())["Statement"] for action in one["Action"]}
    missing = {name for name in asked if "cloudformation:" + name.title().replace("_", "") not in allowed}
    assert len(asked) > 8 and not missing, missing


def test_the_policy_has_all_that_cloudformation_asks_for_in_our_name():
    """As AWS's own schemas of the resources have it, which cfn-lint brings along. Our tags are the stack's, and come upon each resource."""
    [lint] = importlib.util.find_spec("cfnlint").submodule_search_locations
    schemas = pathlib.Path(lint) / "data/schemas"
    place = json.loads((schemas / "providers/us-east-1.json").read_text())
    kinds = {one["Type"] for file in ANSIBLE.glob("roles/cloud/files/*.yml") for one in yaml.safe_load(file.read_text())["Resources"].values()}
    assert {"AWS::Budgets::Budget", "AWS::EC2::LaunchTemplate"} <= kinds
    handlers = [json.loads((schemas / f"resources/{place[kind]}.json").read_text())["handlers"] for kind in kinds]
    asked = {action for one in handlers for step in ("create", "read", "update", "delete") for action in one[step]["permissions"]}
    allowed = [action for one in json.loads((ANSIBLE / "policy.json").read_text())["Statement"] for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])]
    missing = {action for action in asked if not any(fnmatch.fnmatchcase(action, one) for one in allowed)}
    assert len(asked) > 8 and not missing, missing


def test_port_80_leads_to_the_dashboard_and_nowhere_else(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (ANSIBLE / "roles/dashboard/templates/flowtest-redirect.py.j2").read_text()
    text = text.replace("{{ dashboard_public_url | trim }}", "https://contest.example.org").replace('("0.0.0.0", 80)', f'("127.0.0.1", {port})')
    (tmp_path / "redirect.py").write_text(text)
    server = subprocess.Popen([sys.executable, "-I", tmp_path / "redirect.py"])

    def ask(line):
        end = time.monotonic() + 60
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=20)
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        with connection:
            connection.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
        return re.findall(r"^Location: (.*)\r$", answer.decode(), re.MULTILINE)

    try:
        assert ask("GET /rules?a=b HTTP/1.1") == ["https://contest.example.org/rules?a=b"]
        assert ask("POST /login HTTP/1.1") == ["https://contest.example.org/login"]
        assert ask("GET http://elsewhere.example.org/ HTTP/1.1") == ["https://contest.example.org/"]
        # A name that goes on where ours ends would be somebody else's.
        assert ask("GET .elsewhere.example.org/ HTTP/1.1") == ["https://contest.example.org/"]
        assert ask("GET //elsewhere.example.org HTTP/1.1") in (["https://contest.example.org//elsewhere.example.org"], ["https://contest.example.org/elsewhere.example.org"])
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_every_figure_of_the_dashboard_for_grafana_is_a_programs():
    board = json.loads((ANSIBLE / "files/grafana.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) >= 8
    asked = {name for panel in board["panels"] for one in panel["targets"] for name in re.findall(r"flowtest_[a-z_]+", one["expr"])}
    programs = "".join(file.read_text() for room in ("loadgen", "dashboard", "target") for file in (PROJECT / room / "src").rglob("*.rs"))
    shown = {name for name in re.findall(r'flowtest_[a-z_]+', programs)}
    assert asked <= shown and len(asked) >= 8, asked - shown


def test_organisers_alone_may_ask_where_prometheus_reads_and_only_then():
    """On EC2, where security groups decide."""
    openings = yaml.safe_load((ANSIBLE / "roles/cloud/vars/main.yml").read_text())["cloud_openings"]
    organisers = ["203.0.113.7/32"]
    given = {"cloud_organiser_cidrs": organisers, "cloud_viewer_cidrs": ["0.0.0.0/0"], "cloud_copies_bucket": ""}
    groups = {group: [f"{group}-1"] for group in ("generator", "dashboard", "target")}
    read = lambda **target: {group: {int(one["targets"][0].split(":")[1]) for one in jobs_of_prometheus(groups, **target) if one["labels"]["host"] == f"{group}-1"} for group in groups}
    for group, ports in read().items():
        open_to = lambda observe: {port for one in templated(openings[group], cloud_observe=observe, **given) if one.get("cidrs") == organisers for port in one["ports"]}
        assert open_to(True) == ports and open_to(False) == set(), group
    # A house target of one's own listens where target_listen says.
    assert read(target_listen="[::]:8080")["target"] == {8080}


def jobs_of_prometheus(groups, **target):
    """What tasks/prometheus.yml.j2 makes of these hosts."""
    hosts = {host: {"ansible_host": "192.0.2.1", **(target if group == "target" else {})} for group, names in groups.items() for host in names}
    text = templated((ANSIBLE / "tasks/prometheus.yml.j2").read_text(), groups=groups, hostvars=hosts)
    [job] = yaml.safe_load(text)["scrape_configs"]
    return job["static_configs"]


def test_every_command_that_is_told_names_the_file_of_settings():
    """build, site, verify and match_prepare without it would play with the defaults of group_vars."""
    texts = [path for path in [*ANSIBLE.rglob("*.yml"), *ANSIBLE.rglob("*.j2"), *ANSIBLE.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*.md")]]
    told = [
        (path.name, command)
        for path in texts
        for command in re.findall(r"ansible-playbook (?:-i \S+ )?(?:build|site|verify|match_prepare)\.yml[^`\"&\n]*", path.read_text())
    ]
    assert {name for name, _ in told} >= {"provision.yml", "build.yml", "site.yml", "verify.yml", "match_prepare.yml", "EVENT.md", "README.md"}
    assert [one for one in told if "-e @event.yml" not in one[1]] == []


def test_every_requirement_is_pinned_with_its_hash():
    for name in ("requirements.txt", "requirements-test.txt", "requirements-bundle.txt"):
        text = (ANSIBLE / name).read_text()
        pins = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE | re.IGNORECASE)
        for pin in pins:
            entry = re.split(rf"^{re.escape(pin)}==", text, flags=re.MULTILINE)[1].split("\n\n")[0]
            assert "--hash=sha256:" in entry.split("# via")[0], f"{name}: {pin} has no hash"
        assert pins, name


def test_the_page_rules_is_told_where_tests_come_from_and_where_the_kit_is():
    """As the role has it, by Ansible itself: hosts on EC2 with public and private addresses, one that has one address, and one that has a name alone."""
    unit = (ANSIBLE / "roles/dashboard/templates/flowtest-dashboard.service.j2").read_text()
    assert "FLOWTEST_DASHBOARD_KIT_URL" in unit and "FLOWTEST_DASHBOARD_TEST_SOURCE" in unit
    defaults = yaml.safe_load((ANSIBLE / "roles/dashboard/defaults/main.yml").read_text())
    for topology, public, private, told in (
        ("public", "203.0.113.9", "10.77.0.5", "203.0.113.9"), ("vpc", "203.0.113.9", "10.77.0.5", "10.77.0.5"),
        ("vpc", "", "scores.example.org", ""), ("public", "", "203.0.113.9", "203.0.113.9"), ("public", "", "scores.example.org", ""),
    ):
        assert templated(defaults["dashboard_test_source"], topology=topology, host_public_address=public, host_address=private).strip() == told


def test_every_role_says_what_it_takes():
    for role in (ANSIBLE / "roles").iterdir():
        options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
        for name, option in options.items():
            assert option.get("type") and option.get("description"), f"{role.name}: {name} has no type or no description"
        known = set(options)
        for other in yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"].values():
            known |= set(other["options"])
        assert set(defaults) <= known, f"{role.name}: {set(defaults) - known} have no type"


def test_every_setting_of_the_kernel_has_a_reason():
    lines = yaml.safe_load((ANSIBLE / "roles/tuning/vars/main.yml").read_text())["tuning_lines"]
    assert len(lines) > 10
    for line in lines:
        assert set(line) == {"key", "value", "for", "why"} and len(line["why"]) > 7, line
    assert len({line["key"] for line in lines}) == len(lines)


@pytest.mark.parametrize("document", ["docs/EVENT.md", "ansible/README.md", "target/aws/README.md"])
def test_commands_of_a_document_can_be_typed(document):
    seen = 0
    for line in commands_of(PROJECT / document):
        words = shlex.split(line)
        while words and ("=" in words[0] or words[0] == "export"):
            words.pop(0)
        if not words:
            continue
        seen += 1
        if words[0] == "ansible-playbook":
            playbooks = [word for word in words[1:] if word.endswith(".yml") and not word.startswith(("@", "inventory/"))]
            assert len(playbooks) == 1 and playbooks[0] in PLAYBOOKS, f"{document}: {line}"
            for variable in [two for one, two in zip(words, words[1:]) if one == "-e" and "=" in two]:
                known_variable(variable.split("=")[0], f"{document}: {line}")
        elif words[0] == "ansible":
            assert words[1] in ("generator", "redis", "dashboard", "target", "all"), f"{document}: {line}"
        else:
            assert words[0] in ("ansible-inventory", "ansible-vault", "cd", "cp", "ansible/bootstrap.sh", "./bootstrap.sh", "$EDITOR",
                                "podman", "docker", "skopeo", "aws", "make", "echo"), f"{document} has a command nobody tests: {line}"
    assert seen >= 4, f"{document} has {seen} commands"


def test_the_day_tells_of_every_role_that_may_die():
    text = (PROJECT / "docs/EVENT.md").read_text()
    rows = [line.split("|")[1].strip() for line in text.split("## When something dies")[1].split("\n## ")[0].splitlines() if line.startswith("| ")]
    assert {"a generator's machine", "Redis' machine", "the dashboard's machine", "the house target"} <= set(rows), rows
    # What no play replaces has a command.
    [row] = [line for line in text.splitlines() if line.startswith("| Redis' machine")]
    assert all(word in row for word in ("aws ec2 terminate-instances", "provision.yml", "site.yml -e during_round=true", "restore.yml", "rebuild"))


def test_the_day_gives_contestants_a_program_for_their_processor():
    """A release of the builder is arm64 by default, and many contestants' machines are not."""
    lines = [line for line in commands_of(PROJECT / "docs/EVENT.md") if " target.yml" in line]
    assert lines and all("target_program=" in line and "target_program_sha256=" in line for line in lines), lines


def known_variable(name, where):
    known = set()
    for file in [*ANSIBLE.glob("group_vars/**/*.yml"), *ANSIBLE.glob("roles/*/defaults/main.yml")]:
        known |= set(yaml.safe_load(file.read_text()) or {})
    # What playbooks ask for by themselves.
    for playbook in ("ec2", "ecs", "target"):
        known |= set(yaml.safe_load((ANSIBLE / f"{playbook}.yml").read_text())[0]["vars"])
    known |= set(yaml.safe_load((ANSIBLE / "vars/stack.yml").read_text()))
    assert name in known | {"backup", "restore_copy"}, f"{where}: no variable {name}"
