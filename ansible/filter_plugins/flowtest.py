"""What people type: networks, instants, addresses. Each filter answers with sentences, of which none means that all is well."""

import datetime
import ipaddress
import re


def network_faults(networks, name, families=(4, 6)):
    """What is wrong with a list of networks, as sentences that begin with the variable's name."""
    if isinstance(networks, str) or not isinstance(networks, (list, tuple)):
        return [f"{name} is '{networks}', and wants a list: {name}: [203.0.113.7/32]."]
    faults = []
    for one in networks:
        text = str(one)
        if "/" not in text:
            faults.append(f"{name} has '{text}' without a length: a single address is {text}/{128 if ':' in text else 32}.")
            continue
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            faults.append(f"{name} has '{text}', which is no network: write it as in 203.0.113.7/32 or 203.0.113.0/24.")
            continue
        if network.version not in families:
            faults.append(f"{name}: {text} cannot be let in: our VPC speaks IPv4 only. Give the IPv4 networks.")
        elif str(network) != text:
            faults.append(f"{name} has '{text}': the network is {network}, a single address {text.split('/')[0]}/{network.max_prefixlen}.")
    return faults


def subnet_faults(subnets, outer, outer_name):
    """What is wrong with subnets, {variable's name: network}, of one network of EC2. What is no network is network_faults' to tell."""
    try:
        room = ipaddress.ip_network(outer)
        places = {name: ipaddress.ip_network(one) for name, one in subnets.items()}
    except ValueError:
        return []
    faults = [f"{name} is {one}: EC2's networks are from /16 to /28." for name, one in {outer_name: room, **places}.items() if not 16 <= one.prefixlen <= 28]
    faults += [f"{name} is {one}, which is not in {outer_name} ({room}): they go together." for name, one in places.items() if not one.subnet_of(room)]
    names = list(places)
    faults += [
        f"{first} ({places[first]}) and {second} ({places[second]}) overlap."
        for index, first in enumerate(names) for second in names[index + 1:] if places[first].overlaps(places[second])
    ]
    return faults


def count_faults(values):
    """What is wrong with numbers of things, {variable's name: number}. A word would count as nothing at all."""
    return [
        f"{name} is '{value}', and wants a whole number above 0." for name, value in values.items() if not re.fullmatch(r"[1-9][0-9]*", str(value))
    ]


def in_networks(address, networks):
    """Whether an address is in one of the networks."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    # An address of IPv4 that came through a socket of IPv6.
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in (ipaddress.ip_network(str(one), strict=False) for one in networks))


INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def instant_faults(value, name):
    """What is wrong with an instant. YAML makes a date of one without quotes, which is then printed in another form."""
    text = str(value)
    if text == "":
        return []
    if INSTANT.fullmatch(text):
        try:
            instant_utc(text)
        except (ValueError, OverflowError):
            return [f"{name} is '{text}', which no calendar or clock has."]
        return []
    if not isinstance(value, str) or re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text):
        return [f"{name} is {text}: write it in quotes, as in {name}: \"2026-12-01T10:20:00Z\"."]
    return [f"{name} is '{text}', which is no instant: write RFC 3339 in quotes, as in \"2026-12-01T10:20:00Z\"."]


def instant_utc(value):
    """An instant that instant_faults has found well written, as systemd's calendar and people read it."""
    whole = re.sub(r"\.\d+", "", str(value)).replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(whole).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def unknown_groups(groups, known):
    """Hosts that are in no group that we know, as sentences: a group's name that is misspelt."""
    ours = {host for name in known for host in groups.get(name, [])}
    faults = []
    for name, hosts in sorted(groups.items()):
        lost = sorted(set(hosts) - ours)
        if name not in ("all", "ungrouped", *known) and lost:
            faults.append(f"{', '.join(lost)} in group '{name}', which is none of {', '.join(known)}")
    lost = sorted(set(groups.get("ungrouped", [])) - ours)
    if lost:
        faults.append(f"{', '.join(lost)} in no group at all")
    return faults


def policy_questions(policy, not_asked, partition, region, account, name):
    """What IAM's simulator is asked of a policy, in groups that have a resource in common: all its actions but for those of the
    statements `not_asked`. The simulator knows no patterns, so a pattern of names is one of them, and one of resources is `name`."""
    groups = {}
    for statement in policy["Statement"]:
        if statement["Sid"] in not_asked:
            continue
        listed = lambda value: [value] if isinstance(value, str) else value
        for action in listed(statement["Action"]):
            resources = [one for one in listed(statement["Resource"]) if (":instance-profile/" in one) == ("InstanceProfile" in action)]
            [resource] = resources or listed(statement["Resource"])
            if resource != "*":
                _, _, service, _, _, what = resource.split(":", 5)
                place = ":" + account if service == "iam" else region + ":"
                resource = f"arn:{partition}:{service}:{place}:{re.sub('(flowtest-)?[*]', name, what)}"
            groups.setdefault(resource, []).append(action.replace("Describe*", "DescribeInstances"))
    return [{"resource": resource, "actions": actions} for resource, actions in groups.items()]


class FilterModule:
    def filters(self):
        return {
            "network_faults": network_faults,
            "subnet_faults": subnet_faults,
            "count_faults": count_faults,
            "in_networks": in_networks,
            "instant_faults": instant_faults,
            "instant_utc": instant_utc,
            "unknown_groups": unknown_groups,
            "policy_questions": policy_questions,
        }
