#!/usr/bin/python
"""Which of a region's zones offer each of some instance types. amazon.aws asks EC2 everything else, and not this."""

DOCUMENTATION = r"""
module: flowtest_zones
short_description: Zones of a region that offer all of some instance types
description:
  - Asks EC2 in which availability zones instance types can be launched. Changes nothing.
options:
  instance_types:
    description: The types that are wanted.
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
- name: Ask which zones offer the generators' type
  flowtest_zones:
    region: eu-west-1
    instance_types: [c7gn.4xlarge]
"""

RETURN = r"""
zones:
  description: Names of the zones that offer all of the types, sorted.
  type: list
  returned: always
offered:
  description: For each type the names of the zones that offer it, sorted.
  type: dict
  returned: always
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule says so.


def main():
    module = AnsibleAWSModule(
        argument_spec={"instance_types": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    types = sorted(set(module.params["instance_types"]))
    offered = {name: [] for name in types}
    try:
        pages = module.client("ec2").get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": types}]
        )
        for page in pages:
            for one in page["InstanceTypeOfferings"]:
                offered[one["InstanceType"]].append(one["Location"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="EC2 does not say which zones offer which instance types")
    zones = set.intersection(*map(set, offered.values())) if offered else set()
    module.exit_json(
        changed=False, zones=sorted(zones), offered={name: sorted(found) for name, found in offered.items()}
    )


if __name__ == "__main__":
    main()
