"""Whatever an organiser types wrong is answered by a sentence, and running again heals."""

import datetime
import json
import pathlib

import pytest
from conftest import ANSIBLE, Organiser, alive, ends_alone

# (what is wrong, variables, words of the sentence)
REFUSED = [
    ("nobody could use SSH", ["organiser_cidrs=[]"], ["organiser_cidrs is empty"]),
    ("SSH for everybody", ['{"organiser_cidrs": ["0.0.0.0/0"]}'], ["whole internet"]),
    ("a name with a blank", ["deployment='two words'"], ["cannot name a deployment"]),
    ("no generator", ["cloud_generator_count=0"], ["at least one generator"]),
    ("a count that is a word", ["cloud_generator_count=many"], ["cloud_generator_count"]),
    ("a topology that nobody knows", ["topology=moon"], ["cloud_topology", "moon"]),
    ("an unread policy", ['{"aws_testing_policy_read": false}'], ["EC2 Testing Policy"]),
    ("a plan beyond the policy", ["plan_contestants=500", "plan_requests_per_second=20000"], ["Gbit/s", "aws_testing_case"]),
    ("a region that is not there", ["cloud_region=mars-1"], ["no region 'mars-1'", "us-east-1"]),
    ("a single address without its length", ['{"organiser_cidrs": ["203.0.113.7"]}'], ["'203.0.113.7' without a length", "203.0.113.7/32"]),
    ("a length that no address has", ['{"contestant_cidrs": ["203.0.113.7/33"]}'], ["'203.0.113.7/33', which is no network"]),
    ("a network that is a word", ["organiser_cidrs=203.0.113.7/32"], ["wants a list: organiser_cidrs: [203.0.113.7/32]"]),
    ("an address inside its network", ["cloud_vpc_cidr=10.77.0.1/16"], ["cloud_vpc_cidr has '10.77.0.1/16'", "10.77.0.0/16"]),
    ("an instant without quotes", ['{"deadline_version": "2026-12-01 10:20:00+00:00"}'], ["deadline_version is 2026-12-01 10:20:00", "in quotes"]),
    ("an instant that is none", ["deadline_from=tomorrow"], ["deadline_from is 'tomorrow'", "RFC 3339"]),
    ("a setting that nobody knows", ["cloud_generators_count=2"], ["no setting cloud_generators_count", "cloud_generator_count"]),
    ("a budget that warns nobody", ["cloud_budget_usd=50"], ["cloud_budget_email '' is nobody's address"]),
    ("a budget below nothing", ["cloud_budget_usd=-50", "cloud_budget_email=organiser@example.org"], ["cloud_budget_usd is -50", "one dollar at least"]),
    ("a budget of cents", ["cloud_budget_usd=0.5", "cloud_budget_email=organiser@example.org"], ["cloud_budget_usd is 0.5", "one dollar at least"]),
    ("no region", ["cloud_region="], ["Nobody says in which region", "AWS_REGION"]),
    ("more than the internet carries", ["topology=public", "plan_contestants=20", "plan_requests_per_second=100000"], ["5 Gbit/s to each instance", "topology vpc"]),
    ("an instance type that is not there", ["cloud_redis_type=c99.huge"], ["c99.huge", "cloud_*_type"]),
    ("a network of IPv6", ['{"viewer_cidrs": ["0.0.0.0/0", "2001:db8::/32"]}'], ["2001:db8::/32 cannot be let in", "IPv4"]),
    ("a type that is in no zone of the others", ["cloud_zone=us-east-1e"], ["us-east-1e does not offer", "c7i.large is in"]),
    ("an end that has passed", ["cloud_ends_at=2020-01-01T01:00:00+01:00"], ["cloud_ends_at is 2020-01-01 00:00:00 UTC", "that has passed", "teardown.yml"]),
    ("an end without a zone", ["cloud_ends_at=2098-01-01T01:00:00"], ["cloud_ends_at is '2098-01-01T01:00:00', which is no instant"]),
    ("an instant that no calendar has", ['{"cloud_ends_at": "2098-02-30T10:00:00Z"}'], ["cloud_ends_at is '2098-02-30T10:00:00Z'", "no calendar"]),
    ("a VPC without its subnets", ["cloud_vpc_cidr=10.90.0.0/16"], ["cloud_platform_cidr is 10.77.0.0/24", "not in cloud_vpc_cidr (10.90.0.0/16)"]),
    ("a plan in words", ["plan_requests_per_second=2k"], ["plan_requests_per_second is '2k'", "whole number"]),
    ("a contest with a blank", ["contest='my finals'"], ["contest is 'my finals'", "part of keys"]),
    ("a bucket's address", ["copies_bucket=s3://organisers-own"], ["copies_bucket is 's3://organisers-own'", "its name alone"]),
    ("a disk that holds no system", ["cloud_disk_gib=4"], ["8 GiB at least"]),
    ("a route to nowhere", ['{"cloud_routes": [{"vpc_peering_connection_id": "pcx-1"}]}'], ["cloud_routes has ''"]),
    ("a number of queues that is none of EC2's", ["cloud_generator_type=c6i.4xlarge", "cloud_generator_queues=12"], ["cloud_generator_queues is 12", "8 queues or one of 1, 2, 4, 8, 16"]),
    ("queues where nobody may choose", ["cloud_generator_queues=64"], ["c7i.large has", "EC2 lets nobody choose their number"]),
    ("a zone that is not there", ["cloud_zone=us-east-1z"], ["no zone 'us-east-1z'"]),
]


