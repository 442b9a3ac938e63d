"""Fixtures: a pretended account, pretended machines, and playbooks that are run as organisers run them."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

HERE = pathlib.Path(__file__).parent
ANSIBLE = HERE.parent
PROJECT = ANSIBLE.parent
PLAYBOOKS = sorted(file.name for file in ANSIBLE.glob("*.yml") if file.name != "collections.yml")
LONG = os.environ.get("FLOWTEST_LONG") == "1"
# A playbook that takes longer hangs.
PLAY_SECONDS = 1800
# Hardly anybody's laptop is on UTC: this is half past five hours ahead of it.
ZONE = "XST-5:30"
MACHINE_TOOLS = ["sshd", "sudo", "nft", "ethtool", "chronyd", "chronyc", "ip", "nsenter", "redis-server", "losetup", "/lib/systemd/systemd"]
# What host.sh and lab.py do first, in namespaces that end at once: where a container's profile forbids it, we skip.
PROBE = """set -e
cd "$1"
unshare --net --mount --pid --cgroup --fork sh -ec '
    mount --make-rprivate /
    mount -t tmpfs tmpfs .; cd "$PWD"; mkdir up work root
    mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
    mount -t sysfs -o ro sysfs root/sys; mount -t cgroup2 cgroup2 root/sys/fs/cgroup
    ip link add probe0 type bridge; ip link add probe1 type veth peer name probe2
    truncate -s 1M up/disk; disk=$(losetup --find --show up/disk); losetup --detach "$disk"'
