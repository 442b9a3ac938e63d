"""EC2 on loopback for the tests: moto's server, with what it lacks.

    python pretended_ec2.py -H 127.0.0.1 -p PORT

moto has no placement groups, an ended instance keeps its fixed address and its volumes, a group is removed although another one
names it, and a volume does not say what it is not; it takes dry runs for real ones; it overlooks a launch template's network cards, and how many queues a card has;
it has no simulator of policies; it makes every stack; it takes a stack with a number among its parameters for another one each time, and knows no previous
value of a parameter that had its default; here all of it is as on AWS. And it can be made to fail: while the file named by
FLOWTEST_FAIL_LAUNCHES holds a number N, every launch after the Nth is answered as AWS answers when a zone is full; while that named by
FLOWTEST_FAIL_STACKS is there, a new stack is rolled back; an action
that stands in the file named by FLOWTEST_DENIED is answered by EC2 as a policy's refusal, and denied by the simulator; with a ! after
it by the simulator alone, and by name. What Ansible
asked for is written to the file named by FLOWTEST_ACTIONS, a line each, as policies name it; what contestants ask of accounts of
their own, by the access key "contestant", is not.
"""

import copy
import os
import pathlib
import sys
import uuid

import moto.server
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import Attachment
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.iam.responses import IamResponse

answer = BaseResponse.call_action
launch = EC2Response.run_instances
terminate = EC2Response.terminate_instances
make_volume = EC2Response.create_volume
make_stack = CloudFormationResponse.create_stack
launch_there = EC2Backend.run_instances
remove_group_there = EC2Backend._delete_security_group
attach = Attachment.__init__


def call_action(self):
    action = self._get_action()
    theirs = "Credential=contestant/" in str(self.headers.get("Authorization", ""))
    if "Ansible" in str(self.headers.get("User-Agent", "")) and not theirs:
        with open(os.environ["FLOWTEST_ACTIONS"], "a") as file:
            file.write(f"{self.service_name}:{action}\n")
    if self.service_name == "ec2":
        error = None
        if action in denied_actions():
            error = EC2ClientError("UnauthorizedOperation", "You are not authorized to perform this operation.")
        elif str(self._get_param("DryRun")).lower() == "true":
            error = EC2ClientError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
        if error is not None:
            def refuse():
                raise error

            setattr(self, camelcase_to_underscores(action), refuse)
    return answer(self)


def denied_actions():
    denied = pathlib.Path(os.environ["FLOWTEST_DENIED"])
    return denied.read_text().split() if denied.exists() else []


def simulate_principal_policy(self):
    if "SimulatePrincipalPolicy" in denied_actions():
        raise EC2ClientError("AccessDenied", "You are not authorized to perform this operation.")
    names = self._get_param("ActionNames", [])
    # Which lists it takes depends on what it knows of each action: here on none, so that each is asked alone.
    if len(names) > 1 and self._get_param("ResourceArns", ["*"]) != ["*"]:
        raise EC2ClientError("InvalidInput", f"Invalid Input Actions: {names} require different authorization information.")
    denied = {word.removesuffix("!"): "explicitDeny" if word.endswith("!") else "implicitDeny" for word in denied_actions()}
    results = [{"EvalActionName": name, "EvalDecision": denied.get(name.split(":")[1], "allowed")} for name in names]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def defaults_of(template):
    return {name: str(one["Default"]) for name, one in template.get("Parameters", {}).items() if "Default" in one}


def resolve_update_parameters(self, instance, incoming_params):
    """What had its default before has it again by being left out, for moto would take a number in words for another one."""
    before = instance.parameters
    return {
        one["ParameterKey"]: before[one["ParameterKey"]] if one.get("UsePreviousValue") else one["ParameterValue"]
        for one in incoming_params if not one.get("UsePreviousValue") or one["ParameterKey"] in before
    }


def validate_different_update(self, given, body, stack):
    after = {**defaults_of(stack.parse_template(body)), **resolve_update_parameters(self, stack, given or [])}
    if body == stack.template and after == {**defaults_of(stack.template_dict), **stack.parameters}:
        raise ValidationError(stack.name, message="No updates are to be performed.")


def create_stack(self):
    """What was rolled back stays and is changed by nothing, unless it was asked to be removed."""
    result = make_stack(self)
    if pathlib.Path(os.environ["FLOWTEST_FAIL_STACKS"]).exists():
        name = self._get_param("StackName")
        if self._get_param("OnFailure") == "DELETE":
            self.cloudformation_backend.delete_stack(name)
        else:
            self.cloudformation_backend.get_stack(name).status = "ROLLBACK_COMPLETE"
    return result


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


def run_instances_there(self, *arguments, **given):
    template = given.get("launch_template")
    if template and not given.get("nics"):
        # Each launch changes what it is given.
        given["nics"] = copy.deepcopy(self._get_template_from_args(template).data.get("NetworkInterfaces", []))
    asked = {int(card["DeviceIndex"]): int(card["EnaQueueCount"]) for card in given.get("nics", []) if "EnaQueueCount" in card}
    for count in asked.values():
        network = INSTANCE_TYPES[given["instance_type"]]["NetworkInfo"]
        if network["FlexibleEnaQueuesSupport"] != "supported":
            raise EC2ClientError("InvalidParameterCombination", f"{given['instance_type']} has no flexible ENA queues.")
        if count not in [1 << power for power in range(10)] or count > network["NetworkCards"][0]["MaximumEnaQueueCountPerInterface"]:
            raise EC2ClientError("InvalidParameterValue", f"{count} ENA queues are too many, or no power of two.")
    reservation = launch_there(self, *arguments, **given)
    for instance in reservation.instances:
        for index, count in asked.items():
            instance.nics[index].ena_queue_count = count
    return reservation


def attached(self, card):
    attach(self, card)
    if hasattr(card, "ena_queue_count"):
        self.ena_queue_count = card.ena_queue_count


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


def remove_group(self, vpc_id, group_id):
    others = [one for one in self.groups[vpc_id or self.default_vpc.id].values() if one.id != group_id]
    if any((rule.source_group or {}).get("GroupId") == group_id for one in others for rule in [*one.ingress_rules, *one.egress_rules]):
        raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
    return remove_group_there(self, vpc_id, group_id)


def create_volume(self):
    result = make_volume(self)
    result.result.snapshot_id = result.result.snapshot_id or ""
    result.result.multi_attach_enabled = result.result.multi_attach_enabled or False
    return result


for function in (create_placement_group, describe_placement_groups, delete_placement_group, run_instances,
                 terminate_instances, create_volume):
    setattr(EC2Response, function.__name__, function)

BaseResponse.call_action = call_action
IamResponse.simulate_principal_policy = simulate_principal_policy
CloudFormationResponse.create_stack = create_stack
CloudFormationResponse._validate_different_update = validate_different_update
CloudFormationBackend._resolve_update_parameters = resolve_update_parameters
EC2Backend.run_instances = run_instances_there
EC2Backend._delete_security_group = remove_group
Attachment.__init__ = attached
moto.server.main(sys.argv[1:])
