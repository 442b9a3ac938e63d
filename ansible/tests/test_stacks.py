"""target/aws: the templates are sound, say the same as user-data.sh, and are stacks at the pretended account; what user-data.sh
makes of a fresh machine is flooded."""

import datetime
import json
import pathlib
import re
import subprocess
import time

import pytest
import yaml
from conftest import ANSIBLE, PROJECT, Organiser, served
from test_static import templated

AWS = PROJECT / "target/aws"
USER_DATA = AWS / "user-data.sh"
FOLLOWS = "# What follows is for machines; target/aws/ec2.yml has the same.\n"


class Template(yaml.SafeLoader):
    """CloudFormation's short forms as {name: value}."""


Template.add_multi_constructor("!", lambda loader, name, node: {
    f"Fn::{name}" if name != "Ref" else name:
        loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node, deep=True)
})


def template(name):
    return yaml.load((AWS / f"{name}.yml").read_text(), Template)


@pytest.fixture
def contestant(account, tmp_path):
    """Somebody with an account of their own, which the organiser's policy is not for."""
    return Organiser(tmp_path, {**account, "AWS_ACCESS_KEY_ID": "contestant"})


@pytest.fixture(scope="module")
def cloudformation(account):
    import boto3

    return boto3.client(
        "cloudformation", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing",
    )


