"""EC2 on loopback for the tests: moto's server, with what it lacks.

    python pretended_ec2.py -H 127.0.0.1 -p PORT

moto has no placement groups, an ended instance keeps its fixed address and its volumes, and a volume does not say
what it is not; here all of it is as on EC2. And it can be made to fail: while the file named by FLOWTEST_FAIL_LAUNCHES holds a number
N, every launch after the Nth is answered as AWS answers when a zone is full.
"""

import os
import pathlib
import sys
import uuid

import moto.server
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

launch = EC2Response.run_instances
terminate = EC2Response.terminate_instances
make_volume = EC2Response.create_volume


def groups(self):
    return self.ec2_backend.__dict__.setdefault("flowtest_placement_groups", {})


def create_placement_group(self):
    name = self._get_param("GroupName")
    if name in groups(self):
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
    tags = self._parse_tag_specification("placement-group").get("placement-group", {})
    groups(self)[name] = {
        "GroupName": name,
        "State": "available",
        "Strategy": self._get_param("Strategy") or "cluster",
        "GroupId": "pg-" + uuid.uuid4().hex[:17],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return ActionResult({"PlacementGroup": groups(self)[name]})


def describe_placement_groups(self):
    names = self._get_param("GroupNames", []) or self._filters_from_querystring().get("group-name", [])
    found = [group for name, group in groups(self).items() if not names or name in names]
    return ActionResult({"PlacementGroups": found})


def delete_placement_group(self):
    name = self._get_param("GroupName")
    if name not in groups(self):
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    living = [one for one in self.ec2_backend.all_instances() if one.state != "terminated"]
    if any(one.placement.group_name == name for one in living):
        raise EC2ClientError("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use.")
    del groups(self)[name]
    return EmptyResult()


def run_instances(self):
    name = self._get_param("Placement.GroupName")
    if name and name not in groups(self):
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    limit = pathlib.Path(os.environ.get("FLOWTEST_FAIL_LAUNCHES", "/nonexistent"))
    if limit.exists() and len(list(self.ec2_backend.all_instances())) >= int(limit.read_text()):
        raise EC2ClientError("InsufficientInstanceCapacity", "There is no room in this zone, says the test.")
    result = launch(self)
    for instance in result.result.instances:
        instance.placement.group_name = name or ""
    return result


def terminate_instances(self):
    result = terminate(self)
    ended = self._get_param("InstanceIds", [])
    for address in self.ec2_backend.describe_addresses():
        if address.instance and address.instance.id in ended:
            self.ec2_backend.disassociate_address(association_id=address.association_id)
    for volume in self.ec2_backend.describe_volumes():
        if volume.attachment and volume.attachment.instance.id in ended:
            volume.attachment = None
    return result


def create_volume(self):
    result = make_volume(self)
    result.result.snapshot_id = result.result.snapshot_id or ""
    result.result.multi_attach_enabled = result.result.multi_attach_enabled or False
    return result


for function in (create_placement_group, describe_placement_groups, delete_placement_group, run_instances,
                 terminate_instances, create_volume):
    setattr(EC2Response, function.__name__, function)

moto.server.main(sys.argv[1:])
