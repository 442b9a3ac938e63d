#!/usr/bin/python
"""Whether the account lets us make what provision makes: nothing is made. amazon.aws has no such question.

EC2 answers by dry runs for what it makes. Of all else IAM's policy simulator tells, where it may be asked.
"""

DOCUMENTATION = r"""
module: flowtest_allowed
short_description: What the account's policies forbid us
description:
  - Asks EC2 by dry runs for each kind of thing that a deployment is made of, and IAM's policy simulator for the rest. Changes nothing.
options:
  instance_type:
    description: The type with which launching is asked for.
    type: str
    required: true
  caller:
    description: Who we are, as STS tells it.
    type: str
    required: true
  actions:
    description: All that the simulator is asked, in groups that have a resource in common.
    type: list
    elements: dict
    default: []
    suboptions:
      resource:
        description: What is acted on, as an ARN, or C(*).
        type: str
        required: true
      actions:
        description: Names of actions, as policies have them.
        type: list
        elements: str
        required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
author:
  - Flow Test
"""

EXAMPLES = r"""
- name: Ask what we may not
  flowtest_allowed:
    region: eu-west-1
    instance_type: c7gn.4xlarge
    caller: arn:aws:iam::111122223333:user/organiser
    actions:
      - {resource: "*", actions: ["cloudformation:CreateStack"]}
"""

RETURN = r"""
forbidden:
  description: Names of the actions that EC2 has refused, that a policy denies by name, or that no policy allows for their one resource, sorted.
  type: list
  returned: always
doubtful:
  description:
    - Names of the actions that no policy allows for any resource, sorted. A policy for some resources may allow them all the same.
  type: list
  returned: always
unanswered:
  description: Names of the actions for which the simulator gave no answer, sorted.
  type: list
  returned: always
said:
  description: What the simulator said instead of an answer; empty where it has answered.
  type: str
  returned: always
"""

import re

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule says so.

# Ids of nothing: policies are looked at before things are.
VPC, SUBNET, INSTANCE, VOLUME, GROUP, TABLE, GATEWAY, ADDRESS = (
    f"{kind}-00000000000000000" for kind in ("vpc", "subnet", "i", "vol", "sg", "rtb", "igw", "eipalloc")
)


def questions(instance_type):
    return {
        "CreateVpc": ("create_vpc", {"CidrBlock": "10.77.0.0/16"}),
        "CreateSubnet": ("create_subnet", {"VpcId": VPC, "CidrBlock": "10.77.0.0/24"}),
        "CreateInternetGateway": ("create_internet_gateway", {}),
        "CreateRouteTable": ("create_route_table", {"VpcId": VPC}),
        "AttachInternetGateway": ("attach_internet_gateway", {"InternetGatewayId": GATEWAY, "VpcId": VPC}),
        "CreateRoute": ("create_route", {"RouteTableId": TABLE, "GatewayId": GATEWAY, "DestinationCidrBlock": "0.0.0.0/0"}),
        "AssociateRouteTable": ("associate_route_table", {"RouteTableId": TABLE, "SubnetId": SUBNET}),
        "CreateTags": ("create_tags", {"Resources": [VPC], "Tags": [{"Key": "flowtest_deployment", "Value": "flowtest"}]}),
        "AuthorizeSecurityGroupIngress": (
            "authorize_security_group_ingress", {"GroupId": GROUP, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "192.0.2.1/32"},
        ),
        "CreateSecurityGroup": ("create_security_group", {"VpcId": VPC, "GroupName": "flowtest", "Description": "flowtest"}),
        "CreatePlacementGroup": ("create_placement_group", {"GroupName": "flowtest-dry-run", "Strategy": "cluster"}),
        "ImportKeyPair": ("import_key_pair", {"KeyName": "flowtest", "PublicKeyMaterial": b"ssh-ed25519 AAAA flowtest"}),
        "AllocateAddress": ("allocate_address", {"Domain": "vpc"}),
        "AssociateAddress": ("associate_address", {"AllocationId": ADDRESS, "InstanceId": INSTANCE}),
        "CreateLaunchTemplate": (
            "create_launch_template",
            {"LaunchTemplateName": "flowtest-dry-run", "LaunchTemplateData": {"NetworkInterfaces": [{"DeviceIndex": 0, "EnaQueueCount": 2}]}},
        ),
        "CreateVolume": ("create_volume", {"AvailabilityZone": "nowhere", "Size": 1}),
        "AttachVolume": ("attach_volume", {"InstanceId": INSTANCE, "VolumeId": VOLUME, "Device": "/dev/sdf"}),
        "RunInstances": (
            "run_instances",
            {"ImageId": "ami-00000000000000000", "InstanceType": instance_type, "SubnetId": SUBNET, "MinCount": 1, "MaxCount": 1},
        ),
        "TerminateInstances": ("terminate_instances", {"InstanceIds": [INSTANCE]}),
    }