def test_cfn_lint_has_no_complaint():
    done = subprocess.run(["cfn-lint", "--regions", "eu-west-1", "us-east-1", "--", *AWS.glob("*.yml"), *(ANSIBLE / "roles/cloud/files").glob("*.yml")], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_servers_of_the_stack_do_what_the_text_for_user_data_does():
    head, body = USER_DATA.read_text().split(FOLLOWS)
    first, variables, rest = template("ec2")["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"][1]
    assert first == "#!/bin/bash\n" and rest == body
    names = re.findall(r"^([A-Z_0-9]+)=", head, re.MULTILINE)
    assert re.findall(r"^([A-Z_0-9]+)=", variables["Fn::Sub"][0], re.MULTILINE) == names
    # What the console shows is what the text says.
    defaults = dict(re.findall(r"^([A-Z_]+)='(.*)'$", head, re.MULTILINE))
    parameters = template("ec2")["Parameters"]
    assert (defaults["CAPACITY"], defaults["VERSION"], defaults["FROM"]) == tuple(str(parameters[name]["Default"]) for name in ("Capacity", "VersionHeader", "FromHeader"))
    assert len(USER_DATA.read_bytes()) < 12 * 1024, "EC2 takes 16 KiB, and base64 counts"


def test_with_a_certificate_tls_ends_at_the_balancer():
    for name in ("ec2", "ecs"):
        resources, endpoint = template(name)["Resources"], template(name)["Outputs"]["Endpoint"]["Value"]
        sealed = resources["ListenerTls"]
        assert (sealed["Condition"], sealed["Properties"]["Protocol"], sealed["Properties"]["Port"]) == ("HasTls", "HTTPS", 443)
        assert sealed["Properties"]["DefaultActions"] == resources["Listener"]["Properties"]["DefaultActions"], "servers speak plain http"
        assert resources["Listener"].get("Condition") is None and endpoint["Fn::If"][1:] == [{"Fn::Sub": "https://${Host}/"}, {"Fn::Sub": "http://${Balancer.DNSName}/"}]
        opened = [one for one, made in resources.items() if "443" in str(made) and made["Type"] == "AWS::EC2::SecurityGroupIngress"]
        assert opened == ["IngressTls1", "IngressTls2", "IngressTls3", "IngressTls4"]


def test_subnets_are_a_list_or_a_word():
    """-e stack_subnets=a,b is a word, and a word joined is its letters."""
    words = yaml.safe_load((ANSIBLE / "vars/stack.yml").read_text())
    taken = lambda subnets: templated(words["stack_wanted"], **{**words, "stack_vpc_id": "vpc-1", "stack_one_a_zone": ["subnet-3"], "stack_four": [""] * 4, "stack_given": {}, "stack_subnets": subnets})["Subnets"]
    assert taken("subnet-1,subnet-2") == taken(["subnet-1", "subnet-2"]) == "subnet-1,subnet-2"
    assert taken(None) == "subnet-3"


def refusals(name, **given):
    """Names of the rules of a template that refuse these parameters, as CloudFormation reads rules."""
    def value(one):
        if not isinstance(one, dict):
            return one
        [(function, argument)] = one.items()
        if function == "Ref":
            return given[argument]
        arguments = [value(each) for each in argument]
        return {"Fn::Equals": lambda first, second: first == second, "Fn::Not": lambda it: not it}[function](*arguments)

    rules = template(name)["Rules"].items()
    return [rule for rule, one in rules if value(one.get("RuleCondition", True)) and not all(value(each["Assert"]) for each in one["Assertions"])]


def test_a_certificate_and_its_name_go_together():
    """Half of https would be a stack whose endpoint is https:/// or whose name nobody reads; in the console nothing else looks."""
    certificate, host = "arn:aws:acm:eu-west-1:111122223333:certificate/a-b", "shop.example.org"
    for name in ("ec2", "ecs"):
        refused = lambda certificate, host: refusals(name, Certificate=certificate, Host=host, Min=1, Max=8, Server="nginx", ProgramUrl="", ProgramSha256="")
        assert refused("", "") == refused(certificate, host) == []
        assert refused(certificate, "") == ["CertificateNeedsItsName"] and refused("", host) == ["NameNeedsItsCertificate"]


def test_tracking_begins_at_four_fifths_of_the_capacity():
    for name in ("ec2", "ecs"):
        parameters = template(name)["Parameters"]
        assert parameters["RequestsPerMinute"]["Default"] == parameters["Capacity"]["Default"] * 60 * 8 // 10


def test_a_header_is_a_value_or_two_with_an_instant():
    """What has another form would be sent as it stands, or starts nothing."""
    for name in ("ec2", "ecs"):
        for header in ("VersionHeader", "FromHeader"):
            parameter = template(name)["Parameters"][header]
            for good in ("v1", "ECS", parameter["Default"], "v1,v2@2026-12-01T10:20:00Z", "EC2,ECS@2026-12-01T11:20:00+01:00"):
                assert re.fullmatch(parameter["AllowedPattern"], good), good
            for bad in ("", "v1,v2", "v1,v2@", "v1,v2@10:20", "v1,v2@2026-12-01 10:20:00", "v1@2026-12-01T10:20:00Z", "v1;", "v1,v2@+20s"):
                assert not re.fullmatch(parameter["AllowedPattern"], bad), bad


def test_an_update_puts_no_number_of_servers_back():
    """CloudFormation sets DesiredCapacity and DesiredCount at each update of their resource, whatever was scaled since."""
    for name, resource, begins in (("ec2", "Servers", "DesiredCapacity"), ("ecs", "Service", "DesiredCount")):
        whole = template(name)
        assert begins not in whole["Resources"][resource]["Properties"] and "Desired" not in whole["Parameters"]
    assert template("ec2")["Resources"]["Servers"]["Properties"]["MinSize"] == {"Ref": "Min"}
    assert template("ecs")["Resources"]["Scaling"]["Properties"]["MinCapacity"] == {"Ref": "Min"}


def test_aws_ends_no_server_that_was_started_before_its_phase():
    """Until the load comes there is none, and target tracking would end them down to Min."""
    ec2, ecs = (template(name)["Resources"]["Tracking"]["Properties"] for name in ("ec2", "ecs"))
    assert ec2["TargetTrackingConfiguration"]["DisableScaleIn"] is True
    assert ecs["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] is True
    assert "ScaleInCooldown" not in str(ecs) and "ends none (`DisableScaleIn`)" in (AWS / "README.md").read_text()


def row_of(document, begins):
    [row] = [line for line in (PROJECT / document).read_text().splitlines() if line.startswith(f"| {begins}")]
    return row


def test_the_hour_names_every_header_that_a_stack_does_not_have_as_it_is():
    """From EC2 to ECS with the order of deadlines of EVENT.md: v2 and ECS are due when the stack on ECS takes over."""
    row = row_of("docs/PLAY.md", "fifteen minutes before the deadline of *From*")
    whole, due = template("ecs")["Parameters"], {"VersionHeader": "v2", "FromHeader": "ECS"}
    named = [name for name in due if f"`{name}`" in row and f"`{due[name]}`" in row]
    assert "Look that as many tasks run" in row, "one task answers in a browser as well"
    assert set(named) >= {name for name, value in due.items() if whole[name]["Default"] != value} and "VersionHeader" in named, row


def test_the_hour_tells_of_a_pause():
    """Servers know an instant, and a pause moves the deadline."""
    [after] = [part for part in (PROJECT / "docs/PLAY.md").read_text().split("\n\n") if part.startswith("**After a pause**")]
    assert all(word in after for word in ("a second stack", "`v1,v2@TIME`", "*My team*"))
    # A new account has no room for as many again on EC2, and what it lacks is not told by the stack.
    assert "make the second stack on ECS" in after and "`FromHeader`" in after
    limits = (AWS / "README.md").read_text().split("## Limits of an account")[1].split("\n## ")[0]
    assert "four times your servers" in limits and "A second\nstack" in limits and "`ecs.yml` and `FromHeader` `EC2`" in limits
    assert template("ec2")["Parameters"]["InstanceType"]["Default"] == "t3.micro", "two processors a server"


def test_a_rolling_update_has_room_and_a_new_server_time():
    whole = template("ec2")
    servers = whole["Resources"]["Servers"]
    assert servers["UpdatePolicy"]["AutoScalingRollingUpdate"]["MinInstancesInService"] == servers["Properties"]["MinSize"] == {"Ref": "Min"}
    # CloudFormation refuses where MinInstancesInService is not below the group's largest size, in the middle of the update.
    [room] = whole["Rules"]["RoomForOneMore"]["Assertions"]
    assert room["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "Min"}, {"Ref": "Max"}]}]}
    waits = [int(seconds) for seconds in re.findall(r"DPkg::Lock::Timeout=(\d+)", USER_DATA.read_text())]
    assert servers["Properties"]["HealthCheckGracePeriod"] >= max(waits) + 60
    # Nothing signals, so what a machine has said is where its fault stands.
    assert "*Get system log*" in (AWS / "README.md").read_text()


def test_a_task_has_the_headers_by_the_names_of_server_and_starters():
    [container] = template("ecs")["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    given = {one["Name"]: one["Value"] for one in container["Environment"] if "Name" in one}
    named = {one["Fn::If"][1]["Name"] for one in container["Environment"] if one.get("Fn::If", [""])[0] == "HasTeam"}
    assert named == {"FLOWTEST_TARGET_TEAM", "TEAM"}
    for ours, starters in (("FLOWTEST_TARGET_VERSION", "VERSION"), ("FLOWTEST_TARGET_FROM", "FROM")):
        assert given[ours] == given[starters] == {"Ref": f"{starters.title()}Header"}
    assert given["PORT"] == {"Ref": "Port"}
    for starter, file in (("flask", "app.py"), ("express", "server.js"), ("go", "main.go")):
        text = (PROJECT / "target/starters" / starter / file).read_text()
        assert "VERSION" in text and "FROM" in text and "TEAM" in text, starter
    # nginx reads no environment: its image is built again.
    assert "--build-arg VERSION=v2" in (AWS / "README.md").read_text()
    assert "ARG TEAM=" in (PROJECT / "target/starters/nginx/Containerfile").read_text()


def test_what_a_stack_needs_is_said_before_it_is_made(contestant):
    contestant.play("ec2.yml", inventory="localhost,").refused("stack_program_url and stack_program_sha256", "stack_server=nginx")
    five = ["stack_server=nginx", json.dumps({"stack_generators": [f"203.0.113.{last}/32" for last in range(5)]})]
    contestant.play("ec2.yml", inventory="localhost,", variables=five).refused("stack_generators has 5 networks", "at most four")
    contestant.play("ecs.yml", inventory="localhost,").refused("stack_image names the image")


@pytest.mark.parametrize(("networks", "is_refused"), [([], True), ([""], True), (["203.0.113.7/32", ""], True), (["0.0.0.0/0"], False), (["203.0.113.7/32"], False)])
def test_a_list_of_nobody_opens_to_nobody(networks, is_refused):
    """A template's first network has a default, which is everybody."""
    [refuse] = [one for one in yaml.safe_load((ANSIBLE / "tasks/stack.yml").read_text()) if one["name"] == "Refuse a list of nobody"]
    assert refuse["when"] == "stack_generators is not none"
    assert templated("{{ " + refuse["ansible.builtin.assert"]["that"] + " }}", stack_generators=networks) is not is_refused


def test_the_tracking_follows_the_capacity_and_the_scheme_is_the_templates():
    words = yaml.safe_load((ANSIBLE / "vars/stack.yml").read_text())
    wanted = lambda **given: templated(words["stack_wanted"], **{**words, "stack_vpc_id": "vpc-1", "stack_one_a_zone": [], "stack_four": [""] * 4, "stack_given": {}, **given})
    for capacity in (100, "100"):
        assert wanted(stack_capacity=capacity)["RequestsPerMinute"] == 100 * 60 * 8 // 10
    # Who has set 0 in the console wants no tracking.
    assert wanted(stack_capacity=100, stack_before={"RequestsPerMinute": "0"})["RequestsPerMinute"] is None
    nothing, internal = wanted(), wanted(stack_scheme="internal")
    assert nothing["RequestsPerMinute"] is None and nothing["Scheme"] is None and internal["Scheme"] == "internal"
    assert all({"RequestsPerMinute", "Scheme"} <= set(template(name)["Parameters"]) for name in ("ec2", "ecs"))


@pytest.mark.parametrize(
    ("given", "before", "is_refused"),
    [("internal", "internet-facing", True), ("internal", "internal", False), (None, "internet-facing", False), ("internal", None, False)],
)
def test_the_scheme_of_a_stack_that_stands_stays(given, before, is_refused):
    """A target group belongs to one balancer, and another scheme is another one."""
    [refuse] = [one for one in yaml.safe_load((ANSIBLE / "tasks/stack.yml").read_text()) if one["name"].startswith("Refuse another scheme")]
    stands = {"stack_before": {"Scheme": before} if before else {}, "stack_stands": before is not None}
    holds = templated("{{ " + refuse["ansible.builtin.assert"]["that"] + " }}", state="present", stack_scheme=given, **stands)
    assert holds is not is_refused


@pytest.mark.long
def test_a_stack_needs_a_name_and_a_region(contestant):
    contestant.play("ecs.yml", inventory="localhost,", variables=["stack_image=x", "stack_name=Two_Words"]).refused("lower-case letters")
    contestant.play("ecs.yml", inventory="localhost,", variables=["stack_image=x"], environment={"AWS_REGION": ""}).refused("Set AWS_REGION")


def outputs(cloudformation, name):
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def parameters(cloudformation, name):
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def kinds(cloudformation, name):
    """Without those whose condition does not hold, which have no kind."""
    return sorted(one["ResourceType"] for one in cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"] if one["ResourceType"])


# Those that the pretended account does not know, and rules of a group, which are looked at below.
UNKNOWN = {"AWS::EC2::SecurityGroupIngress", "AWS::AutoScaling::ScalingPolicy", "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"}


@pytest.mark.parametrize(
    ("name", "given", "changed"),
    [
        pytest.param("ec2", ["stack_server=nginx", "stack_min=2", '{"stack_generators": ["203.0.113.7/32", "203.0.113.8/32"]}'], "stack_min=3", marks=pytest.mark.long),
        ("ecs", ["stack_image=registry.example.org/flowtest-target:v1", "stack_min=4", '{"stack_generators": ["203.0.113.7/32", "203.0.113.8/32"]}'], "stack_version=v2"),
    ],
)
def test_a_stack_is_made_changed_and_removed(contestant, cloudformation, ec2, account, name, given, changed):
    # One that failed in the console stays, and cannot be changed.
    rolled_back = pathlib.Path(account["FLOWTEST_FAIL_STACKS"])
    rolled_back.touch()
    small = {"Parameters": {"Min": {"Type": "String", "Default": "7"}}, "Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x"}}}}
    cloudformation.create_stack(StackName=f"flowtest-{name}", TemplateBody=json.dumps(small))
    rolled_back.unlink()
    made = contestant.play(f"{name}.yml", inventory="localhost,", variables=given).changed_something()
    endpoint = outputs(cloudformation, f"flowtest-{name}")["Endpoint"]
    assert re.fullmatch(r"http://[a-zA-Z0-9.-]+/", endpoint) and f"Endpoint: {endpoint}" in made.text
    # Without a certificate there is no listener for https.
    wanted = sorted(one["Type"] for one in template(name)["Resources"].values() if one["Type"] not in UNKNOWN and one.get("Condition") != "HasTls")
    assert [kind for kind in kinds(cloudformation, f"flowtest-{name}") if kind not in UNKNOWN] == wanted
    groups = {one["GroupId"]: one for one in ec2.describe_security_groups()["SecurityGroups"]}
    [group] = [one for one in groups.values() if "requests of the generators" in one["Description"]]
    from_where = {place["CidrIp"] for rule in group["IpPermissions"] for place in rule["IpRanges"]}
    assert from_where == {"203.0.113.7/32", "203.0.113.8/32"}
    # In the console somebody has raised Max; a later play names one thing, and puts nothing else back.
    before = parameters(cloudformation, f"flowtest-{name}")
    kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in before if key != "Max"]
    cloudformation.update_stack(StackName=f"flowtest-{name}", UsePreviousTemplate=True, Parameters=[*kept, {"ParameterKey": "Max", "ParameterValue": "20"}])
    contestant.play(f"{name}.yml", inventory="localhost,", variables=[changed]).changed_something()
    key, value = {"ec2": ("Min", "3"), "ecs": ("VersionHeader", "v2")}[name]
    assert parameters(cloudformation, f"flowtest-{name}") == {**before, "Max": "20", key: value}
    assert outputs(cloudformation, f"flowtest-{name}")["Endpoint"] == endpoint, "a change keeps the endpoint"
    contestant.play(f"{name}.yml", inventory="localhost,").changed_nothing()
    contestant.play(f"{name}.yml", inventory="localhost,", variables=["state=absent"]).changed_something()
    assert cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])["StackSummaries"] == []
    contestant.play(f"{name}.yml", inventory="localhost,", variables=["state=absent"]).changed_nothing()


