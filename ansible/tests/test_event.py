"""The whole way, in the order of an event: account, machines, services, a round, another release, backup, the end.

The tests of this file are one story and run in this order; a later one finds what earlier ones left. The account is
pretended (moto on loopback), the machines are namespaces with a systemd and an sshd of their own, and everything that
runs on them is real.
"""

import csv
import fnmatch
import gzip
import json
import os
import pathlib
import re
import shlex
import shutil
import ssl
import subprocess
import time
import urllib.request

import pytest
from conftest import ANSIBLE, PLAYBOOKS, PROJECT, alive, commands_of, pack, served
from visitor import Visitor, complaints

PROGRAMS = PROJECT / "build/quick"
# Where a contestant's machine is: in the VPC, and none of ours.
CONTESTANT = "10.77.16.20"
TWO = ["cloud_generator_count=2"]
NAMES = {"lab-redis-1", "lab-dashboard-1", "lab-target-1", "lab-generator-1"}


def key(organiser):
    return (organiser.state / "ssh_key.pub").read_text()


def journals(ec2, *roles):
    """The volumes of journals, or of other `roles`: {name: (id, [instance])}."""
    found = ec2.describe_volumes(Filters=[{"Name": "tag:flowtest_role", "Values": list(roles or ["journal"])}])["Volumes"]
    name = lambda volume: next(tag["Value"] for tag in volume["Tags"] if tag["Key"] == "Name")
    return {name(one): (one["VolumeId"], [place["InstanceId"] for place in one["Attachments"]]) for one in found}


def tagged(ec2, key, value):
    """Ids of what has this tag."""
    found = ec2.describe_tags(Filters=[{"Name": "key", "Values": [key]}, {"Name": "value", "Values": [value]}])["Tags"]
    return {one["ResourceId"] for one in found}


def sync(lab, ec2, organiser):
    volumes = {instance: id for id, [instance] in journals(ec2, "journal", "data").values()}
    lab.sync(
        [
            (name, one["PrivateIpAddress"], "ec2-user", [volumes[one["InstanceId"]]] if one["InstanceId"] in volumes else [])
            for name, one in alive(ec2).items()
        ],
        key(organiser),
    )


def test_an_empty_account_is_provisioned(organiser, ec2):
    said = " ".join(organiser.provision().changed_something().text.split())
    found = alive(ec2)
    assert set(found) == NAMES
    for instance in found.values():
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert len(instance["SecurityGroups"]) == 1
    assert found["lab-generator-1"]["Placement"]["GroupName"] == "lab"
    addresses = ec2.describe_addresses()["Addresses"]
    assert {one["InstanceId"] for one in addresses} == {found[name]["InstanceId"] for name in ("lab-generator-1", "lab-dashboard-1")}
    [(name, (volume, [instance]))] = journals(ec2).items()
    assert (name, instance) == ("lab-generator-1-journal", found["lab-generator-1"]["InstanceId"])
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Encrypted"]
    [(name, (data, [instance]))] = journals(ec2, "data").items()
    assert (name, instance) == ("lab-dashboard-1-data", found["lab-dashboard-1"]["InstanceId"])
    # The end stands on everything, in one form.
    everything, ends = tagged(ec2, "flowtest_deployment", "lab"), tagged(ec2, "flowtest_ends_at", "2099-01-01 01:00:00 UTC")
    assert everything <= ends and {volume, data} <= everything and len(everything) > 10, everything - ends
    assert said.index("Account ") < said.index("The end: 2099-01-01 01:00:00 UTC") < said.index("dollars an hour")
    assert (organiser.state / "ssh_key").stat().st_mode & 0o777 == 0o600
    # Where, what and for how much is said before; the second door is there; contestants' way in is told.
    assert "region us-east-1, deployment lab" in said and "1 x c7i.large (generator)" in said and "dollars an hour" in said, said
    assert {one["IamInstanceProfile"]["Arn"].split("/")[-1] for one in found.values()} == {"flowtest-lab-us-east-1"}
    [subnet] = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["lab-contestants"]}])["Subnets"]
    [group] = ec2.describe_security_groups(Filters=[{"Name": "tag:Name", "Values": ["lab-contestant"]}])["SecurityGroups"]
    for word in (subnet["SubnetId"], subnet["AvailabilityZoneId"], group["GroupId"]):
        assert word in said, word


@pytest.mark.long
def test_a_second_run_changes_nothing(organiser):
    organiser.provision().changed_nothing()


@pytest.mark.long
def test_check_mode_tells_no_false_change(organiser):
    organiser.provision("--check", "--diff").changed_nothing()


@pytest.mark.long
def test_a_security_group_that_drifted_is_repaired(organiser, ec2):
    groups = {one["GroupName"]: one for one in ec2.describe_security_groups()["SecurityGroups"]}
    redis = groups["lab-redis"]
    before = redis["IpPermissions"]
    scores = [one for one in before if one["FromPort"] == 6379]
    assert scores and "10.77.0.1/32" in str(before) and "0.0.0.0/0" not in str(before)
    ec2.revoke_security_group_ingress(GroupId=redis["GroupId"], IpPermissions=scores)
    ec2.authorize_security_group_ingress(GroupId=redis["GroupId"], IpProtocol="tcp", FromPort=6379, ToPort=6379, CidrIp="0.0.0.0/0")
    organiser.provision().changed_something()
    after = ec2.describe_security_groups(GroupIds=[redis["GroupId"]])["SecurityGroups"][0]["IpPermissions"]
    assert "0.0.0.0/0" not in str(after)
    assert sorted({one["FromPort"] for one in after if one["UserIdGroupPairs"]}) == [22, 6379]


@pytest.mark.long
def test_another_end_is_written_on_what_stands(organiser, ec2):
    standing = {one["InstanceId"] for one in alive(ec2).values()} | {id for id, _ in journals(ec2, "journal", "data").values()}
    standing |= {one["AllocationId"] for one in ec2.describe_addresses()["Addresses"]}
    organiser.provision(variables=["cloud_ends_at=2097-06-01T12:00:00Z"]).changed_something()
    assert standing <= tagged(ec2, "flowtest_ends_at", "2097-06-01 12:00:00 UTC")
    organiser.provision().changed_something()
    assert standing <= tagged(ec2, "flowtest_ends_at", "2099-01-01 01:00:00 UTC")


