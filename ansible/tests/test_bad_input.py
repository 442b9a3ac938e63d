"""Whatever an organiser types wrong is answered by a sentence, and running again heals."""

import pytest
from conftest import Organiser, alive

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
    ("an instance type that is not there", ["cloud_redis_type=c99.huge"], ["c99.huge", "cloud_*_type"]),
    ("a network of IPv6", ['{"viewer_cidrs": ["0.0.0.0/0", "2001:db8::/32"]}'], ["2001:db8::/32 cannot be let in", "IPv4"]),
    ("a type that is in no zone of the others", ["cloud_zone=us-east-1e"], ["us-east-1e does not offer", "c7i.large is in"]),
    ("a zone that is not there", ["cloud_zone=us-east-1z"], ["no zone 'us-east-1z'"]),
]


@pytest.fixture
def novice(account, tmp_path):
    return Organiser(tmp_path, account)


# The first of each kind runs always: as a rule of ours, as a type, as an answer of AWS.
@pytest.mark.parametrize(
    ("what", "variables", "words"),
    [pytest.param(*case, id=case[0], marks=[] if index in (0, 5, 8) else [pytest.mark.long]) for index, case in enumerate(REFUSED)],
)
def test_refused_with_a_sentence(novice, ec2, what, variables, words):
    if variables == ["organiser_cidrs=[]"]:
        variables = ['{"organiser_cidrs": []}']
    before = set(alive(ec2))
    novice.provision(variables=variables).refused(*words)
    assert set(alive(ec2)) == before


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