MACHINE = "10.77.16.40"


@pytest.mark.hosts
@pytest.mark.parametrize("server", ["nginx", pytest.param("reference", marks=pytest.mark.long)])
def test_user_data_makes_a_contestant_of_a_fresh_machine(lab, tmp_path, server):
    program = PROJECT / "build/quick/flowtest-target"
    lab.boot("fresh", MACHINE, "ec2-user", "nobody logs in")
    try:
        with served(program.parent) as place:
            text = USER_DATA.read_text().replace("VERSION='v1'", "VERSION='v2'").replace("FROM='EC2'", "FROM='ECS'").replace("TEAM=''", "TEAM='alice'")
            if server == "reference":
                sum = subprocess.run(["sha256sum", program], capture_output=True, text=True, check=True).stdout.split()[0]
                text = text.replace("PROGRAM_URL=''", f"PROGRAM_URL='{place}/flowtest-target'")
                other = lab.shell("fresh", run(text.replace("PROGRAM_SHA256=''", f"PROGRAM_SHA256='{'0' * 64}'")))
                assert f"has the sum {sum}, and not 000" in other and "ready" not in other, other
                text = text.replace("PROGRAM_SHA256=''", f"PROGRAM_SHA256='{sum}'")
            said = lab.shell("fresh", run(text))
        assert "ready: version v2, from ECS, 500 requests a second" in said, said
        flood = subprocess.run(
            [PROJECT / "build/quick/flowtest-loadgen", "stress", f"http://{MACHINE}/", "--rate", "200", "--duration", "5s", "--connections", "16", "--warmup", "0s", "--json", "-"],
            capture_output=True, text=True, timeout=120, check=False,
        )
        contestant = json.loads(flood.stdout)["contestants"][0]
        assert contestant["points"] == 1000 * 200, flood.stdout + flood.stderr
        assert lab.shell("fresh", f"curl --silent --output /dev/null --dump-header - http://{MACHINE}/").lower().count("team: alice") == 1
        # Above the capacity it fails, or nobody would need a second one.
        above = subprocess.run(
            [PROJECT / "build/quick/flowtest-loadgen", "stress", f"http://{MACHINE}/", "--rate", "1500", "--duration", "4s", "--connections", "128", "--warmup", "0s", "--json", "-"],
            capture_output=True, text=True, timeout=120, check=False,
        )
        verified = json.loads(above.stdout)["contestants"][0]["verified"]
        # Requests of the four seconds wait three more for a connection; the bucket has a second of burst.
        assert verified <= 500 * (4 + 3 + 1), above.stdout
        if server == "nginx":
            nginx_flips_by_the_clock(lab)
    finally:
        lab.halt("fresh")


