//! Stops: what a document says when traffic has been ended, which of that nobody has been told of, and whether another document
//! is nothing but a stop. Pure.

use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::policy::{Denied, Network, Policy};
use flowtest_contest::{Control, Endpoint, Refusal, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

/// Stops that are named in one message; the others are counted.
const NAMED_MAX: usize = 3;

/// Traffic that was ended here. It is kept until Redis has been told of it, also in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stop {
    /// That of everybody.
    Halt,
    /// That of a round, which may go on.
    Pause(RoundId),
    /// The same before the end of its plan. It counts.
    End(RoundId),
    /// The same, and it does not count.
    Abort(RoundId),
    /// That of a contestant.
    Park(String),
    /// That to a network, which is closed.
    Deny(#[serde(with = "as_text")] Denied),
    /// The same of one that is not opened any more.
    Disallow(#[serde(with = "as_text")] Network),
    /// That to a server which a contestant has left.
    Leave {
        contestant: String,
        #[serde(with = "as_text")]
        endpoint: Endpoint,
    },
}

impl Stop {
    /// What is stopped in a document and was not in the one before it.
    pub(super) fn between(before: &Control, next: &Control) -> Vec<Stop> {
        let is_same_round = before.round == next.round;
        let comes_to = |state| next.state == state && !(is_same_round && before.state == state);
        let of_round = |is_so: bool, stop: fn(RoundId) -> Stop| next.round.filter(|_| is_so).map(stop);
        let ends = next.timeline.stopped_at.is_some() && !(is_same_round && before.timeline.stopped_at.is_some());
        let halts = (next.halted && !before.halted).then_some(Stop::Halt);
        let of_all = [
            halts,
            of_round(comes_to(State::Paused), Stop::Pause),
            of_round(ends, Stop::End),
            of_round(comes_to(State::Aborted), Stop::Abort),
        ];
        let parked = next.parked.difference(&before.parked).cloned().map(Stop::Park);
        let (was, is) = (&before.contest.policy, &next.contest.policy);
        let denied = is.deny.iter().filter(|entry| !was.deny.contains(entry)).copied().map(Stop::Deny);
        let closed = was.allow.iter().filter(|network| !is.opens_all_of(network)).copied().map(Stop::Disallow);
        let left = before.contest.contestants.iter().filter_map(|one| {
            let is_left = is_played(next) && endpoint(next, &one.name).is_some_and(|now| *now != one.endpoint);
            is_left.then(|| Stop::Leave { contestant: one.name.clone(), endpoint: one.endpoint.clone() })
        });
        of_all.into_iter().flatten().chain(parked).chain(denied).chain(closed).chain(left).collect()
    }

    /// Whether settings or endpoints say so as well: then a restart loses nothing but that nobody was told.
    pub(super) fn is_known_elsewhere(&self) -> bool {
        matches!(self, Stop::Deny(_) | Stop::Disallow(_) | Stop::Leave { .. })
    }

    /// Whether our document still says so.
    pub(super) fn holds(&self, ours: &Control) -> bool {
        use State::{Aborted, Draft, Draining, Paused, Sealed};
        // A round that was ended is never played again, also where ours has left it behind.
        let is_over = |round: &RoundId, states: &[State]| ours.round != Some(*round) || states.contains(&ours.state);
        match self {
            Stop::Halt => ours.halted,
            Stop::Pause(round) => ours.round == Some(*round) && ours.state == Paused,
            Stop::End(round) => is_over(round, &[Draining, Sealed, Aborted, Draft]),
            Stop::Abort(round) => is_over(round, &[Aborted, Draft]),
            Stop::Park(name) => ours.parked.contains(name),
            Stop::Deny(entry) => ours.contest.policy.deny.contains(entry),
            Stop::Disallow(network) => !ours.contest.policy.opens_all_of(network),
            Stop::Leave { contestant, endpoint: left } => {
                is_played(ours) && endpoint(ours, contestant).is_some_and(|now| now != left)
            }
        }
    }

    /// Whether it holds in our document, and traffic goes on in another one.
    pub(super) fn is_due(&self, ours: &Control, found: &Control) -> bool {
        use State::{Armed, Draining, Paused, Running};
        let goes_on = |round: &RoundId, states: &[State]| found.round == Some(*round) && states.contains(&found.state);
        // The same name may be another account's there.
        let is_same = |name: &String| ours.ids.get(name) == found.ids.get(name);
        let goes_there = match self {
            Stop::Halt => !found.halted,
            Stop::Pause(round) => goes_on(round, &[Armed, Running]),
            Stop::End(round) => goes_on(round, &[Armed, Running, Paused]),
            Stop::Abort(round) => goes_on(round, &[Armed, Running, Paused, Draining]),
            Stop::Park(name) => endpoint(found, name).is_some() && !found.parked.contains(name) && is_same(name),
            Stop::Deny(entry) => !found.contest.policy.deny.contains(entry),
            Stop::Disallow(network) => {
                let policy = &found.contest.policy;
                policy.closed_as(&ours.contest.policy, network) != *policy
            }
            Stop::Leave { contestant, endpoint: left } => {
                is_played(found) && endpoint(found, contestant) == Some(left) && is_same(contestant)
            }
        };
        self.holds(ours) && goes_there
    }

    /// Whether it is that of a round of which another document says nothing: whoever plays that one has not heard of it.
    pub(super) fn is_of_another(&self, found: &Control) -> bool {
        let (Stop::Pause(round) | Stop::End(round) | Stop::Abort(round)) = self else { return false };
        found.round != Some(*round)
    }

    /// By which another document comes to say the same as ours. None: there is nothing in ours that it could say.
    fn change(&self, ours: &Control, found: &Control) -> Option<Change> {
        let policy = &found.contest.policy;
        Some(match self {
            Stop::Halt => Change::Halt { halted: true },
            Stop::Pause(_) => Change::Pause,
            Stop::End(_) => Change::Stop,
            Stop::Abort(_) => Change::Abort,
            Stop::Park(name) => Change::Park { contestant: name.clone(), parked: true },
            Stop::Deny(entry) => {
                let deny = policy.deny.iter().chain([entry]).copied().collect();
                Change::Policy(Policy { deny, ..policy.clone() })
            }
            Stop::Disallow(network) => Change::Policy(policy.closed_as(&ours.contest.policy, network)),
            Stop::Leave { contestant, .. } => {
                Change::Endpoint { contestant: contestant.clone(), endpoint: endpoint(ours, contestant)?.clone() }
            }
        })
    }

    /// As a part of a sentence.
    fn message(&self) -> String {
        match self {
            Stop::Halt => "all traffic was stopped".to_owned(),
            Stop::Pause(_) => "the round was paused".to_owned(),
            Stop::End(_) => "the round was ended".to_owned(),
            Stop::Abort(_) => "the round was aborted".to_owned(),
            Stop::Park(name) => format!("{name} was parked"),
            Stop::Deny(entry) => format!("{entry} was denied"),
            Stop::Disallow(network) => format!("{network} was closed"),
            Stop::Leave { contestant, endpoint } => format!("{contestant} has left {endpoint}"),
        }
    }
}

/// Whether a change stops traffic, and decides nothing else: somebody else's document is not replaced by it.
pub(super) fn is_stop(change: &Change) -> bool {
    matches!(change, Change::Halt { halted: true } | Change::Pause | Change::Stop | Change::Abort)
}

/// What our document still says of these stops, as parts of one sentence. None: nobody wants any of them any more.
pub(super) fn message(stops: &[Stop], ours: &Control) -> Option<String> {
    let mut told: Vec<String> = stops.iter().filter(|stop| stop.holds(ours)).map(Stop::message).collect();
    let more = told.len().saturating_sub(NAMED_MAX);
    told.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(format!("{}{more}", told.join(", "))).filter(|_| !told.is_empty())
}

/// Whether contestants get traffic by a document, now or soon.
fn is_played(control: &Control) -> bool {
    matches!(control.state, State::Armed | State::Running | State::Paused)
}

fn endpoint<'a>(control: &'a Control, name: &str) -> Option<&'a Endpoint> {
    control.contest.contestants.iter().find(|one| one.name == name).map(|one| &one.endpoint)
}

