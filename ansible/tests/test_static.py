"""What needs neither an account nor a machine: syntax, versions that agree, documents that name what exists."""

import pathlib
import re
import shlex
import subprocess
import sysconfig

import pytest
import yaml
from conftest import ANSIBLE, PLAYBOOKS, PROJECT, commands_of


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
    installed = pathlib.Path(sysconfig.get_paths()["purelib"], "ansible_collections/amazon/aws/MANIFEST.json")
    version = yaml.safe_load(installed.read_text())["collection_info"]["version"]
    [named] = yaml.safe_load((ANSIBLE / "collections.yml").read_text())["collections"]
    assert named == {"name": "amazon.aws", "version": f"=={version}"}


def test_every_requirement_is_pinned_with_its_hash():
    for name in ("requirements.txt", "requirements-test.txt", "requirements-bundle.txt"):
        text = (ANSIBLE / name).read_text()
        pins = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE | re.IGNORECASE)
        for pin in pins:
            entry = re.split(rf"^{re.escape(pin)}==", text, flags=re.MULTILINE)[1].split("\n\n")[0]
            assert "--hash=sha256:" in entry.split("# via")[0], f"{name}: {pin} has no hash"
        assert pins, name


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


@pytest.mark.parametrize("document", ["docs/EVENT.md", "ansible/README.md"])
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
                                "podman", "docker", "aws"), f"{document} has a command nobody tests: {line}"
    assert seen >= 5, f"{document} has {seen} commands"


def known_variable(name, where):
    known = set()
    for file in [*ANSIBLE.glob("group_vars/**/*.yml"), *ANSIBLE.glob("roles/*/defaults/main.yml")]:
        known |= set(yaml.safe_load(file.read_text()) or {})
    # What playbooks ask for by themselves.
    assert name in known | {"backup"}, f"{where}: no variable {name}"