def nginx_flips_by_the_clock(lab):
    def made(version, from_):
        text = USER_DATA.read_text().replace("VERSION='v1'", f"VERSION='{version}'").replace("FROM='EC2'", f"FROM='{from_}'")
        return lab.shell("fresh", run(text))

    def headers():
        return dict(re.findall(r"^(version|from): (\S+)", lab.shell("fresh", f"curl --silent --dump-header - http://{MACHINE}/").lower(), re.MULTILINE))

    # An instant that has passed, and one that has not.
    assert "ready" in made("v1,v2@2020-12-01T10:20:00+01:00", "EC2,ECS@2098-12-01T10:45:00Z")
    assert headers() == {"version": "v2", "from": "ec2"}
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
    assert "ready" in made("v2", f"EC2,ECS@{soon:%Y-%m-%dT%H:%M:%SZ}")
    end = time.monotonic() + 60
    while headers() != {"version": "v2", "from": "ecs"}:
        assert time.monotonic() < end, lab.shell("fresh", "systemctl status flowtest-flip.timer flowtest-flip.service; cat /etc/nginx/flowtest-headers")
        time.sleep(0.2)
    assert "neither a value nor two with an instant" in made("v1,v2@+20s", "EC2")


def run(text):
    return f"cat > user-data <<'ALL OF IT'\n{text}ALL OF IT\nbash user-data"