@pytest.fixture
def novice(account, tmp_path):
    return Organiser(tmp_path, account)


# The first of each kind runs always: as a rule of ours, as a type, as an answer of AWS.
@pytest.mark.parametrize(
    ("what", "variables", "words"),
    [pytest.param(*case, id=case[0], marks=[] if index in (0, 5, 8, 9) or case[0] == "an end that has passed" else [pytest.mark.long]) for index, case in enumerate(REFUSED)],
)
def test_refused_with_a_sentence(novice, ec2, what, variables, words):
    if variables == ["organiser_cidrs=[]"]:
        variables = ['{"organiser_cidrs": []}']
    before = set(alive(ec2))
    novice.provision(variables=variables).refused(*words)
    assert set(alive(ec2)) == before


def hosts(tmp_path, text):
    file = tmp_path / "hosts.yml"
    file.write_text("all:\n  vars: {ansible_connection: local}\n  children:\n" + "".join(f"    {line}\n" for line in text))
    return str(file)


EVERYBODY = [f"{name}: {{hosts: {{{name}-1: {{}}}}}}" for name in ("generator", "redis", "dashboard", "target")]


def test_a_group_that_is_misspelt_and_an_end_that_is_none_are_told_before_a_host_is_asked(novice, tmp_path):
    inventory = hosts(tmp_path, [line.replace("redis:", "reddis:") for line in EVERYBODY])
    outcome = novice.play("site.yml", inventory=inventory, variables=["cloud_ends_at=tomorrow"])
    outcome.refused("redis-1 in group 'reddis', which is none of generator, redis", "has nobody in redis", "redis_external", "cloud_ends_at is 'tomorrow'")
    assert set(outcome.recap) == {"localhost"}


def test_an_end_that_is_none_is_told_before_the_builder_is_asked(novice, tmp_path):
    inventory = hosts(tmp_path, [*EVERYBODY, "builder: {hosts: {builder-1: {}}}"])
    outcome = novice.play("build.yml", inventory=inventory, variables=["cloud_ends_at=tomorrow"])
    outcome.refused("cloud_ends_at is 'tomorrow', which is no instant: write RFC 3339 in quotes")
    assert set(outcome.recap) == {"localhost"}


def on_ec2(tmp_path):
    return hosts(tmp_path, [*EVERYBODY, "aws_ec2: {hosts: {generator-1: {}, redis-1: {}, dashboard-1: {}, target-1: {}}}"])


def test_there_is_no_go_for_machines_that_stop_in_the_round(novice, tmp_path):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=5)
    given = [f"cloud_ends_at={soon:%Y-%m-%dT%H:%M:%SZ}", "during_round=true"]
    outcome = novice.play("match_prepare.yml", inventory=on_ec2(tmp_path), variables=given)
    outcome.refused(f"NO-GO: machines stop by themselves at {soon:%Y-%m-%d %H:%M:%S UTC}, which is in less than six hours")
    assert "PLAY [Tuning again]" not in outcome.text
    # To the west of Greenwich as to the east of it.
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=7)
    given = [f"cloud_ends_at={later:%Y-%m-%dT%H:%M:%SZ}", "during_round=true"]
    outcome = novice.play("match_prepare.yml", inventory=on_ec2(tmp_path), variables=given, environment={"TZ": "XST8"})
    assert "PLAY [Tuning again]" in outcome.text and "machines stop by themselves" not in outcome.text, outcome.text