@pytest.mark.long
def test_a_budget_is_a_stack_that_stays(organiser, account):
    import boto3

    stacks = boto3.client("cloudformation", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    budget = ["cloud_budget_usd=50", "cloud_budget_email=organiser@example.org"]
    organiser.provision(variables=budget).changed_something()
    [stack] = stacks.describe_stacks(StackName="flowtest-lab-budget")["Stacks"]
    assert {"ParameterKey": "Dollars", "ParameterValue": "50"} in stack["Parameters"]
    # A budget is the account's, so its name tells regions apart; and addresses, of which a budget keeps its own.
    name = lambda stack: next(one["ParameterValue"] for one in stack["Parameters"] if one["ParameterKey"] == "Name")
    first = name(stack)
    assert re.fullmatch("flowtest-lab-us-east-1-[0-9a-f]{8}", first), first
    organiser.provision(variables=budget).changed_nothing()
    organiser.provision(variables=[budget[0], "cloud_budget_email=another@example.org"]).changed_something()
    assert name(stacks.describe_stacks(StackName="flowtest-lab-budget")["Stacks"][0]) != first
    # A stack that stands is looked at by a change set, which the policy must allow as well.
    organiser.provision("--check", variables=budget).went_well()


@pytest.mark.long
def test_hosts_may_put_copies_into_a_bucket_and_nothing_else(organiser, ec2, account):
    import boto3

    iam = boto3.client("iam", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    policies = lambda: iam.list_role_policies(RoleName="flowtest-lab-us-east-1")["PolicyNames"]
    organiser.provision(variables=["copies_bucket=organisers-own"]).changed_something()
    assert policies() == ["copies"]
    [statement] = iam.get_role_policy(RoleName="flowtest-lab-us-east-1", PolicyName="copies")["PolicyDocument"]["Statement"]
    assert statement == {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::organisers-own/lab/*"}
    [redis] = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["lab-redis"]}])["SecurityGroups"]
    assert [one["FromPort"] for one in redis["IpPermissions"] if one["UserIdGroupPairs"]] == [6379], "nobody brings copies there"
    organiser.provision().changed_something()
    assert policies() == []


@pytest.mark.long
def test_a_teams_peering_and_its_route_stay(organiser, ec2):
    [ours] = ec2.describe_vpcs(Filters=[{"Name": "tag:flowtest_deployment", "Values": ["lab"]}])["Vpcs"]
    theirs = ec2.create_vpc(CidrBlock="10.90.0.0/16")["Vpc"]["VpcId"]
    peering = ec2.create_vpc_peering_connection(VpcId=theirs, PeerVpcId=ours["VpcId"])["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    table = lambda: ec2.describe_route_tables(Filters=[{"Name": "tag:flowtest_deployment", "Values": ["lab"]}])["RouteTables"][0]
    routes = lambda: {one["DestinationCidrBlock"] for one in table()["Routes"] if "VpcPeeringConnectionId" in one}
    ec2.create_route(RouteTableId=table()["RouteTableId"], DestinationCidrBlock="10.90.0.0/16", VpcPeeringConnectionId=peering)
    organiser.provision().changed_nothing()
    assert routes() == {"10.90.0.0/16"}, "the next provision took a team off the network"
    by_variable = [json.dumps({"cloud_routes": [{"dest": "10.91.0.0/16", "vpc_peering_connection_id": peering}]})]
    organiser.provision(variables=by_variable).changed_something()
    assert routes() == {"10.90.0.0/16", "10.91.0.0/16"}
    for route in routes():
        ec2.delete_route(RouteTableId=table()["RouteTableId"], DestinationCidrBlock=route)
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    ec2.delete_vpc(VpcId=theirs)


@pytest.mark.long
def test_generators_come_and_go_and_nobody_else_does(organiser, ec2):
    before = {name: one["InstanceId"] for name, one in alive(ec2).items()}
    organiser.provision(variables=["cloud_generator_count=3"]).changed_something()
    three = {name: one["InstanceId"] for name, one in alive(ec2).items()}
    assert set(three) == NAMES | {"lab-generator-2", "lab-generator-3"}
    # Another image is chosen meanwhile: what runs stays.
    [chosen] = organiser.state.glob("image-us-east-1-*")
    images = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    chosen.write_text(next(image["ImageId"] for image in images if image["ImageId"] != chosen.read_text().strip()))
    # They may have journals.
    organiser.provision(variables=["cloud_generator_count=2"]).refused("lab-generator-3-journal is in no results", "run results.yml first")
    assert set(alive(ec2)) == set(three) and len(journals(ec2)) == 3
    nobody_played = "cloud_without_results=true"
    organiser.provision(variables=["cloud_generator_count=2", nobody_played]).changed_something()
    two = {name: one["InstanceId"] for name, one in alive(ec2).items()}
    assert two == {name: id for name, id in three.items() if name != "lab-generator-3"}
    organiser.provision(variables=[nobody_played]).changed_something()
    assert {name: one["InstanceId"] for name, one in alive(ec2).items()} == before
    assert len(ec2.describe_addresses()["Addresses"]) == 2, "addresses of ended generators are given back"
    assert set(journals(ec2)) == {"lab-generator-1-journal"}


@pytest.mark.long
def test_generators_go_when_their_results_are_complete(organiser, ec2):
    organiser.provision(variables=["cloud_generator_count=2"]).changed_something()
    results = organiser.state / "results/20261201T100000Z"
    results.mkdir(parents=True)
    two = {name: volume for name, (volume, _) in journals(ec2).items()}
    (results / "COMPLETE").touch()
    # An older volume of the same name is not this one.
    (results / "volumes").write_text(f"lab-generator-1 {two['lab-generator-1-journal']}\nlab-generator-2 vol-00000000000000000\n")
    organiser.provision().refused("lab-generator-2-journal is in no results")
    (results / "volumes").write_text("".join(f"{name} {id}\n" for name, id in two.items()))
    prepared = organiser.state / "prepared"
    prepared.mkdir()
    (prepared / "AT").write_text("20261201T110000Z\n")
    organiser.provision().refused("a round was prepared after the newest results")
    # Copies of the folder have other times than the files had.
    (results / "COMPLETE").touch()
    organiser.provision().refused("a round was prepared after the newest results")
    results.rename(results.parent / "20261201T110001Z")
    organiser.provision().changed_something()
    assert set(alive(ec2)) == NAMES
    shutil.rmtree(results.parent)
    shutil.rmtree(prepared)


@pytest.mark.long
def test_an_address_survives_a_host_that_is_launched_anew(organiser, ec2):
    address = lambda: {one["InstanceId"]: one["PublicIp"] for one in ec2.describe_addresses()["Addresses"]}
    before = alive(ec2)["lab-dashboard-1"]["InstanceId"]
    kept = address()[before]
    [(data, _)] = journals(ec2, "data").values()
    ec2.terminate_instances(InstanceIds=[before])
    # Nobody pretends this machine, so it does not answer SSH.
    wait = ["cloud_ssh_wait_s=2"]
    organiser.provision(variables=wait).refused("lab-dashboard-1 was launched and does not answer SSH", "organiser_cidrs")
    after = alive(ec2)["lab-dashboard-1"]["InstanceId"]
    assert after != before and address()[after] == kept
    assert journals(ec2, "data") == {"lab-dashboard-1-data": (data, [after])}
    outcome = organiser.provision(variables=wait).changed_nothing()
    assert f"lab-dashboard-1: {kept}" in outcome.text
    assert len(address()) == 2


@pytest.mark.long
def test_journals_survive_a_generator_that_is_lost(organiser, ec2):
    before = alive(ec2)["lab-generator-1"]["InstanceId"]
    [(volume, _)] = journals(ec2).values()
    ec2.terminate_instances(InstanceIds=[before])
    organiser.provision(variables=["cloud_journal_gib=200"]).changed_something()
    after = alive(ec2)["lab-generator-1"]["InstanceId"]
    assert after != before and journals(ec2) == {"lab-generator-1-journal": (volume, [after])}
    # It grew by the way, and never shrinks.
    organiser.provision().changed_nothing()
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 200
    # One that EC2 calls running although it is lost.
    organiser.provision(variables=["cloud_replace=lab-redis-1"]).refused("'lab-redis-1' is no generator")
    organiser.provision(variables=["cloud_replace=lab-generator-1"]).changed_something()
    replaced = alive(ec2)["lab-generator-1"]["InstanceId"]
    assert replaced != after and journals(ec2) == {"lab-generator-1-journal": (volume, [replaced])}
    # A volume of the same name that nobody made: who can say which has the journals?
    stray = ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [
            {"Key": "Name", "Value": "lab-generator-1-journal"}, {"Key": "flowtest_role", "Value": "journal"}, {"Key": "flowtest_deployment", "Value": "lab"},
        ]}],
    )["VolumeId"]
    organiser.provision().refused("Two volumes have the same name", stray)
    ec2.delete_volume(VolumeId=stray)


@pytest.mark.long
def test_the_scoreboard_is_not_ended_by_the_way(organiser, ec2):
    organiser.provision(variables=["redis_external=cache.example.org:6379"]).refused("lab-redis-1 would be ended", "cloud_without_redis=true")
    assert set(alive(ec2)) == NAMES


@pytest.mark.long
def test_a_builder_comes_builds_for_these_hosts_alone_and_goes(organiser, ec2):
    organiser.provision(variables=["cloud_builder_count=1"]).refused("builds for arm64", "hosts of x86_64")
    organiser.provision(variables=["cloud_builder_count=1", "cloud_builder_type=c7i.large"]).changed_something()
    assert set(alive(ec2)) == NAMES | {"lab-builder-1"}
    organiser.provision().changed_something()
    assert set(alive(ec2)) == NAMES


@pytest.mark.long
def test_another_system_is_refused(organiser):
    organiser.provision(variables=["cloud_os=ubuntu2404"]).refused("lab-generator-1 is al2023", "cloud_os is ubuntu2404")


@pytest.mark.long
def test_another_zone_is_refused(organiser):
    organiser.provision(variables=["cloud_zone=us-east-1b"]).refused("stands in us-east-1a", "teardown.yml first")


@pytest.mark.long
def test_another_type_is_refused_until_somebody_says_so(organiser, ec2):
    bigger = "cloud_redis_type=t3.medium"
    organiser.provision(variables=[bigger]).refused("lab-redis-1 would be stopped and started", "cloud_retype=true")
    assert alive(ec2)["lab-redis-1"]["InstanceType"] == "t3.small"
    organiser.provision(variables=[bigger, "cloud_retype=true"]).changed_something()
    assert alive(ec2)["lab-redis-1"]["InstanceType"] == "t3.medium"
    organiser.provision(variables=["cloud_retype=true"]).changed_something()
    assert alive(ec2)["lab-redis-1"]["InstanceType"] == "t3.small"


@pytest.mark.long
def test_a_release_is_built(organiser):
    """With the programs that are built already, for compiling them anew takes half an hour."""
    quick = {"build_profile": "quick", "build_target_dir": str(PROJECT / "build"), "build_flags": ""}
    home = pathlib.Path.home()
    rust = {"CARGO_HOME": os.environ.get("CARGO_HOME", str(home / ".cargo")), "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(home / ".rustup"))}
    outcome = organiser.play("build.yml", inventory="localhost,", variables=[json.dumps(quick)], environment=rust).changed_something()
    newest = (organiser.releases / "NEWEST").read_text().strip()
    archive = organiser.releases / f"flowtest-{newest}-{os.uname().machine}.tar.gz"
    subprocess.run(["sha256sum", "--check", "--quiet", f"{archive.name}.sha256"], cwd=organiser.releases, check=True)
    assert outcome.text.count("flowtest-") > 0
    organiser.play("build.yml", inventory="localhost,", variables=[json.dumps(quick)], environment=rust).changed_nothing()


@pytest.mark.hosts
@pytest.mark.long
def test_site_configures_and_starts_everything(organiser, ec2, lab):
    pack(PROGRAMS, organiser.releases, "old")
    sync(lab, ec2, organiser)
    outcome = organiser.play("site.yml", "-vvv").changed_something()
    # The security group decides about SSH: whoever comes into another network needs provision.yml alone.
    assert "dport 22" not in lab.shell("lab-generator-1", "cat /etc/flowtest/firewall.nft")
    # The journal has a disk of its own.
    mounted = lab.shell("lab-generator-1", "findmnt --noheadings --output SOURCE,FSTYPE --target /var/lib/flowtest/journal").split()
    assert "Elastic_Block_Store_vol" in mounted[0] and mounted[1] == "ext4", mounted
    # So have the dashboard's database and certificates, each at its place.
    for place, owner in (("/var/lib/flowtest-dashboard", "flowtest"), ("/etc/letsencrypt", "root")):
        mounted = lab.shell("lab-dashboard-1", f"findmnt --noheadings --output SOURCE,FSTYPE --mountpoint {place}; stat -c %U {place}").split()
        assert "Elastic_Block_Store_vol" in mounted[0] and mounted[1:] == ["ext4", owner], mounted
    # A copy has left the machine, whole.
    [copy] = lab.shell("lab-redis-1", "ls /var/lib/flowtest-copies").split()
    assert "Flow" not in copy and lab.shell("lab-redis-1", f"gunzip -c /var/lib/flowtest-copies/{copy} | head -c 15") == "SQLite format 3", copy
    assert "is on lab-redis-1" in lab.shell("lab-dashboard-1", "journalctl -u flowtest-copy --no-pager")
    # And the machine knows its end.
    assert "2099-01-01 01:00:00 UTC" in lab.shell("lab-target-1", "systemctl show -P TimersCalendar flowtest-ends.timer; systemctl is-active flowtest-ends.timer")
    for secret in organiser.secrets():
        assert len(secret) >= 24 and secret not in outcome.text, "a password is in the output of -vvv"
    assert lab.shell("lab-generator-1", "systemctl is-active flowtest-generator").strip() == "active"
    heard = lab.shell("lab-redis-1", "flowtest-redis-cli --raw GET 'flowtest:{finals}:generator:lab-generator-1'")
    assert heard.startswith("{"), f"Redis has not heard the generator: {heard}"
    assert lab.shell("lab-dashboard-1", "systemctl is-active flowtest-dashboard flowtest-practice").split() == ["active"] * 2
    # What stops traffic reaches Redis and is let in; of a contest that is not there, so that nothing is stopped.
    elsewhere = "sed s/--contest.finals/--contest\\ verify/ /usr/local/sbin/flowtest-stop | sh 2>&1 || true"
    assert 'holds no contest "verify"' in lab.shell("lab-dashboard-1", elsewhere)
    policy = lab.shell("lab-generator-1", "cat /etc/flowtest/flowtest-generator.toml").split("deny")[1]
    for name in ("lab-generator-1", "lab-redis-1", "lab-dashboard-1"):
        for kind in ("PrivateIpAddress", "PublicIpAddress"):
            assert f'"{alive(ec2)[name][kind]}"' in policy, f"{name} may be flooded at its {kind}"
    modes = lab.shell("lab-generator-1", "stat -c '%a %U' /etc/flowtest/secrets /etc/flowtest/secrets/*").split("\n")
    assert modes[:2] == ["700 root", "600 root"], modes


@pytest.mark.hosts
@pytest.mark.long
def test_site_again_changes_nothing(organiser, lab):
    organiser.play("site.yml").changed_nothing()


@pytest.mark.hosts
@pytest.mark.long
def test_check_and_diff_on_configured_hosts_tell_no_false_change(organiser, lab):
    outcome = organiser.play("site.yml", "--check", "--diff", "-vvv").changed_nothing()
    assert not any(secret in outcome.text for secret in organiser.secrets())


@pytest.mark.hosts
@pytest.mark.long
def test_the_key_of_copies_opens_nothing_else(organiser, ec2, lab):
    redis = alive(ec2)["lab-redis-1"]["PrivateIpAddress"]
    ssh = f"ssh -F /dev/null -i /etc/flowtest/secrets/copies-key -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/etc/flowtest/copies_known_hosts flowtest-copies@{redis}"
    said = lab.shell("lab-dashboard-1", f"echo nonsense | {ssh} cat /etc/passwd; {ssh} -t < /dev/null")
    assert "not in gzip format" in said and "root:" not in said, said
    assert lab.shell("lab-redis-1", "ls -A /var/lib/flowtest-copies | grep -v -e '^flowtest-.*[.]db[.]gz$' -e '^[.]ssh$'") == ""


@pytest.mark.hosts
@pytest.mark.long
def test_copies_that_stay_on_the_machine_are_told(organiser, lab):
    at = "/var/lib/flowtest-dashboard/copies/away-at"
    lab.shell("lab-dashboard-1", f"touch --date='-1 hour' {at}")
    organiser.play("verify.yml").refused("off lab-dashboard-1 is 60 minutes old", "journalctl -u flowtest-copy")
    lab.shell("lab-dashboard-1", "systemctl start flowtest-copy")
    assert int(lab.shell("lab-dashboard-1", f"expr $(date +%s) - $(stat -c %Y {at})")) < 60


@pytest.mark.hosts
@pytest.mark.long
def test_the_dashboards_data_outlives_its_machine_and_a_copy_its_disk(organiser, ec2, lab):
    marked = "stat -c '%i %U' /var/lib/flowtest-dashboard/flowtest.db /var/lib/flowtest-dashboard/admin-created"
    before = lab.shell("lab-dashboard-1", f"touch /etc/letsencrypt/kept; {marked}")
    assert before.split()[1] == "flowtest", before
    ec2.terminate_instances(InstanceIds=[alive(ec2)["lab-dashboard-1"]["InstanceId"]])
    lab.halt("lab-dashboard-1")
    organiser.provision().changed_something()
    sync(lab, ec2, organiser)
    organiser.play("site.yml").changed_something()
    assert lab.shell("lab-dashboard-1", marked) == before
    assert lab.shell("lab-dashboard-1", "ls /etc/letsencrypt").split() == ["kept"]
    # The disk is lost as well: of a copy, which is named.
    [copy, *_] = lab.shell("lab-redis-1", "ls /var/lib/flowtest-copies").split()
    lab.shell("lab-dashboard-1", "systemctl stop flowtest-dashboard; rm /var/lib/flowtest-dashboard/flowtest.db*")
    organiser.play("restore.yml", variables=["backup=copies"]).refused("Say which copy: -e restore_copy=NAME", copy)
    organiser.play("restore.yml", variables=["backup=copies", f"restore_copy={copy}"]).changed_something()
    # The same from a bucket.
    import base64

    import boto3

    s3 = boto3.client("s3", endpoint_url=organiser.environment["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    s3.create_bucket(Bucket="organisers-own")
    s3.put_object(Bucket="organisers-own", Key="lab/1010.db.gz", Body=base64.b64decode(lab.shell("lab-redis-1", f"base64 /var/lib/flowtest-copies/{copy}")))
    bucket = ["backup=copies", "copies_bucket=organisers-own"]
    organiser.play("restore.yml", variables=bucket).refused("is none of 1010.db.gz")
    organiser.play("restore.yml", variables=[*bucket, "restore_copy=1010.db.gz"]).changed_something()
    site = f"http://{alive(ec2)['lab-dashboard-1']['PrivateIpAddress']}"
    Visitor(site).sign_in("admin", (organiser.state / "secrets/dashboard_admin").read_text().strip())


@pytest.mark.hosts
@pytest.mark.long
def test_the_dashboard_speaks_tls_with_a_certificate_of_ours(organiser, ec2, lab, tmp_path):
    address = alive(ec2)["lab-dashboard-1"]["PrivateIpAddress"]
    certificate = tmp_path / "dashboard.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-subj", "/CN=lab",
         "-addext", f"subjectAltName=IP:{address}", "-keyout", tmp_path / "dashboard.key", "-out", certificate],
        check=True, capture_output=True,
    )
    variables = [f"dashboard_cert={certificate}", f"dashboard_key={tmp_path}/dashboard.key"]
    only = ["--limit", "dashboard", "--tags", "dashboard"]
    organiser.play("site.yml", *only, variables=variables[:1]).refused("dashboard_cert and dashboard_key together")
    organiser.play("site.yml", *only, variables=variables).changed_something()
    trust = ssl.create_default_context(cafile=certificate)
    with urllib.request.urlopen(f"https://{address}/login", context=trust, timeout=20) as page:
        assert page.status == 200
    # Who types the address alone is led to where people reach it, and nowhere else.
    public = alive(ec2)["lab-dashboard-1"]["PublicIpAddress"]
    answer = lab.shell("lab-redis-1", f"curl --silent --dump-header - http://{address}/rules?a=b; curl --silent --dump-header - --request-target http://elsewhere.example.org/ http://{address}/")
    assert re.findall(r"^Location: (.*?)\r?$", answer, re.MULTILINE) == [f"https://{public}/rules?a=b", f"https://{public}/"], answer
    assert "WARNING" in organiser.play("site.yml", *only).changed_something().text


@pytest.mark.hosts
@pytest.mark.long
def test_the_dashboard_has_a_certificate_of_an_authority(organiser, ec2, lab, authority):
    """The whole way of RFC 8555 with certbot: an authority looks for the answer on port 80, where the dashboard was."""
    address = alive(ec2)["lab-dashboard-1"]["PrivateIpAddress"]
    authority.names(address)
    only = ["--limit", "dashboard", "--tags", "dashboard"]
    ours = [f"dashboard_acme_server={authority.directory}", f"dashboard_acme_trust={authority.certificate}"]
    named = lambda name: ["acme_email=organiser@example.org", f"dashboard_domain={name}", *ours]
    organiser.play("site.yml", *only, variables=[*ours, "dashboard_domain=contest.example.org"]).refused("with acme_email")
    # A name that leads elsewhere is not asked for.
    organiser.play("site.yml", *only, variables=named("nowhere.example.org")).refused("nowhere.example.org leads to nobody", address, "authority was not asked")
    lab.shell("lab-dashboard-1", f"echo {address} contest.example.org finals.example.org elsewhere.example.org >> /etc/hosts")
    with served(PROJECT / "build/ansible/certbot") as index:
        lab.shell("lab-dashboard-1", f"printf '[global]\\nno-index = true\\nfind-links = {index}/\\ntrusted-host = *\\n' > /etc/pip.conf")
        organiser.play("site.yml", *only, variables=named("contest.example.org")).changed_something()
    organiser.play("site.yml", *only, variables=named("contest.example.org")).changed_nothing()
    assert "https://contest.example.org" in lab.shell("lab-dashboard-1", "systemctl show -P Environment flowtest-dashboard")
    assert lab.shell("lab-dashboard-1", "systemctl is-active flowtest-certificate.timer").strip() == "active"
    first = authority.sees(address, "contest.example.org")
    # The machine is lost, and the next one has the certificate from here.
    lab.shell("lab-dashboard-1", "rm -r /etc/letsencrypt /etc/flowtest/tls")
    organiser.play("site.yml", *only, variables=named("contest.example.org")).changed_something()
    assert authority.sees(address, "contest.example.org") == first, "a new one was asked for"
    # At night, and with another name.
    lab.shell("lab-dashboard-1", "systemctl start flowtest-certificate")
    assert authority.sees(address, "contest.example.org") == first, "what is new is not renewed"
    organiser.play("site.yml", *only, variables=named("finals.example.org")).changed_something()
    assert authority.sees(address, "finals.example.org") != first
    # The authority does not find the name.
    authority.names("10.77.200.200")
    organiser.play("site.yml", *only, variables=named("elsewhere.example.org")).refused("gave no certificate for elsewhere.example.org", "fixed address")
    assert authority.sees(address, "finals.example.org") is not None, "the dashboard is still there"
    assert "WARNING" in organiser.play("site.yml", *only).changed_something().text
    assert lab.shell("lab-dashboard-1", "systemctl is-active flowtest-certificate.timer").strip() == "inactive"


@pytest.mark.hosts
@pytest.mark.long
def test_prometheus_reads_every_program(organiser, ec2, lab):
    organiser.play("site.yml", variables=[json.dumps({"observe": True})]).changed_something()
    import yaml

    [job] = yaml.safe_load((organiser.state / "prometheus.yml").read_text())["scrape_configs"]
    seen = set()
    for one in job["static_configs"]:
        with urllib.request.urlopen(f"http://{one['targets'][0]}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        host, program = one["labels"]["host"], one["labels"]["program"]
        seen.add((host, program))
        assert {"dashboard": "flowtest_build_info", "target": "flowtest_target_requests_total"}.get(program, "flowtest_up 1") in text, text[:500]
    assert seen == {("lab-generator-1", "generator"), ("lab-dashboard-1", "dashboard"), ("lab-dashboard-1", "practice"), ("lab-target-1", "target")}
    organiser.play("site.yml").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_verify_plays_a_round_and_finds_the_exact_score(organiser, lab):
    outcome = organiser.play("verify.yml").changed_nothing()
    assert "1000 requests, 200000 points: exact" in outcome.text


@pytest.mark.hosts
@pytest.mark.long
def test_verify_finds_a_house_target_that_lies(organiser, lab):
    variables = ["target_faults=wrong_token:100"]
    organiser.play("site.yml", "--limit", "target", variables=variables).changed_something()
    # Ten of a thousand lose 200 points each: the token's 100 are not won but lost.
    organiser.play("verify.yml").refused("it has 198000", "990 of 1000 were verified")
    organiser.play("site.yml", "--limit", "target").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_a_drifted_host_is_repaired(organiser, lab):
    lab.shell("lab-generator-1", "sed -i s/10.77.0.4/10.9.9.9/ /etc/flowtest/flowtest-generator.toml; systemctl stop flowtest-generator")
    organiser.play("site.yml", "--limit", "redis:generator", "--tags", "generator").changed_something()
    assert "10.77.0.4" in lab.shell("lab-generator-1", "cat /etc/flowtest/flowtest-generator.toml")
    assert lab.shell("lab-generator-1", "systemctl is-active flowtest-generator").strip() == "active"


@pytest.mark.hosts
@pytest.mark.long
def test_the_tuning_is_checked_and_can_be_undone(organiser, lab):
    value = "cat /proc/sys/net/ipv4/ip_local_port_range"
    assert lab.shell("lab-generator-1", value).split() == ["1024", "65535"]
    assert lab.shell("lab-generator-1", "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range; flowtest-tune check") != ""
    lab.shell("lab-generator-1", "flowtest-tune apply")
    assert lab.shell("lab-generator-1", value).split() == ["1024", "65535"]
    lab.shell("lab-generator-1", "flowtest-tune undo")
    assert lab.shell("lab-generator-1", value).split() == ["32768", "60999"]
    # The next boot does not apply it again.
    assert lab.shell("lab-generator-1", "systemctl is-enabled flowtest-tune").strip() == "disabled"
    organiser.play("site.yml", "--limit", "generator", "--tags", "tuning").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_endpoints_are_tested_from_beside_the_dashboard(organiser, ec2, lab):
    """With no other generator there, and without being taken for one."""
    cli = "flowtest-redis-cli --raw"
    lab.shell("lab-generator-1", "systemctl stop flowtest-generator; sleep 6")
    phase = {"for": "30s", "rate": 10, "connections": 1, "scored": False}
    house = alive(ec2)["lab-target-1"]["PrivateIpAddress"] + ":80"
    document = {
        "name": "finals", "phase": [phase], "contestant": [{"name": "house", "endpoint": f"http://{house}/"}],
        "policy": {"allow": ["10.0.0.0/8"]}, "dialect": 1, "revision": 1, "state": "draft",
    }
    question = {"id": "p1", "at": time.time_ns() // 1000, "contestant": "house", "endpoint": house}
    lab.shell("lab-redis-1", f"{cli} -x SET 'flowtest:{{finals}}:control' <<'END'\n{json.dumps(document)}\nEND")
    lab.shell("lab-redis-1", f"{cli} LPUSH 'flowtest:{{finals}}:probe' '{json.dumps(question)}'")
    answer = ""
    for _ in range(20):
        answer = lab.shell("lab-redis-1", f"sleep 1; {cli} GET 'flowtest:{{finals}}:probe:p1'").strip()
        if answer:
            break
    assert answer, lab.shell("lab-dashboard-1", "journalctl -u flowtest-practice -n 20 --no-pager")
    answer = json.loads(answer)
    assert answer["generator"] == "lab-dashboard-1" and answer["verdicts"] == {"token": True, "version": True, "from": True}, answer
    assert lab.shell("lab-redis-1", f"{cli} EXISTS 'flowtest:{{finals}}:generator:lab-dashboard-1'").strip() == "0"
    lab.shell("lab-redis-1", f"{cli} DEL 'flowtest:{{finals}}:control'")
    lab.shell("lab-generator-1", "systemctl start flowtest-generator")


@pytest.mark.hosts
@pytest.mark.long
@pytest.mark.parametrize(("host", "service"), [("lab-dashboard-1", "dashboard"), ("lab-generator-1", "generator")])
def test_a_service_that_is_silent_is_started_anew(lab, host, service):
    pid = f"systemctl show -P MainPID flowtest-{service}"
    before = lab.shell(host, pid).strip()
    assert int(before) > 1
    lab.shell(host, f"kill -STOP {before}")
    # The watchdog's time, then that of a stop.
    for _ in range(60):
        now = lab.shell(host, f"sleep 2; {pid}").strip()
        if now not in (before, "0"):
            break
    assert now not in (before, "0"), lab.shell(host, f"systemctl status flowtest-{service}")
    assert "watchdog" in lab.shell(host, f"journalctl -u flowtest-{service} --no-pager").lower()


@pytest.mark.hosts
@pytest.mark.long
def test_match_prepare_says_go_and_no_go(organiser, lab):
    assert "GO: 1 generator(s) heard" in organiser.play("match_prepare.yml").went_well().text
    assert "release: old" in (organiser.state / "prepared/lab-generator-1").read_text()
    lab.shell("lab-generator-1", "systemctl stop flowtest-generator; sleep 7")
    organiser.play("match_prepare.yml").refused()
    lab.shell("lab-generator-1", "systemctl start flowtest-generator; sleep 2")


@pytest.mark.hosts
@pytest.mark.long
def test_with_contestants_anywhere_no_private_address_is_open_but_the_house(organiser, ec2, lab):
    public = ["topology=public"]
    organiser.play("site.yml", variables=public).changed_something()
    house, generator = (alive(ec2)[name] for name in ("lab-target-1", "lab-generator-1"))
    policy = lab.shell("lab-generator-1", "cat /etc/flowtest/flowtest-generator.toml")
    assert f'allow = ["{house["PrivateIpAddress"]}/32"]' in policy, policy
    for _ in range(20):
        heard = lab.shell("lab-redis-1", "sleep 1; flowtest-redis-cli --raw GET 'flowtest:{finals}:generator:lab-generator-1'")
        if generator["PublicIpAddress"] in heard:
            break
    assert json.loads(heard)["source_addresses"] == [generator["PublicIpAddress"]], heard
    assert "1000 requests, 200000 points: exact" in organiser.play("verify.yml", variables=public).changed_nothing().text
    organiser.play("site.yml").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_an_external_redis_serves_and_is_asked_as_ours_is(organiser, lab, tmp_path):
    """As ElastiCache is: over TLS with a certificate that the system trusts, with our users, and forgetful."""
    address = "10.77.0.77"
    lab.boot("cache", address, "nobody-logs-in", key(organiser))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-subj", "/CN=cache",
         "-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        check=True, capture_output=True,
    )
    certificate, secret = ((tmp_path / name).read_text() for name in ("certificate", "key"))
    users = lab.shell("lab-redis-1", "cat /etc/flowtest/redis/users.acl")
    lab.shell("cache", f"mkdir /cache; cd /cache; cat > certificate <<'END'\n{certificate}END\ncat > key <<'END'\n{secret}END\ncat > users <<'END'\n{users}END\n"
              "systemctl stop redis-server; systemd-run --unit=cache redis-server --dir /cache --save '' --port 0 --tls-port 6379 --bind 0.0.0.0 --aclfile /cache/users"
              " --tls-cert-file /cache/certificate --tls-key-file /cache/key --tls-auth-clients no --maxmemory 100mb --maxmemory-policy noeviction")
    for name in ("lab-generator-1", "lab-dashboard-1"):
        lab.shell(name, f"cat > /usr/local/share/ca-certificates/cache.crt <<'END'\n{certificate}END\nupdate-ca-certificates")
    # A certificate that is no authority's is trusted as it is.
    external = [f"redis_external={address}:6379", json.dumps({"redis_external_volatile": True})]
    organiser.play("site.yml", variables=external).changed_something()
    organiser.play("site.yml", variables=external).changed_nothing()
    assert "1000 requests, 200000 points: exact" in organiser.play("verify.yml", variables=external).changed_nothing().text
    assert "GO: 1 generator(s) heard" in organiser.play("match_prepare.yml", variables=external).went_well().text
    admin = (organiser.state / "secrets/redis_admin").read_text().strip()
    cli = f"REDISCLI_AUTH={admin} redis-cli --user admin --tls --cacert /cache/certificate -h {address}"
    lab.shell("cache", f"{cli} SET 'flowtest:{{finals}}:control' '" + json.dumps({"state": "running"}) + "'")
    organiser.play("site.yml", "--limit", "target", variables=external).refused("finals is running", "during_round=true")
    # One host that is lost leaves the question to the others.
    lab.unplug("lab-dashboard-1")
    organiser.play("site.yml", "--limit", "target", variables=external).refused("finals is running", "during_round=true")
    # Whoever says that a round is no obstacle needs no answer.
    organiser.play("site.yml", "--limit", "target", variables=[*external, json.dumps({"during_round": True})]).went_well()
    lab.shell("cache", f"{cli} DEL 'flowtest:{{finals}}:control'")
    organiser.play("site.yml", "--limit", "target", variables=external).went_well()
    lab.unplug("lab-dashboard-1", False)
    lab.shell("cache", "systemctl stop cache")
    organiser.play("site.yml", "--limit", "target", variables=external).refused("Redis does not say", "cannot be asked")
    organiser.play("site.yml").changed_something()
    lab.halt("cache")


@pytest.mark.hosts
@pytest.mark.long
def test_a_new_release_is_put_in_and_the_old_one_back(organiser, lab, tmp_path):
    pack(PROGRAMS, organiser.releases, "new")
    running = "readlink /proc/$(systemctl show -P MainPID flowtest-target)/exe"
    assert "/releases/old/" in lab.shell("lab-target-1", running)
    organiser.play("site.yml").changed_something()
    assert "/releases/new/" in lab.shell("lab-target-1", running)
    # The archive is gone from here; what lies on the hosts is enough.
    (organiser.releases / f"flowtest-old-{os.uname().machine}.tar.gz").unlink()
    organiser.play("site.yml", "--limit", "target", variables=["release=old"]).changed_something()
    assert "/releases/old/" in lab.shell("lab-target-1", running)
    organiser.play("site.yml", "--limit", "target", variables=["release=old"]).changed_nothing()
    organiser.play("site.yml", "--limit", "target", variables=["release=never-built"]).refused("never-built", "run build.yml")
    for program in ("flowtest-loadgen", "flowtest-target", "flowtest-dashboard"):
        (tmp_path / program).write_text("#!/lib/ld-of-a-newer-system\n")
    pack(tmp_path, organiser.releases, "elsewhere")
    organiser.play("site.yml", "--limit", "target", variables=["release=elsewhere"]).refused("release elsewhere does not start on lab-target-1", "cloud_builder_count: 1")
    assert "/releases/old/" in lab.shell("lab-target-1", running)
    (organiser.releases / "NEWEST").write_text("new\n")
    organiser.play("site.yml", "--limit", "target").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_nothing_is_touched_while_a_round_runs(organiser, lab):
    document = json.dumps({"state": "running"}).replace('"', '\\"')
    lab.shell("lab-redis-1", f'flowtest-redis-cli SET "flowtest:{{finals}}:control" "{document}"')
    organiser.play("site.yml").refused("finals is running", "during_round=true")
    organiser.play("site.yml", "--limit", "generator", "--tags", "generator").refused("finals is running")
    organiser.play("verify.yml").refused("finals is running")
    lab.shell("lab-redis-1", "systemctl stop flowtest-redis")
    organiser.play("site.yml", "--limit", "target").refused("Redis does not say", "lab-dashboard-1: ", "cannot be asked", "during_round=true")
    lab.shell("lab-redis-1", "systemctl start flowtest-redis; sleep 2")
    lab.shell("lab-redis-1", 'flowtest-redis-cli DEL "flowtest:{finals}:control"')


@pytest.mark.hosts
@pytest.mark.long
def test_a_backup_brings_back_what_was_lost(organiser, lab):
    lab.shell("lab-redis-1", 'flowtest-redis-cli SET "flowtest:{finals}:kept" yes')
    organiser.play("backup.yml").went_well()
    # Beside it lie copies that were restored: copy-....
    backup = max((organiser.state / "backups").glob("2*"))
    assert (backup / "redis.rdb").stat().st_size > 0
    lab.shell("lab-redis-1", "flowtest-redis-cli FLUSHALL")
    organiser.play("restore.yml").refused("Say which backup")
    organiser.play("restore.yml", variables=[f"backup={backup}"]).changed_something()
    assert lab.shell("lab-redis-1", 'flowtest-redis-cli GET "flowtest:{finals}:kept"').strip() == "yes"
    # It stays so over a restart: the restored snapshot is the base of the append-only file.
    lab.shell("lab-redis-1", "systemctl restart flowtest-redis; sleep 2")
    assert lab.shell("lab-redis-1", 'flowtest-redis-cli GET "flowtest:{finals}:kept"').strip() == "yes"
    organiser.play("site.yml", "--limit", "redis:dashboard").changed_nothing()


@pytest.mark.hosts
@pytest.mark.long
def test_without_a_journal_nothing_is_proved_and_teardown_waits(organiser, lab):
    organiser.play("teardown.yml", variables=["cloud_confirm=lab"], inventory="localhost,").refused("run results.yml first")
    assert "There was no journal, so nothing is proved" in organiser.play("results.yml").went_well().text
    organiser.play("teardown.yml", variables=["cloud_confirm=lab"], inventory="localhost,").refused("results.yml")


@pytest.mark.hosts
@pytest.mark.long
def test_a_second_generator_joins(organiser, ec2, lab):
    organiser.provision(variables=TWO).changed_something()
    sync(lab, ec2, organiser)
    organiser.play("site.yml").changed_something()
    organiser.play("site.yml").changed_nothing()
    # Redis and the house let it in, and nobody may flood it.
    for name in ("lab-generator-1", "lab-generator-2", "lab-dashboard-1"):
        file = "flowtest-practice" if "dashboard" in name else "flowtest-generator"
        policy = lab.shell(name, f"cat /etc/flowtest/{file}.toml").split("deny")[1]
        assert f'"{alive(ec2)["lab-generator-2"]["PrivateIpAddress"]}"' in policy, policy
    assert "GO: 2 generator(s) heard" in organiser.play("match_prepare.yml").went_well().text
    narrow = "/run/systemd/system/flowtest-generator.service.d"
    again = "systemctl daemon-reload; systemctl restart flowtest-generator; sleep 2"
    lab.shell("lab-generator-2", f"mkdir -p {narrow}; printf '[Service]\\nCPUAffinity=0\\n' > {narrow}/narrow.conf; {again}")
    organiser.play("match_prepare.yml").refused("NO-GO: lab-generator-2 has cores", "generator may use 0 of them alone")
    lab.shell("lab-generator-2", f"rm -r {narrow}; {again}")


@pytest.mark.hosts
@pytest.mark.long
def test_a_contestant_has_a_target_with_one_play(organiser, lab):
    lab.boot("contestant", CONTESTANT, "alice", key(organiser))
    arguments = ["-u", "alice", "--private-key", str(organiser.state / "ssh_key")]
    # Whatever is wrong is said before anything is touched.
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},", variables=["release=nothing"]).refused("Release nothing", "run build.yml")
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},", variables=["release=../x"]).refused("no release to install", "'../x' is none")
    assert "no such user" in lab.shell("contestant", "id flowtest")
    variables = ["target_version=v1", "target_from=EC2"]
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},", variables=variables).changed_something()
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},", variables=variables).changed_nothing()
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},", variables=["target_version=v3"]).refused("v3", "write v1")
    # Its deadlines have passed.
    organiser.play("target.yml", *arguments, inventory=f"{CONTESTANT},").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_a_round_from_the_dashboard_is_played_by_both_generators_to_the_point(organiser, ec2, lab):
    at = {name: one["PrivateIpAddress"] for name, one in alive(ec2).items()}
    site = f"http://{at['lab-dashboard-1']}"
    password = (organiser.state / "secrets/dashboard_admin").read_text().strip()
    admin = Visitor(site).sign_in("admin", password)
    plan = "[[phase]]\nfor = \"6s\"\nrate = 100\nconnections = 8\n"
    shown = admin.send("/setting/contest", "/setting/contest", plan=plan, allow="10.0.0.0/8", house=f"{at['lab-target-1']}:80")
    assert admin.send_from(shown, "/setting/contest", confirm="yes").status_code == 200
    assert admin.send("/setting-token", "/setting/invitations", count="1", label="table 1").status_code == 200
    [invitation] = csv.DictReader(admin.open("/setting-token/export.csv").text.splitlines())
    team = Visitor(site)
    team.send("/register", "/register", token=invitation["token"], name="alice", display_name="Alice", password="correct-horse-battery-staple")
    assert team.send("/index", "/index/endpoint", endpoint=f"{CONTESTANT}:80").status_code == 200
    for _ in range(20):
        armed = admin.send("/setting", "/setting/round/arm", start="+10s", scored="yes", confirm="yes")
        if armed.status_code == 200 and "/setting/round/arm" not in armed.text:
            break
        time.sleep(1)
    else:
        pytest.fail(f"the round cannot be armed: {complaints(armed)}")
    organiser.play("site.yml", "--limit", "target").refused("finals is", "during_round=true")
    standings = {}
    for _ in range(60):
        time.sleep(1)
        standings = admin.open("/api/standings").json()
        if (standings["round"] or {}).get("state") == "sealed":
            break
    assert standings["round"]["state"] == "sealed", standings
    points = {line["name"]: line["points"] for line in standings["standings"]}
    assert points == {"alice": 6 * 100 * 200, "house": 6 * 100 * 200}, standings
    # What verify.yml found wrong earlier is kept beside it.
    streams = "find /var/lib/flowtest/journal -mindepth 2 -maxdepth 2 -type d -not -path '*/verify-*'"
    for name in ("lab-generator-1", "lab-generator-2"):
        assert len(lab.shell(name, streams).split()) == 1, f"{name} has not played"


@pytest.mark.hosts
@pytest.mark.long
def test_results_prove_the_points_of_both_generators(organiser, ec2, lab):
    # An earlier run broke in the middle.
    leftover = "/var/lib/flowtest/results/audit/lab-generator-1/elsewhere"
    lab.shell("lab-generator-1", f"mkdir -p {leftover}; touch {leftover}/../../batches.csv.gz {leftover}/round.journal")
    outcome = organiser.play("results.yml").went_well()
    assert "The audit agrees with Redis" in outcome.text
    results = sorted((organiser.state / "results").iterdir())[-1]
    files = {"COMPLETE", "audit.json", "batches.csv.gz", "volumes", "flowtest.db", "journal-lab-generator-1.tar.gz", "journal-lab-generator-2.tar.gz"}
    files |= {f"log-{name}.txt.gz" for name in ("lab-generator-1", "lab-generator-2", "lab-redis-1", "lab-dashboard-1", "lab-target-1")}
    assert files == {file.name for file in results.iterdir()}
    subprocess.run(["sha256sum", "--check", "--quiet", "COMPLETE"], cwd=results, check=True)
    assert "flowtest-loadgen" in gzip.decompress((results / "log-lab-generator-2.txt.gz").read_bytes()).decode()
    audit = json.loads((results / "audit.json").read_text())
    assert audit["equal"] and audit["proved"] == 100 and len(audit["rounds"][0]["streams"]) == 2, audit


@pytest.mark.hosts
@pytest.mark.long
def test_a_generator_that_is_lost_comes_back_with_its_journals(organiser, ec2, lab):
    before = alive(ec2)["lab-generator-2"]["InstanceId"]
    lab.halt("lab-generator-2")
    ec2.terminate_instances(InstanceIds=[before])
    organiser.provision(variables=TWO).changed_something()
    assert alive(ec2)["lab-generator-2"]["InstanceId"] != before
    sync(lab, ec2, organiser)
    organiser.play("site.yml").changed_something()
    assert "The audit agrees with Redis" in organiser.play("results.yml").went_well().text
    results = sorted((organiser.state / "results").iterdir())[-1]
    assert len(json.loads((results / "audit.json").read_text())["rounds"][0]["streams"]) == 2
    # Results are there now, so the second may go, and the whole as well.
    organiser.provision().changed_something()
    sync(lab, ec2, organiser)
    organiser.play("site.yml").changed_something()


@pytest.mark.hosts
@pytest.mark.long
def test_one_unreachable_host_is_named_and_the_others_are_served(organiser, ec2, lab):
    for lost, other in (("lab-target-1", "lab-generator-1"), ("lab-generator-1", "lab-target-1")):
        lab.unplug(lost)
        outcome = organiser.play("site.yml")
        lab.unplug(lost, False)
        outcome.refused("UNREACHABLE", lost)
        assert outcome.recap[lost]["unreachable"] == 1
        assert outcome.recap[other]["failed"] == 0 and outcome.recap[other]["ok"] > 20


@pytest.mark.hosts
@pytest.mark.long
def test_a_release_is_built_on_a_builder_that_gets_rust_first(organiser, ec2, lab, tmp_path):
    """Everything but the compiler's half hour: what stands in for rustup and cargo hands out the programs that are built."""
    rust = tmp_path / "rust"
    rust.mkdir()
    (rust / "rustup-init").write_text("""#!/bin/sh
set -e
echo "$*" > ~/rustup-was-asked
mkdir -p ~/.cargo/bin
cat > ~/.cargo/bin/cargo <<'END'
#!/bin/sh
set -e
if [ "$1" = --version ]; then echo 'cargo 1.95.0 (stand-in)'; exit; fi
test -e Cargo.lock -a -d loadgen/src -a -d target/src
mkdir -p "$CARGO_TARGET_DIR/release"
cd "$CARGO_TARGET_DIR/release"
if [ -e flowtest-target ]; then exit; fi
for program in flowtest-loadgen flowtest-target flowtest-dashboard; do
    python3 -c 'import sys, urllib.request as u; u.urlretrieve(*sys.argv[1:])' "$(cat ~/programs)/$program" $program
done
echo "   Compiling as $RUSTFLAGS" >&2
END
chmod +x ~/.cargo/bin/cargo
""")
    with_builder = ["cloud_builder_count=1", "cloud_builder_type=c7i.large"]
    organiser.provision(variables=with_builder).changed_something()
    sync(lab, ec2, organiser)
    with served(rust) as installer, served(PROGRAMS) as programs:
        lab.shell("lab-builder-1", f"echo {programs} > ~ec2-user/programs")
        variables = [json.dumps({"build_rustup_url": f"{installer}/rustup-init", "build_update_cache": False})]
        outcome = organiser.play("build.yml", variables=variables)
        if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=PROJECT, check=False).returncode != 0:
            outcome.refused("source has changes that are not")
            pytest.skip("a builder gets what is committed")
        outcome.changed_something()
        assert "--default-toolchain 1.95" in lab.shell("lab-builder-1", "cat ~ec2-user/rustup-was-asked")
        organiser.play("build.yml", variables=variables).changed_nothing()
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()
    assert (organiser.releases / "NEWEST").read_text().strip() == commit
    organiser.play("site.yml", "--limit", "target").changed_something()
    assert f"/releases/{commit}/" in lab.shell("lab-target-1", "readlink /proc/$(systemctl show -P MainPID flowtest-target)/exe")
    organiser.provision().changed_something()
    assert "lab-builder-1" not in alive(ec2)
    sync(lab, ec2, organiser)


@pytest.mark.hosts
@pytest.mark.long
def test_the_document_of_the_day_was_rehearsed(organiser, lab):
    """Every playbook of EVENT.md has been played by now, by the tests above; its other commands are typed here."""
    others = 0
    for line in commands_of(PROJECT / "docs/EVENT.md"):
        words = shlex.split(line)
        if words[0] == "ansible-playbook":
            [playbook] = {word for word in words if word in PLAYBOOKS}
            assert playbook in organiser.played | {"teardown.yml"}, f"nobody has tried: {line}"
        elif words[0] == "ansible":
            done = subprocess.run(
                [f"@{organiser.variables}" if word == "@event.yml" else word for word in words],
                cwd=ANSIBLE, env=organiser.environment, capture_output=True, text=True, timeout=300,
            )
            assert done.returncode == 0 and "CHANGED" in done.stdout, done.stdout + done.stderr
            others += 1
    assert others >= 2


def test_teardown_ends_everything_and_then_finds_nothing(organiser, ec2):
    organiser.play("teardown.yml", inventory="localhost,").refused("-e cloud_confirm=lab")
    # Whether results were fetched is the story's business; here they are waived.
    variables = ["cloud_confirm=lab", "cloud_without_results=true"]
    # A contestant's service is still there.
    [subnet] = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["lab-contestants"]}])["Subnets"]
    foreign = ec2.create_network_interface(SubnetId=subnet["SubnetId"], Description="alice's ECS")["NetworkInterface"]["NetworkInterfaceId"]
    before = alive(ec2)
    organiser.play("teardown.yml", inventory="localhost,", variables=variables).refused(f"{foreign} of alice's ECS", "Nothing was removed yet")
    assert alive(ec2) == before
    ec2.delete_network_interface(NetworkInterfaceId=foreign)
    # AWS itself has put something there.
    guard = ec2.create_security_group(GroupName="GuardDutyManagedSecurityGroup", Description="of AWS", VpcId=subnet["VpcId"])["GroupId"]
    # It names one of ours, and so does the network's own group: ours could not be removed before them.
    there = {one["GroupName"]: one["GroupId"] for one in ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["SecurityGroups"]}
    for naming, named, open_to in ((guard, "lab-contestant", ec2.authorize_security_group_ingress), (there["default"], "lab-redis", ec2.authorize_security_group_egress)):
        open_to(GroupId=naming, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": there[named]}]}])
    endpoint = ec2.create_vpc_endpoint(
        VpcId=subnet["VpcId"], ServiceName="com.amazonaws.us-east-1.guardduty-data", VpcEndpointType="Interface", SubnetIds=[subnet["SubnetId"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    organiser.play("teardown.yml", inventory="localhost,", variables=variables).refused(
        f"endpoint {endpoint}", "group GuardDutyManagedSecurityGroup", "Nothing was removed yet", "cloud_foreign=true")
    assert alive(ec2) == before
    variables = [*variables, "cloud_foreign=true"]
    organiser.play("teardown.yml", inventory="localhost,", variables=variables).changed_something()
    assert alive(ec2) == {}
    tagged = [{"Name": "tag:flowtest_deployment", "Values": ["lab"]}]
    assert ec2.describe_vpcs(Filters=tagged)["Vpcs"] == []
    assert ec2.describe_security_groups(Filters=tagged)["SecurityGroups"] == []
    assert ec2.describe_addresses(Filters=tagged)["Addresses"] == []
    assert ec2.describe_key_pairs(Filters=tagged)["KeyPairs"] == []
    assert guard not in {one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    organiser.play("teardown.yml", inventory="localhost,", variables=variables).changed_nothing()


def test_the_policy_has_all_that_was_asked_for(organiser, account):
    """Everything that the plays of this run asked the account for, also those of the other files."""
    statements = json.loads((ANSIBLE / "policy.json").read_text())["Statement"]
    allowed = [action for one in statements for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])]
    asked = set(pathlib.Path(account["FLOWTEST_ACTIONS"]).read_text().split())
    assert len(asked) > 20
    missing = {action for action in asked if not any(fnmatch.fnmatchcase(action, one) for one in allowed)}
    assert not missing, f"policy.json lacks {sorted(missing)}"
