//! Whose the servers are: whether anybody has to prove it, and who seems to have one with another.

use super::check::{Group, List, Mark};
use super::situation::{House, Situation, Tested};
use crate::control::roster::HOUSE;
use flowtest_contest::Contest;
use flowtest_scoreboard::ProbeAnswer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const WHAT: &str = "Ownership";

/// Warns while no proof is asked for, and of each machine that answered the tests of several.
pub(super) fn ownership(list: &mut List, situation: &Situation) {
    let asked = |contest: &Contest| contest.policy.ownership.is_asked_for();
    match situation.contest.as_ref().map(asked) {
        None => {}
        Some(true) => list.add(Group::Platform, WHAT, Mark::Go, "Each server has to say whose it is."),
        Some(false) => list.add(
            Group::Platform,
            WHAT,
            Mark::Warn,
            "Nobody has to prove that a server is his: a second address of a rival's server gets full points, and the rival \
             carries the load. Ask for the Team header in the settings, or know your contestants.",
        ),
    }
    shared(situation).into_iter().for_each(|sentence| list.add(Group::Platform, WHAT, Mark::Warn, sentence));
}

/// What the last test of somebody's endpoint says of its server.
struct Server<'a> {
    name: &'a str,
    /// All that answered.
    addresses: Vec<SocketAddr>,
    /// Whose it says it is.
    team: Option<&'a str>,
}

/// Names in a sentence at most: behind one balancer there may be hundreds.
const NAMES_MAX: usize = 8;

/// A sentence for each server, and for each machine, that several seem to have.
fn shared(situation: &Situation) -> Vec<String> {
    let house = match &situation.house {
        House::Set(Some(tested)) => Some(server(HOUSE, tested)),
        House::Set(None) | House::Unset | House::LeftOut(_) => None,
    };
    let contestants = situation.contestants.iter().filter_map(|contestant| {
        let tested =
            contestant.tested.as_ref().filter(|tested| Some(&tested.endpoint) == contestant.endpoint.as_ref())?;
        Some(server(&contestant.name, tested))
    });
    let servers: Vec<Server<'_>> = house.into_iter().chain(contestants).collect();
    let mut machines: BTreeMap<IpAddr, BTreeMap<u16, Vec<&str>>> = BTreeMap::new();
    for (address, name) in servers.iter().flat_map(|one| one.addresses.iter().map(|address| (address, one.name))) {
        machines.entry(address.ip()).or_default().entry(address.port()).or_default().push(name);
    }
    let mut sentences = Vec::new();
    for (ip, ports) in &machines {
        for (port, names) in ports.iter().filter(|(_, names)| names.len() > 1) {
            let here = SocketAddr::new(*ip, *port);
            sentences.push(format!("{} have one server, {here}: who named it first gets its requests.", and(names)));
        }
        let mut names: Vec<&str> = ports.values().flatten().copied().collect();
        names.dedup();
        // A name may lead to two ports of nobody but itself.
        if ports.len() > 1 && names.iter().any(|name| *name != names[0]) {
            let at: Vec<String> = ports.keys().take(NAMES_MAX).map(u16::to_string).collect();
            let (names, at) = (and(&names), at.join(", "));
            sentences.push(format!("{names} answer from one machine, {ip}, at ports {at}: ask whose it is."));
        }
    }
    let says_another = |server: &&Server<'_>| server.team.is_some_and(|team| !team.eq_ignore_ascii_case(server.name));
    sentences.extend(servers.iter().filter(says_another).map(|one| {
        format!("The server of {} says that it is {}'s: ask both.", one.name, one.team.unwrap_or_default())
    }));
    sentences
}

/// `alice, bobby and carol`
fn and(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [_, .., _] if names.len() > NAMES_MAX => {
            format!("{} and {} more", names[..NAMES_MAX].join(", "), names.len() - NAMES_MAX)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn server<'a>(name: &'a str, tested: &'a Tested) -> Server<'a> {
    let answer = tested.answer.as_ref();
    let addresses: BTreeSet<SocketAddr> = answer.into_iter().flat_map(ProbeAnswer::answered_at).collect();
    Server { name, addresses: addresses.into_iter().collect(), team: answer.and_then(|answer| answer.team.as_deref()) }
}