def test_an_end_that_has_passed_is_told_to_no_machine(novice, tmp_path):
    """It would be a timer that never rings. The one file of the role that does it, alone, and nothing is written (--check)."""
    playbook, filters = ends_alone(tmp_path)
    given = ["end=2020-01-01T01:00:00+01:00"]
    outcome = novice.play(playbook, "--connection", "local", "--check", inventory="localhost,", variables=given, environment=filters)
    outcome.refused("cloud_ends_at is 2020-01-01 00:00:00 UTC, and that has passed", "would never stop by itself", "teardown.yml")


@pytest.mark.long
def test_a_list_of_hosts_lacks_somebody(novice, tmp_path):
    without = lambda name: hosts(tmp_path, [line for line in EVERYBODY if not line.startswith(name)])
    novice.play("site.yml", inventory=without("redis")).refused("has nobody in redis")
    novice.play("site.yml", inventory=without("dashboard")).refused("has nobody in dashboard")
    instant = ['{"deadline_version": "2026-12-01 10:20:00+00:00"}']
    novice.play("site.yml", inventory=hosts(tmp_path, EVERYBODY), variables=instant).refused("deadline_version is 2026-12-01", "in quotes")
    novice.play("site.yml", inventory=hosts(tmp_path, EVERYBODY), variables=['{"organiser_cidrs": ["203.0.113.7"]}']).refused("without a length")


@pytest.mark.long
def test_a_file_of_settings_that_is_missing_is_named(novice):
    novice.variables = novice.variables.with_name("forgotten.yml")
    novice.provision().refused("forgotten.yml")


@pytest.mark.long
def test_an_account_that_forbids_something_is_told_so_before_anything_is_made(novice, ec2, account):
    before = len(ec2.describe_vpcs()["Vpcs"])
    denied = pathlib.Path(account["FLOWTEST_DENIED"])
    policy = json.loads((ANSIBLE / "policy.json").read_text())
    actions = lambda *sids: sorted(action for one in policy["Statement"] if one["Sid"] in sids for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"]))
    # Each of the whole list, but for looking.
    everything = actions("NewestImage", "Network", "Security", "Machines", "RoleOfTheHosts", "RoleOfTheHostsPutsCopies", "HandTheRoleToTheHosts", "Budget", "StacksOfBudgetAndCards")
    # Of what has neither one resource nor a dry run nobody can tell.
    unsure = actions("Budget", "StacksOfBudgetAndCards")
    denied.write_text(" ".join(action.split(":")[1] for action in everything))
    wanted = ["cloud_budget_usd=50", "cloud_budget_email=organiser@example.org", "copies_bucket=organisers-own"]
    try:
        said = novice.provision(variables=wanted).refused("does not let", *everything, "Nothing was made", "ansible/policy.json").text
        warning, refusal = " ".join(said.split()).split("WARNING: by the policy simulator")[1].split("The account does not let", 1)
        assert all(action in warning and action not in refusal for action in unsure) and "iam:PutRolePolicy" in refusal and "ec2:RunInstances" in refusal
        denied.write_text("RunInstances AllocateAddress CreateRole StartSession PutRolePolicy DeleteVpc!")
        # What nobody wants is not asked for.
        novice.provision().refused("do ec2:AllocateAddress, ec2:DeleteVpc, ec2:RunInstances, iam:CreateRole. Nothing was made")
        denied.write_text("RunInstances CreateRole SimulatePrincipalPolicy")
        novice.provision().refused("WARNING: the policy simulator of IAM does not answer", "do ec2:RunInstances. Nothing was made")
    finally:
        denied.unlink()
    assert len(ec2.describe_vpcs()["Vpcs"]) == before


def test_a_budget_that_failed_once_is_made_by_the_next_run(novice, account, tmp_path):
    """What AWS rolled back would stay, and be changed by no later run. The one file of the role that makes it, alone."""
    import boto3

    playbook = tmp_path / "budget.yml"
    playbook.write_text("""
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: cloud, tasks_from: budget}
      vars: {cloud_region: us-east-1, cloud_deployment: failed, cloud_budget_usd: 50, cloud_budget_email: organiser@example.org}
""")
    stacks = boto3.client("cloudformation", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    standing = lambda: [(one["StackName"], one["StackStatus"]) for one in stacks.describe_stacks()["Stacks"] if "failed" in one["StackName"]]
    filters = {"ANSIBLE_FILTER_PLUGINS": str(ANSIBLE / "filter_plugins")}
    rolled_back = pathlib.Path(account["FLOWTEST_FAIL_STACKS"])
    rolled_back.touch()
    try:
        novice.play(str(playbook), inventory="localhost,", environment=filters).refused("Have AWS warn of the bill")
    finally:
        rolled_back.unlink()
    assert standing() == []
    # As an older provision.yml has left it.
    rolled_back.touch()
    stacks.create_stack(StackName="flowtest-failed-budget", TemplateBody=json.dumps({"Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x"}}}}))
    rolled_back.unlink()
    assert standing() == [("flowtest-failed-budget", "ROLLBACK_COMPLETE")]
    novice.play(str(playbook), inventory="localhost,", environment=filters).changed_something()
    assert standing() == [("flowtest-failed-budget", "CREATE_COMPLETE")]
    stacks.delete_stack(StackName="flowtest-failed-budget")