/// In JSON: what it is written and read as everywhere else.
mod as_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<T: Display, S: Serializer>(it: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(it)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The document after an urgent change. A start that could not be saved yet does not keep a round from being paused, or ended.
pub(super) fn urgently(control: &Control, urgent: &Change, now: UtcUs) -> Result<Control, Refusal> {
    let has_begun = control.timeline.start_at.is_some_and(|start| start <= now);
    if matches!(urgent, Change::Pause | Change::Stop) && control.state == State::Armed && has_begun {
        let begun = lifecycle::change(control, Change::Begin, now)?;
        return lifecycle::change(&begun, urgent.clone(), now);
    }
    lifecycle::change(control, urgent.clone(), now)
}

/// Why stops of ours that are due upon somebody else's document cannot be put upon it yet.
pub(super) fn refusals(ours: &Control, untold: &[Stop], found: &Control, now: UtcUs) -> Vec<Refusal> {
    let due = untold.iter().filter(|stop| stop.is_due(ours, found));
    due.filter_map(|stop| urgently(found, &stop.change(ours, found)?, now).err()).collect()
}

/// Somebody else's document with what was stopped in ours while nobody could be told: `untold`. Above both, so that generators
/// apply it. None: it stops as much already, ours does not any more, or its lifecycle refuses that now.
pub(super) fn stopped_as(ours: &Control, untold: &[Stop], found: &Control, now: UtcUs) -> Option<Control> {
    let mut stopped: Option<Control> = None;
    for stop in untold {
        let upon = stopped.as_ref().unwrap_or(found);
        if !stop.is_due(ours, upon) {
            continue;
        }
        let next = stop.change(ours, upon).and_then(|change| urgently(upon, &change, now).ok());
        stopped = next.or(stopped);
    }
    stopped.map(|stopped| Control { revision: stopped.revision.max(ours.revision.saturating_add(1)), ..stopped })
}

/// Whether a document is another one with all traffic stopped, by a later revision, and nothing else.
pub(super) fn is_stop_of(ours: &Control, found: &Control) -> bool {
    let stopped = || Control { halted: true, revision: found.revision, ..ours.clone() };
    found.halted && found.revision > ours.revision && *found == stopped()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;
    use flowtest_contest::policy::ENTRIES_MAX;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);
    const ROUND: RoundId = RoundId::from_bits(7);

    fn made(control: &Control, changes: impl IntoIterator<Item = Change>, second: u64) -> Control {
        let now = NOW + second * SECOND;
        let next = |control: Control, change| lifecycle::change(&control, change, now).expect("it is made");
        changes.into_iter().fold(control.clone(), next)
    }

    fn arm(round: RoundId, second: u64) -> Change {
        Change::Arm { round, start_at: NOW + second * SECOND, scored: true, generators: vec!["g1".to_owned()] }
    }

    fn running() -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        );
        let armed = made(&Control::new(contest.expect("a contest")), [arm(ROUND, 10)], 0);
        made(&armed, [Change::Begin], 10)
    }

    fn park() -> Change {
        Change::Park { contestant: "alice".to_owned(), parked: true }
    }

    #[test]
    fn what_is_stopped_is_what_was_not_before() {
        let before = running();
        let stops = |changes: &[Change]| Stop::between(&before, &made(&before, changes.to_vec(), 20));
        let of_all = [Change::Halt { halted: true }, Change::Pause, park()];
        assert_eq!(stops(&of_all), [Stop::Halt, Stop::Pause(ROUND), Stop::Park("alice".to_owned())]);
        assert_eq!(stops(&[Change::Stop]), [Stop::End(ROUND)]);
        assert_eq!(stops(&[Change::Abort]), [Stop::Abort(ROUND)]);
        let stopped = made(&before, of_all, 20);
        assert_eq!(Stop::between(&stopped, &stopped), []);
        assert_eq!(Stop::between(&stopped, &before), []);
    }

    #[test]
    fn a_round_that_was_aborted_and_left_behind_is_aborted_wherever_it_is_played() {
        let theirs = running();
        let left = made(&theirs, [Change::Abort, Change::Draft], 20);
        let next = made(&left, [arm(RoundId::from_bits(8), 40)], 20);
        for ours in [&left, &next] {
            let stopped = stopped_as(ours, &[Stop::Abort(ROUND)], &theirs, NOW + 21 * SECOND).expect("it is due");
            assert_eq!((stopped.state, stopped.round), (State::Aborted, Some(ROUND)));
            assert!(stopped.revision > ours.revision.max(theirs.revision));
            assert_eq!(stopped_as(ours, &[Stop::Abort(ROUND)], &stopped, NOW + 22 * SECOND), None, "once");
        }
        assert_eq!(stopped_as(&theirs, &[Stop::Abort(ROUND)], &theirs, NOW + 21 * SECOND), None, "it was not done");
    }

    #[test]
    fn a_name_that_is_another_account_there_is_not_parked() {
        let theirs = running();
        let mut ours = made(&theirs, [park()], 20);
        let is_due = |ours: &Control| stopped_as(ours, &[Stop::Park("alice".to_owned())], &theirs, NOW).is_some();
        assert!(is_due(&ours));
        ours.ids.insert("alice".to_owned(), "2".to_owned());
        assert!(!is_due(&ours));
    }

    #[test]
    fn what_is_closed_here_is_closed_there_and_nothing_else_is_changed() {
        let mut theirs = running();
        let of = |allow: &[&str], deny: &[&str]| Policy {
            allow: allow.iter().map(|text| text.parse().expect("a network")).collect(),
            deny: deny.iter().map(|text| text.parse().expect("an entry")).collect(),
            ..Policy::default()
        };
        let ours = made(&theirs, [Change::Policy(of(&["10.0.0.0/9"], &["10.0.9.0/24"]))], 20);
        let stops = Stop::between(&theirs, &ours);
        assert_eq!(message(&stops, &ours).as_deref(), Some("10.0.9.0/24 was denied, 10.0.0.0/8 was closed"));
        // What they have opened and closed since is theirs.
        theirs = made(&theirs, [Change::Policy(of(&["10.0.0.0/8", "fd00::/8"], &["10.0.7.0/24"]))], 21);
        let stopped = stopped_as(&ours, &stops, &theirs, NOW + 22 * SECOND).expect("it is due");
        assert_eq!(stopped.contest.policy, of(&["10.0.0.0/9", "fd00::/8"], &["10.0.7.0/24", "10.0.9.0/24"]));
        assert_eq!(stopped_as(&ours, &stops, &stopped, NOW + 22 * SECOND), None, "once");
        let again = made(&ours, [Change::Policy(of(&["10.0.0.0/8"], &[]))], 23);
        assert_eq!((message(&stops, &again), stopped_as(&again, &stops, &theirs, NOW)), (None, None), "open again");
        let full = made(&theirs, [Change::Policy(of(&["10.0.0.0/9"], &["10.0.7.0/24"; ENTRIES_MAX]))], 21);
        assert_eq!(stopped_as(&ours, &stops, &full, NOW), None, "nobody could read one entry more");
        assert_eq!(refusals(&ours, &stops, &full, NOW), [Refusal::Entries("deny")], "and that is told");
    }

    #[test]
    fn a_network_is_closed_by_what_entries_cover_and_not_by_their_text() {
        let of = |allow: &[&str]| Policy {
            allow: allow.iter().map(|text| text.parse().expect("a network")).collect(),
            ..Policy::default()
        };
        let with = |allow: &[&str]| made(&running(), [Change::Policy(of(allow))], 20);
        // What is opened wider is closed nowhere.
        let (narrow, wide) = (with(&["10.0.0.0/9"]), with(&["10.0.0.0/8"]));
        assert_eq!(Stop::between(&narrow, &wide), []);
        assert_eq!(Stop::between(&with(&["10.0.0.0/24", "10.0.1.0/24"]), &with(&["10.0.0.0/16"])), []);
        let stops = Stop::between(&wide, &narrow);
        assert_eq!(message(&stops, &narrow).as_deref(), Some("10.0.0.0/8 was closed"));
        assert_eq!(message(&stops, &with(&["8.0.0.0/5"])), None, "it is open again, within a wider one");
        // Ours, then theirs, and what becomes of that where a network was closed here.
        type Networks = &'static [&'static str];
        let cases: &[(&str, Networks, Networks, Networks)] = &[
            // They have opened it wider meanwhile: the rest of that is theirs.
            ("10.0.0.0/9", &[], &["10.0.0.0/8"], &["10.128.0.0/9"]),
            ("10.0.0.0/9", &["10.0.0.0/10"], &["10.0.0.0/8"], &["10.128.0.0/9", "10.0.0.0/10"]),
            // They have opened parts of it, of which ours opens one.
            ("10.0.0.0/8", &["10.0.0.0/9"], &["10.1.0.0/16", "10.200.0.0/16"], &["10.1.0.0/16"]),
            ("10.0.0.0/8", &["10.0.0.0/9", "10.0.0.0/10"], &["10.0.0.0/8"], &["10.0.0.0/9", "10.0.0.0/10"]),
            // What opens nothing of loopback, and would by its halves.
            ("127.0.0.0/9", &[], &["126.0.0.0/7"], &["126.0.0.0/7"]),
            ("126.0.0.0/8", &[], &["126.0.0.0/7"], &[]),
            ("fd00::/8", &[], &["fc00::/7", "10.0.0.0/8"], &["fc00::/8", "10.0.0.0/8"]),
        ];
        for (closed, ours, theirs, becomes) in cases {
            let stops = [Stop::Disallow(closed.parse().expect("a network"))];
            let (ours, found) = (with(ours), with(theirs));
            let stopped = stopped_as(&ours, &stops, &found, NOW + 21 * SECOND);
            let is_due = theirs != becomes;
            assert_eq!(stopped.is_some(), is_due, "{closed}");
            let stopped = stopped.unwrap_or(found);
            assert_eq!(stopped.contest.policy, of(becomes), "{closed}");
            assert_eq!(stopped_as(&ours, &stops, &stopped, NOW + 22 * SECOND), None, "{closed}: once");
        }
    }

    #[test]
    fn a_server_that_was_left_gets_nothing_from_others_either() {
        let theirs = running();
        let to = |endpoint: &str| Change::Endpoint {
            contestant: "alice".to_owned(),
            endpoint: endpoint.parse().expect("an endpoint"),
        };
        let ours = made(&theirs, [to("10.0.0.2"), to("10.0.0.3")], 20);
        let stops = Stop::between(&theirs, &ours);
        let stopped = stopped_as(&ours, &stops, &theirs, NOW + 21 * SECOND).expect("it is due");
        assert_eq!(stopped.contest.contestants, ours.contest.contestants);
        // Where they have moved it meanwhile it stays.
        let elsewhere = made(&theirs, [to("10.0.0.4")], 21);
        assert_eq!(stopped_as(&ours, &stops, &elsewhere, NOW + 21 * SECOND), None);
        // A draft sends nothing anywhere.
        let left = |control: &Control| made(control, [Change::Abort, Change::Draft], 21);
        assert_eq!(Stop::between(&left(&theirs), &left(&ours)), []);
        assert_eq!(message(&stops, &left(&ours)), None);
    }

    #[test]
    fn the_database_has_them_in_these_words() {
        let left =
            Stop::Leave { contestant: "alice".to_owned(), endpoint: "10.0.0.1:81".parse().expect("an endpoint") };
        let all = [
            Stop::Halt,
            Stop::Pause(ROUND),
            Stop::End(ROUND),
            Stop::Abort(ROUND),
            Stop::Park("alice".to_owned()),
            Stop::Deny("10.0.0.7:80".parse().expect("an entry")),
            Stop::Disallow("10.0.0.0/8".parse().expect("a network")),
            left,
        ];
        let text = r#"["halt",{"pause":"ID"},{"end":"ID"},{"abort":"ID"},{"park":"alice"},{"deny":"10.0.0.7:80"},"#
            .to_owned()
            + r#"{"disallow":"10.0.0.0/8"},{"leave":{"contestant":"alice","endpoint":"http://10.0.0.1:81/"}}]"#;
        let text = text.replace("ID", &ROUND.to_string());
        assert_eq!(serde_json::to_string(&all).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Vec<Stop>>(&text).expect("stops"), all);
    }
}