"""


def flood(url, requests, *flags, loadgen=PROJECT / "build/quick/flowtest-loadgen"):
    """So many requests, each with a token of its own, on connections that are kept; each answer is judged, and all are right."""
    done = subprocess.run(
        [loadgen, "stress", url, "--requests", str(requests), *flags, "--warmup", "0s", "--json", "-"],
        capture_output=True, text=True, timeout=300, check=False,
    )
    assert json.loads(done.stdout)["contestants"][0]["points"] == requests * 200, done.stdout + done.stderr


def pytest_collection_modifyitems(items):
    for item in items:
        if "long" in item.keywords and not LONG:
            item.add_marker(pytest.mark.skip(reason="takes minutes: only with FLOWTEST_LONG=1 (make test-long)"))


def pytest_runtest_logreport(report):
    """The long form takes an hour: a failure is told when it happens, not at the end."""
    if report.failed and LONG:
        print(f"\n{report.nodeid}\n{report.longreprtext}", file=sys.__stderr__, flush=True)


def pytest_sessionfinish(session, exitstatus):
    """A run in which everything was skipped has proved nothing, and does not say that all is well."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter):
    counts = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    failed = counts["failed"] + counts["error"]
    terminalreporter.write_line(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped")


class Outcome:
    """What a playbook did: its exit code, its text, and the recap as {host: {changed: 0, ..}}."""

    def __init__(self, code, text):
        self.code = code
        self.text = text
        self.recap = {}
        for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", self.text, re.MULTILINE):
            self.recap[host] = {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", counts)}

    def total(self, what):
        return sum(counts[what] for counts in self.recap.values())

    def went_well(self):
        assert self.code == 0 and self.recap, self.text[-6000:]
        return self

    def changed_nothing(self):
        self.went_well()
        changed = re.findall(r"(TASK \[.*\]).*\n(?:(?!TASK).*\n)*?changed: .*", self.text)
        assert self.total("changed") == 0, f"changed: {changed}\n{self.text[-3000:]}"
        return self

    def changed_something(self):
        self.went_well()
        assert self.total("changed") > 0, self.text[-3000:]
        return self

    def refused(self, *words):
        assert self.code != 0, f"it went well\n{self.text[-3000:]}"
        flat = " ".join(self.text.split())
        for word in words:
            assert word in flat, f"nothing of '{word}' in\n{self.text[-4000:]}"
        assert "Traceback" not in self.text, self.text[-4000:]
        return self


class Organiser:
    """Somebody at a control machine: a folder for what is kept, an account, variables."""

    def __init__(self, folder, environment):
        self.state = folder / "state"
        self.environment = environment
        self.variables = folder / "event.yml"
        self.releases = folder / "releases"
        # Playbooks that went well.
        self.played = set()
        # What each play said stays here, for whoever looks for why a test failed.
        self.said = folder / "plays"
        self.said.mkdir()
        self.variables.write_text(
            f"""
deployment: lab
state_dir: {self.state}
release_dir: {self.releases}
organiser_cidrs: [10.77.0.1/32]
aws_testing_policy_read: true
# Machines are pretended after they were launched; the builder only where it is what is tested.
cloud_ssh_wait_s: 0
cloud_builder_count: 0
cloud_generator_type: c7i.large
cloud_redis_type: t3.small
cloud_dashboard_type: t3.small
cloud_target_type: c7i.large
cloud_ends_at: "2098-12-31T23:30:00-01:30"
# What pretended machines cannot: set the clock, the kernel's own settings, ask a mirror.
common_clock_required: false
common_update_cache: false
tuning_apply: files
generator_journal_free_gib: 0
redis_copy_mib: 64
redis_maxmemory_mb: 256
verify_on_time: false
plan_contestants: 1
plan_requests_per_second: 10
"""
        )

    def play(self, playbook, *arguments, variables=(), environment=(), inventory=None):
        words = ["ansible-playbook", playbook, "-e", f"@{self.variables}"]
        if inventory is not None:
            words += ["-i", inventory]
        # What speaks to the account and to no machine.
        if inventory == "localhost,":
            words += ["-e", f"ansible_python_interpreter={self.environment['FLOWTEST_WARM_PYTHON']}"]
        for one in variables:
            words += ["-e", one]
        said = self.said / f"{len(list(self.said.iterdir())) + 1:02}-{pathlib.Path(playbook).name}.txt"
        with open(said, "w") as file:
            done = subprocess.run(
                words + list(arguments), cwd=ANSIBLE, env={"TZ": ZONE, **self.environment, **dict(environment)},
                stdout=file, stderr=subprocess.STDOUT, timeout=PLAY_SECONDS, stdin=subprocess.DEVNULL,
            )
        if done.returncode == 0:
            self.played.add(playbook)
        return Outcome(done.returncode, said.read_text())

    def provision(self, *arguments, **more):
        return self.play("provision.yml", *arguments, inventory="localhost,", **more)

    def secrets(self):
        return [file.read_text().strip() for file in (self.state / "secrets").iterdir() if not file.name.endswith(".lock")]


@pytest.fixture(scope="session")
def account(tmp_path_factory):
    """The environment of somebody whose EC2 is on loopback. Yields it, with FLOWTEST_FAIL_LAUNCHES to make it fail."""
    folder = tmp_path_factory.mktemp("account")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
        "MOTO_ENABLE_AMI_VALIDATION": "true",
        "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "FLOWTEST_ACTIONS": str(folder / "actions"),
        "FLOWTEST_DENIED": str(folder / "denied"),
        "FLOWTEST_FAIL_LAUNCHES": str(folder / "fail-launches"),
        "FLOWTEST_FAIL_STACKS": str(folder / "fail-stacks"),
        "FLOWTEST_WARM_PYTHON": str(folder / "warm-python"),
        "FLOWTEST_CONNECT": "private",
        "FLOWTEST_DEPLOYMENT": "lab",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=accept-new "
        f"-o UserKnownHostsFile={folder}/known_hosts -o ConnectTimeout=5 -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        "ANSIBLE_SSH_RETRIES": "1",
    }
    with open(folder / "ec2.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, str(HERE / "pretended_ec2.py"), "-H", "127.0.0.1", "-p", str(port)],
            env=environment, stdout=log, stderr=log,
        )
    warm = subprocess.Popen(
        [sys.executable, str(HERE / "warm_python.py"), str(folder / "warm-socket"), environment["FLOWTEST_WARM_PYTHON"]],
        env=environment, stdout=subprocess.PIPE,
    )
    assert warm.stdout.readline() == b"warm\n"
    end = time.monotonic() + 180
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end, (folder / "ec2.log").read_text()
            time.sleep(0.2)
    yield environment
    # They have nothing to put down, and on a busy machine take their time for it.
    for child in (server, warm):
        child.kill()
        child.wait(timeout=120)


@pytest.fixture(scope="session")
def ec2(account):
    """A second pair of eyes on the account."""
    import boto3

    return boto3.client(
        "ec2", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture(scope="session")
def organiser(account, tmp_path_factory):
    return Organiser(tmp_path_factory.mktemp("organiser"), account)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    from lab import Lab

    missing = [tool for tool in MACHINE_TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"pretended machines need {', '.join(missing)}")
    refused = subprocess.run(["bash", "-c", PROBE, "probe", tmp_path_factory.mktemp("probe")], capture_output=True, text=True, check=False)
    if refused.returncode != 0:
        pytest.skip(f"this system cannot pretend machines: {refused.stderr.strip()}")
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


class Authority:
    """An ACME authority (pebble) on the organiser's address, which looks names up at a name server of its own."""

    def __init__(self, folder):
        from lab import ORGANISER

        self.certificate = folder / "authority.crt"
        key, config = folder / "authority.key", folder / "pebble.json"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-subj", "/CN=authority",
             "-addext", f"subjectAltName=IP:{ORGANISER},IP:127.0.0.1", "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )
        config.write_text(json.dumps({"pebble": {
            "listenAddress": f"{ORGANISER}:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": str(self.certificate),
            "privateKey": str(key), "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }}))
        self.directory = f"https://{ORGANISER}:14000/dir"
        self.log = open(folder / "authority.log", "wb")
        self.children = [
            self.start("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", "127.0.0.1:8053", "-defaultIPv6", "", "-management", "127.0.0.1:8055"),
            self.start("pebble", "-config", str(config), "-dnsserver", "127.0.0.1:8053"),
        ]
        for port in (8055, 15000):
            self.wait(port)

    def start(self, *words):
        # It sleeps and refuses at random unless it is told not to, which is for clients of ACME to bear.
        environment = {"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        return subprocess.Popen(words, stdout=self.log, stderr=self.log, env=environment)

    def wait(self, port):
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end, pathlib.Path(self.log.name).read_text()
                time.sleep(0.2)

    def names(self, address):
        """Whatever name is looked up from now on has this address."""
        request = urllib.request.Request("http://127.0.0.1:8055/set-default-ipv4", json.dumps({"ip": address}).encode())
        urllib.request.urlopen(request, timeout=10).close()

    def sees(self, address, name):
        """The certificate that a server shows for a name, which must be one of this authority's; as its serial number."""
        ours = ssl.create_default_context(cafile=self.certificate)
        with urllib.request.urlopen("https://127.0.0.1:15000/roots/0", context=ours, timeout=10) as answer:
            trust = ssl.create_default_context(cadata=answer.read().decode())
        with socket.create_connection((address, 443), timeout=20) as plain, trust.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert()["serialNumber"]

    def close(self):
        for child in self.children:
            child.terminate()
            child.wait(timeout=30)


@pytest.fixture(scope="session")
def authority(lab, tmp_path_factory):
    if not shutil.which("pebble") or not (PROJECT / "build/ansible/certbot").exists():
        pytest.skip("there is no pebble, or no certbot (FLOWTEST_LONG=1 ansible/bootstrap.sh --tests)")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    yield authority
    authority.close()


@contextlib.contextmanager
def served(folder):
    """Serves a folder's files at the organiser's address, for machines that have no other network. Yields the address."""
    from lab import ORGANISER

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((ORGANISER, 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{ORGANISER}:{server.server_port}"
        server.shutdown()


def alive(ec2):
    """Instances by name."""
    found = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] not in ("terminated", "shutting-down"):
                tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                assert tags["Name"] not in found, f"two instances are called {tags['Name']}"
                found[tags["Name"]] = instance
    return found


def pack(programs, releases, id):
    """A release of the programs that the tests of the other rooms have built."""
    subprocess.run([str(ANSIBLE / "tasks/pack.sh"), str(programs), str(releases), id, os.uname().machine], check=True)


def ends_alone(folder):
    """A playbook of what sets the end of a machine, and nothing else of the role: the end is the variable `end`."""
    playbook = folder / "ends.yml"
    playbook.write_text("""
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: common, tasks_from: ends}
      vars: {common_ends_at: "{{ end }}"}
""")
    return str(playbook), {"ANSIBLE_FILTER_PLUGINS": str(ANSIBLE / "filter_plugins")}


def commands_of(document):
    """Lines of its shell blocks, with continued ones joined."""
    # Text and blocks alternate; a block's first line is its language.
    for block in re.split(r"^```", document.read_text(), flags=re.MULTILINE)[1::2]:
        language, _, block = block.partition("\n")
        if language != "":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("  #")[0].strip()
            if line and not line.startswith("#"):
                yield line