def test_peerings_are_accepted_by_their_ids_and_none_of_another_network(novice, ec2, tmp_path):
    """The one file of the role that does it, alone."""
    ours, theirs = (ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"] for cidr in ("10.92.0.0/16", "10.93.0.0/16"))
    ask = lambda whom, by: ec2.create_vpc_peering_connection(VpcId=by, PeerVpcId=whom)["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ours_is_asked, another_is = ask(ours, theirs), ask(theirs, ours)
    state = lambda id: ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[id])["VpcPeeringConnections"][0]["Status"]["Code"]
    playbook = tmp_path / "peerings.yml"
    playbook.write_text(f"""
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: cloud, tasks_from: peerings}}
      vars: {{cloud_region: us-east-1, cloud_vpc: {{vpc: {{id: {ours}}}}}}}
""")
    play = lambda *ids: novice.play(str(playbook), inventory="localhost,", variables=[json.dumps({"cloud_peerings": ids})])
    try:
        play(ours_is_asked, another_is).refused(f"cloud_peerings has {another_is}, and nobody asks our network {ours}")
        assert state(ours_is_asked) == state(another_is) == "pending-acceptance"
        play(ours_is_asked).changed_something()
        assert (state(ours_is_asked), state(another_is)) == ("active", "pending-acceptance")
        play(ours_is_asked).changed_nothing()
    finally:
        for id in (ours_is_asked, another_is):
            ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=id)
        for id in (ours, theirs):
            ec2.delete_vpc(VpcId=id)


@pytest.mark.long
def test_an_inventory_without_hosts_is_no_success(novice):
    novice.play("site.yml", inventory="localhost,").refused("No generator is in the inventory", "FLOWTEST_DEPLOYMENT")


@pytest.mark.long
def test_without_credentials_it_says_where_they_go(novice):
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    novice.provision(environment=nobody).refused("credentials", "AWS_PROFILE")


@pytest.mark.long
def test_a_provision_that_broke_in_the_middle_is_finished_by_the_next(account, ec2, tmp_path):
    organiser = Organiser(tmp_path, account)
    variables = ["deployment=half", "cloud_vpc_cidr=10.78.0.0/16", "cloud_platform_cidr=10.78.0.0/24", "cloud_contestant_cidr=10.78.16.0/20"]
    import pathlib

    limit = pathlib.Path(account["FLOWTEST_FAIL_LAUNCHES"])
    everybody = sum(len(one["Instances"]) for one in ec2.describe_instances()["Reservations"])
    limit.write_text(str(everybody + 2))
    organiser.provision(variables=variables).refused("InsufficientInstanceCapacity")
    limit.unlink()
    ours = lambda: {name for name in alive(ec2) if name.startswith("half-")}
    assert len(ours()) == 2
    organiser.provision(variables=variables).changed_something()
    assert ours() == {"half-redis-1", "half-dashboard-1", "half-target-1", "half-generator-1"}
    organiser.provision(variables=variables).changed_nothing()
    organiser.play("teardown.yml", inventory="localhost,", variables=["deployment=half", "cloud_confirm=half", "cloud_without_results=true"]).changed_something()
    assert not ours()