def principal(iam, caller):
    """The user or role whose policies count: a session's name is not a role's, and its role may have a path."""
    session = re.fullmatch(r"arn:[^:]+:sts::[0-9]+:assumed-role/([^/]+)/.+", caller)
    return iam.get_role(RoleName=session.group(1))["Role"]["Arn"] if session else caller


def ask(iam, source, context, resource, actions):
    """What the simulator says of each action. What depends on a condition that nobody can tell here is not called denied."""
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=source, ActionNames=actions, ResourceArns=[resource], ContextEntries=context
    )
    return {
        one["EvalActionName"]: "allowed" if one.get("MissingContextValues") else one["EvalDecision"]
        for page in pages
        for one in page["EvaluationResults"]
    }


def simulated(iam, caller, region, groups):
    """What the simulator says of each action, and why it says nothing of some. Some lists it does not take, whose actions are then
    asked one by one; what it has said of others stays."""
    names = [name for one in groups for name in one["actions"]]
    try:
        source = principal(iam, caller)
    except (BotoCoreError, ClientError) as error:
        return {}, names, str(error)
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in {"iam:PassedToService": "ec2.amazonaws.com", "aws:RequestedRegion": region}.items()
    ]
    answers, unanswered, said = {}, [], ""
    waiting = [(one["resource"], one["actions"]) for one in groups]
    while waiting:
        resource, actions = waiting.pop(0)
        try:
            answers |= ask(iam, source, context, resource, actions)
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code.startswith("InvalidInput") and len(actions) > 1:
                waiting += [(resource, [name]) for name in actions]
                continue
            unanswered += actions
            said = str(error)
    return answers, unanswered, said


def judged(refused, let_in, answers, groups):
    """(what is denied, what nobody can tell), from what EC2 has refused and let in by dry runs and from the simulator's answers.

    Of what is asked for any resource the simulator denies what policies allow for some; it is sure of one resource, and of what a
    policy denies by name."""
    exact = {name for one in groups if one["resource"] != "*" for name in one["actions"]}
    denied = {name for name, decision in answers.items() if decision != "allowed"} - set(let_in)
    sure = {name for name in denied if name in exact or answers[name] == "explicitDeny"} | set(refused)
    return sorted(sure), sorted(denied - sure)


def dry_runs(module):
    """What EC2 denies, and what it would do."""
    client = module.client("ec2")
    denied, allowed = [], []
    for action, (call, arguments) in questions(module.params["instance_type"]).items():
        try:
            getattr(client, call)(DryRun=True, **arguments)
        except ClientError as error:
            # Anything else: it was let in, and asked for what is not there.
            code = error.response["Error"]["Code"]
            if code in ("UnauthorizedOperation", "AccessDenied"):
                denied.append(f"ec2:{action}")
            elif code == "DryRunOperation":
                allowed.append(f"ec2:{action}")
        except BotoCoreError as error:
            module.fail_json_aws(error, msg="EC2 does not answer what we may do")
    return denied, allowed


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "instance_type": {"type": "str", "required": True},
            "caller": {"type": "str", "required": True},
            "actions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "resource": {"type": "str", "required": True},
                    "actions": {"type": "list", "elements": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    refused, let_in = dry_runs(module)
    answers, unanswered, said = simulated(module.client("iam"), module.params["caller"], module.region, module.params["actions"])
    forbidden, doubtful = judged(refused, let_in, answers, module.params["actions"])
    module.exit_json(changed=False, forbidden=forbidden, doubtful=doubtful, unanswered=sorted(unanswered), said=said)


if __name__ == "__main__":
    main()
