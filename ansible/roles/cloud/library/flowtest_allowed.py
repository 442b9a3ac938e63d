#!/usr/bin/python
"""Whether the account lets us make what provision makes, asked by dry runs: nothing is made. amazon.aws has no such question."""

DOCUMENTATION = r"""
module: flowtest_allowed
short_description: What of EC2 the account's policies forbid us
description:
  - Asks EC2 by dry runs for each kind of thing that a deployment is made of. Changes nothing.
options:
  instance_type:
    description: The type with which launching is asked for.
    type: str
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
"""

RETURN = r"""
forbidden:
  description: Names of the actions that are denied, sorted.
  type: list
  returned: always
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule says so.

# Ids of nothing: policies are looked at before things are.
VPC, SUBNET, INSTANCE, VOLUME = (f"{kind}-00000000000000000" for kind in ("vpc", "subnet", "i", "vol"))


def questions(instance_type):
    return {
        "CreateVpc": ("create_vpc", {"CidrBlock": "10.77.0.0/16"}),
        "CreateSubnet": ("create_subnet", {"VpcId": VPC, "CidrBlock": "10.77.0.0/24"}),
        "CreateInternetGateway": ("create_internet_gateway", {}),
        "CreateRouteTable": ("create_route_table", {"VpcId": VPC}),
        "CreateSecurityGroup": ("create_security_group", {"VpcId": VPC, "GroupName": "flowtest", "Description": "flowtest"}),
        "CreatePlacementGroup": ("create_placement_group", {"GroupName": "flowtest-dry-run", "Strategy": "cluster"}),
        "ImportKeyPair": ("import_key_pair", {"KeyName": "flowtest", "PublicKeyMaterial": b"ssh-ed25519 AAAA flowtest"}),
        "AllocateAddress": ("allocate_address", {"Domain": "vpc"}),
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


def main():
    module = AnsibleAWSModule(argument_spec={"instance_type": {"type": "str", "required": True}}, supports_check_mode=True)
    client = module.client("ec2")
    forbidden = []
    for action, (call, arguments) in questions(module.params["instance_type"]).items():
        try:
            getattr(client, call)(DryRun=True, **arguments)
        except ClientError as error:
            # DryRunOperation: it would go well. Anything else but a refusal: it was let in, and asked for what is not there.
            if error.response["Error"]["Code"] in ("UnauthorizedOperation", "AccessDenied"):
                forbidden.append(f"ec2:{action}")
        except BotoCoreError as error:
            module.fail_json_aws(error, msg="EC2 does not answer what we may do")
    module.exit_json(changed=False, forbidden=sorted(forbidden))


if __name__ == "__main__":
    main()
