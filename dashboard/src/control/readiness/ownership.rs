//! Whose the servers are: whether anybody has to prove it, and who seems to have one with another.

use super::check::{Group, List, Mark};
use super::situation::{House, Situation, Tested};
use crate::control::roster::HOUSE;
use flowtest_contest::Contest;
use flowtest_scoreboard::ProbeAnswer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const WHAT: &str = "Ownership";

/// Warns while no proof is asked for, and of each machine that answered the tests of several. It sees what one address, one
/// `Team` or one certificate tells. That two addresses lead to one server over http nothing in an answer tells, however it is
/// asked: for that there is the proof.
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
    let servers = servers(situation);
    let mut told = shared(&servers);
    if situation.contest.as_ref().is_some_and(|contest| !asked(contest)) {
        told.extend(of_one_certificate(&servers));
    }
    told.into_iter().for_each(|message| list.add(Group::Platform, WHAT, Mark::Warn, message));
}

/// What the last test of somebody's endpoint says of its server.
struct Server<'a> {
    name: &'a str,
    /// All that answered.
    addresses: Vec<SocketAddr>,
    /// Whose it says it is.
    team: Option<&'a str>,
    /// SHA-256 of the certificate that it shows.
    certificate: Option<&'a str>,
}

/// As much of a certificate's digest as people compare.
const FINGERPRINT_DIGITS: usize = 16;
/// Names in a message at most: behind one balancer there may be hundreds.
const NAMES_MAX: usize = 8;

/// The house and all contestants whose endpoints are tested.
fn servers(situation: &Situation) -> Vec<Server<'_>> {
    let house = match &situation.house {
        House::Set(Some(tested)) => Some(server(HOUSE, tested)),
        House::Set(None) | House::Unset | House::LeftOut(_) => None,
    };
    let contestants = situation.contestants.iter().filter_map(|contestant| {
        let tested =
            contestant.tested.as_ref().filter(|tested| Some(&tested.endpoint) == contestant.endpoint.as_ref())?;
        Some(server(&contestant.name, tested))
    });
    house.into_iter().chain(contestants).collect()
}

/// A message for each certificate that several show: whoever has its key is one server, or has it of another.
fn of_one_certificate(servers: &[Server<'_>]) -> Vec<String> {
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for server in servers {
        if let Some(certificate) = server.certificate {
            shown.entry(certificate).or_default().push(server.name);
        }
    }
    let several = shown.iter().filter(|(_, names)| names.len() > 1);
    let message = |(certificate, names): (&&str, &Vec<&str>)| {
        let beginning: String = certificate.chars().take(FINGERPRINT_DIGITS).collect();
        format!("{} show one certificate (SHA-256 {beginning}...): ask whose server it is.", and(names))
    };
    several.map(message).collect()
}

/// A message for each server, and for each machine, that several seem to have.
fn shared(servers: &[Server<'_>]) -> Vec<String> {
    let mut machines: BTreeMap<IpAddr, BTreeMap<u16, Vec<&str>>> = BTreeMap::new();
    for (address, name) in servers.iter().flat_map(|one| one.addresses.iter().map(|address| (address, one.name))) {
        machines.entry(address.ip()).or_default().entry(address.port()).or_default().push(name);
    }
    let mut messages = Vec::new();
    for (ip, ports) in &machines {
        for (port, names) in ports.iter().filter(|(_, names)| names.len() > 1) {
            let here = SocketAddr::new(*ip, *port);
            messages.push(format!("{} have one server, {here}: who named it first gets its requests.", and(names)));
        }
        let mut names: Vec<&str> = ports.values().flatten().copied().collect();
        names.dedup();
        // A name may lead to two ports of nobody but itself.
        if ports.len() > 1 && names.iter().any(|name| *name != names[0]) {
            let at: Vec<String> = ports.keys().take(NAMES_MAX).map(u16::to_string).collect();
            let (names, at) = (and(&names), at.join(", "));
            messages.push(format!("{names} answer from one machine, {ip}, at ports {at}: ask whose it is."));
        }
    }
    let says_another = |server: &&Server<'_>| server.team.is_some_and(|team| !team.eq_ignore_ascii_case(server.name));
    messages.extend(servers.iter().filter(says_another).map(|one| {
        format!("The server of {} says that it is {}'s: ask both.", one.name, one.team.unwrap_or_default())
    }));
    messages
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
    let team = answer.and_then(|answer| answer.team.as_deref());
    let certificate = answer.and_then(|answer| answer.certificate.as_deref());
    Server { name, addresses: addresses.into_iter().collect(), team, certificate }
}
