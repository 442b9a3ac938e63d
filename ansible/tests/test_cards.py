"""Generators of a type whose network card may have more queues are launched with them, by a launch template."""

import pytest
from conftest import Organiser, alive

# Its card has 8 queues as it is, for 16 processors, and may have 16.
SIXTEEN = [
    "deployment=cards", "cloud_vpc_cidr=10.79.0.0/16", "cloud_platform_cidr=10.79.0.0/24", "cloud_contestant_cidr=10.79.16.0/20",
    "cloud_generator_type=c6i.4xlarge",
]


@pytest.fixture(scope="module")
def card_organiser(account, tmp_path_factory):
    return Organiser(tmp_path_factory.mktemp("cards"), account)


def templates(ec2):
    return {one["LaunchTemplateName"]: one for one in ec2.describe_launch_templates()["LaunchTemplates"]}


@pytest.mark.long
def test_a_generator_has_a_queue_for_each_processor(card_organiser, ec2):
    said = " ".join(card_organiser.provision(variables=SIXTEEN).changed_something().text.split())
    assert "Each generator has 16 network queues for 16 processors" in said, said
    assert set(templates(ec2)) >= {"flowtest-cards-card"}
    found = {name: one for name, one in alive(ec2).items() if name.startswith("cards-")}
    [group] = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["cards-generator"]}])["SecurityGroups"]
    [subnet] = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["cards-platform"]}])["Subnets"]
    generator = found["cards-generator-1"]
    [card] = generator["NetworkInterfaces"]
    assert card["Attachment"]["EnaQueueCount"] == 16
    # All else is as the others have it.
    assert (generator["SubnetId"], [one["GroupId"] for one in card["Groups"]]) == (subnet["SubnetId"], [group["GroupId"]])
    assert generator["PublicIpAddress"] and card["Attachment"]["DeleteOnTermination"]
    assert not [name for name, one in found.items() if "EnaQueueCount" in one["NetworkInterfaces"][0]["Attachment"] and name != "cards-generator-1"]
    card_organiser.provision(variables=SIXTEEN).changed_nothing()
    # The pretended account makes a change set of what is the same.
    checked = card_organiser.provision("--check", "--diff", variables=SIXTEEN).went_well()
    assert "changed: [localhost] => (item=generator" not in checked.text and checked.total("changed") <= 1, checked.text[-6000:]


@pytest.mark.long
def test_another_number_is_for_those_that_are_launched_from_then_on(card_organiser, ec2):
    four = [*SIXTEEN, "cloud_generator_count=2", "cloud_generator_queues=4"]
    card_organiser.provision(variables=four).changed_something()
    queues = {name: one["NetworkInterfaces"][0]["Attachment"]["EnaQueueCount"] for name, one in alive(ec2).items() if name.startswith("cards-generator-")}
    assert queues == {"cards-generator-1": 16, "cards-generator-2": 4}
    assert templates(ec2)["flowtest-cards-card"]["LatestVersionNumber"] == 2
    without_results = ["cloud_confirm=cards", "cloud_without_results=true"]
    card_organiser.play("teardown.yml", inventory="localhost,", variables=[*SIXTEEN, *without_results]).changed_something()
    assert "flowtest-cards-card" not in templates(ec2) and not [name for name in alive(ec2) if name.startswith("cards-")]
