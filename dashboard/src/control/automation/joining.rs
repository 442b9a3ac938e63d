//! Who comes while a round is armed or being played: its endpoint is asked until it has given three right answers in a row,
//! and then it joins at one instant that lies some seconds ahead on all generators. Each of them asks it again for itself.
//! Who names nothing but servers where others play, and have had them longer, does not join: it would be refused there, and
//! charged for what falls due.

use super::Automation;
use crate::control::error::ChangeError;
use crate::control::instant;
use crate::control::readiness::is_heard;
use crate::control::requests::draw_id;
use crate::control::roster::{Roster, id_of};
use flowtest_accounts::{Actor, UserId};
use flowtest_contest::endpoint::Host;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::names::HOUSE;
use flowtest_contest::timeline::LEAD_US;
use flowtest_contest::{Control, Endpoint, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Named, Prepared, ProbeAnswer, ProbeRequest};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// After so long generators have said where somebody plays who was let in.
const LET_IN_US: u64 = 30_000_000;
/// Right answers in a row that let a contestant in.
pub const ANSWERS: u8 = 3;
/// After a wrong one it is asked again so much later, in microseconds.
const AGAIN_US: u64 = 5_000_000;
/// A question without an answer is given up after so long, in microseconds.
const ANSWER_US: u64 = 10_000_000;
/// Who was refused is tried again so much later, in microseconds: somebody may have to change something first.
const REFUSED_US: u64 = 30_000_000;
/// From letting one in to its instant, in microseconds: what the lifecycle wants, and time to save the document.
const JOIN_US: u64 = LEAD_US + 1_000_000;
/// Behind whoever is known to have had an address.
const NOBODY_KNOWS: UtcUs = UtcUs(u64::MAX);
/// Contestants that are asked at once at most.
const ASKED_MAX: usize = 32;

/// How far a contestant is that wants to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub name: String,
    pub endpoint: Endpoint,
    /// Right answers in a row so far.
    pub right: u8,
    /// What was wrong with the last one.
    pub trouble: Option<String>,
    /// Where its last answers came from.
    addresses: Vec<SocketAddr>,
    asked: Option<(String, UtcUs)>,
    again_at: UtcUs,
}

/// Everybody who wants to join. Nothing in it is needed after a restart.
#[derive(Clone, Debug, Default)]
pub struct Joining {
    /// By lasting id.
    newcomers: BTreeMap<String, Newcomer>,
    round: Option<RoundId>,
    /// Where those are who were let in in this round, and when: generators say it of them some seconds later.
    let_in: Vec<(SocketAddr, UtcUs)>,
}

impl Joining {
    /// Who is not in the round and could be. Whoever has moved begins anew.
    fn follow(&mut self, control: &Control, roster: &Roster) {
        if self.round != control.round {
            (self.round, self.let_in) = (control.round, Vec::new());
        }
        let is_on = matches!(control.state, State::Armed | State::Running | State::Paused) && !control.halted;
        let plays = |name: &str, id: &String| {
            control.contest.contestants.iter().any(|one| one.name == name)
                || control.ids.values().any(|other| other == id)
        };
        let coming = roster.contestants.iter().filter_map(|one| {
            let id = roster.ids.get(&one.name)?;
            (is_on && !plays(&one.name, id)).then(|| (id.clone(), one.clone()))
        });
        let mut before = std::mem::take(&mut self.newcomers);
        self.newcomers = coming
            .map(|(id, one)| {
                let known = before.remove(&id).filter(|known| known.endpoint == one.endpoint && known.name == one.name);
                let (name, endpoint) = (one.name, one.endpoint);
                let new = Newcomer {
                    name,
                    endpoint,
                    right: 0,
                    trouble: None,
                    addresses: Vec::new(),
                    asked: None,
                    again_at: UtcUs::EPOCH,
                };
                (id, known.unwrap_or(new))
            })
            .collect();
    }

    /// Questions without an answer, those that are given up left out.
    fn open(&mut self, now: UtcUs) -> Vec<String> {
        for newcomer in self.newcomers.values_mut() {
            if newcomer.asked.take_if(|(_, at)| now.saturating_since(*at) > ANSWER_US).is_some() {
                newcomer.right = 0;
                newcomer.trouble = Some("no generator has asked it yet".to_owned());
            }
        }
        self.newcomers.values().filter_map(|newcomer| Some(newcomer.asked.as_ref()?.0.clone())).collect()
    }

    fn on_answer(&mut self, answer: &ProbeAnswer, now: UtcUs) {
        let is_its = |newcomer: &&mut Newcomer| newcomer.asked.as_ref().is_some_and(|(id, _)| *id == answer.id);
        let Some(newcomer) = self.newcomers.values_mut().find(is_its) else { return };
        newcomer.asked = None;
        if answer.is_verified() {
            (newcomer.right, newcomer.trouble) = (newcomer.right.saturating_add(1), None);
            newcomer.addresses = answer.answered_at();
        } else if answer.not_made {
            // For a reason of ours: it has answered nothing wrong.
            newcomer.again_at = now.saturating_add(AGAIN_US);
        } else {
            (newcomer.right, newcomer.trouble) = (0, Some(answer.clone().for_contestant().message));
            newcomer.again_at = now.saturating_add(AGAIN_US);
        }
    }

    /// Whom to ask now.
    fn to_ask(&self, now: UtcUs) -> Vec<String> {
        let under_way = self.newcomers.values().filter(|newcomer| newcomer.asked.is_some()).count();
        let may =
            |newcomer: &Newcomer| newcomer.asked.is_none() && newcomer.right < ANSWERS && newcomer.again_at <= now;
        let waiting = self.newcomers.iter().filter(|(_, newcomer)| may(newcomer));
        waiting.map(|(id, _)| id.clone()).take(ASKED_MAX.saturating_sub(under_way)).collect()
    }

    /// Who may come in, in the order in which they named their servers.
    fn ready(&self, roster: &Roster) -> Vec<(String, Newcomer)> {
        let ready = self.newcomers.iter().filter(|(_, newcomer)| newcomer.right >= ANSWERS);
        let mut ready: Vec<_> = ready.map(|(id, newcomer)| (id.clone(), newcomer.clone())).collect();
        ready.sort_by_key(|(_, newcomer)| roster.since.get(&newcomer.name).copied().unwrap_or(UtcUs::EPOCH));
        ready
    }

    /// Whether it has an address where nobody else plays who has had it longer. One of which that is not known may have.
    fn has_place(&self, newcomer: &Newcomer, typed_at: UtcUs, taken: &Taken, now: UtcUs) -> bool {
        let is_let_in = |address: &SocketAddr| {
            let mut theirs = self.let_in.iter().filter(|(other, _)| other == address);
            theirs.any(|(_, at)| now.saturating_since(*at) < LET_IN_US)
        };
        let is_its = |address: SocketAddr| {
            let since = taken.since(&newcomer.name, &newcomer.endpoint, typed_at, address);
            taken.held_since.get(&address).is_none_or(|theirs| since < *theirs)
        };
        let is_free = |address: &SocketAddr| is_its(*address) && !is_let_in(address);
        newcomer.addresses.is_empty() || newcomer.addresses.iter().any(is_free)
    }

    /// Asked again: whoever plays there may move.
    fn has_no_place(&mut self, id: &str, now: UtcUs) {
        let Some(newcomer) = self.newcomers.get_mut(id) else { return };
        (newcomer.right, newcomer.again_at) = (0, now.saturating_add(AGAIN_US));
        newcomer.trouble = Some(
            "another contestant plays with the server that your endpoint leads to, and you would get nothing there: give your \
             own server; if it is yours, tell the organisers"
                .to_owned(),
        );
    }

    fn refused(&mut self, id: &str, now: UtcUs) {
        let Some(newcomer) = self.newcomers.get_mut(id) else { return };
        (newcomer.right, newcomer.again_at) = (0, now.saturating_add(REFUSED_US));
        newcomer.trouble = Some("it answers right and finds no place in this round: ask the organisers".to_owned());
    }
}

/// Where others play, and since when whose name has led where.
#[derive(Debug, Default)]
struct Taken {
    /// Since when who plays at an address has had it.
    held_since: BTreeMap<SocketAddr, UtcUs>,
    named: HashMap<Named, UtcUs>,
}

impl Taken {
    /// Since when somebody has had an address that it names.
    fn since(&self, name: &str, endpoint: &Endpoint, typed_at: UtcUs, address: SocketAddr) -> UtcUs {
        match endpoint.host {
            Host::Name(_) if name != HOUSE => {
                let seen = self.named.get(&Named::new(name, endpoint, address));
                seen.map_or(NOBODY_KNOWS, |seen| typed_at.max(*seen))
            }
            Host::Name(_) | Host::V4(_) | Host::V6(_) => typed_at,
        }
    }
}

/// Where those play who are in the round, as generators said it last.
fn playing<'a>(
    control: &'a Control,
    prepared: &BTreeMap<String, Prepared>,
) -> Vec<(&'a str, &'a Endpoint, Vec<SocketAddr>)> {
    let playing = control.contest.contestants.iter().filter_map(|one| {
        let found = prepared.get(control.ids.get(&one.name).unwrap_or(&one.name))?;
        let is_there = found.ready && found.endpoint == one.endpoint.to_string();
        is_there.then(|| (one.name.as_str(), &one.endpoint, found.plays_at().collect()))
    });
    playing.collect()
}

/// When somebody plays from who is let in now.
fn joins_at(control: &Control, now: UtcUs) -> UtcUs {
    let timeline = &control.timeline;
    let last = timeline.joins.last().map(|join| join.at);
    now.saturating_add(JOIN_US).max(timeline.start_at.unwrap_or(UtcUs::EPOCH)).max(last.unwrap_or(UtcUs::EPOCH))
}

impl Automation {
    /// How far somebody is who wants to join the round that is on.
    pub fn newcomer(&self, user: UserId) -> Option<Newcomer> {
        self.joining.lock().newcomers.get(&id_of(user.0)).cloned()
    }

    /// Asks those who come while a round is on, and lets them in.
    pub(super) async fn let_join(&self, now: UtcUs) -> Result<(), ChangeError> {
        let Some(control) = self.document.control() else { return Ok(()) };
        // While somebody else steers, nothing is done on top of it.
        if self.document.published().conflict.is_some() {
            return Ok(());
        }
        let open = {
            let mut joining = self.joining.lock();
            joining.follow(&control, &self.document.roster());
            if joining.newcomers.is_empty() {
                return Ok(());
            }
            joining.open(now)
        };
        // Redis may be away; the next turn asks again.
        let answers = self.requests.read_probes(open).await.unwrap_or_default();
        for (_, answer) in &answers {
            self.joining.lock().on_answer(answer, now);
        }
        let has_generators = self.seen().generators.iter().any(|seen| is_heard(seen, now));
        let to_ask = if has_generators { self.joining.lock().to_ask(now) } else { Vec::new() };
        for id in to_ask {
            self.ask(&id, now).await?;
        }
        let ready = self.joining.lock().ready(&self.document.roster());
        if ready.is_empty() {
            return Ok(());
        }
        let taken = self.taken(&control, &ready).await;
        let since = self.document.roster().since.clone();
        for (id, newcomer) in ready {
            // What nobody knows the instant of was named just now.
            let typed_at = since.get(&newcomer.name).copied().unwrap_or(now);
            let has_place = self.joining.lock().has_place(&newcomer, typed_at, &taken, now);
            if has_place {
                self.let_in(id, newcomer, typed_at, now).await?;
            } else {
                self.joining.lock().has_no_place(&id, now);
            }
        }
        Ok(())
    }

    /// Where others play. Nowhere, where one server may be several's or says itself whose it is, and where Redis does not say:
    /// then each generator decides alone.
    async fn taken(&self, control: &Control, ready: &[(String, Newcomer)]) -> Taken {
        if control.contest.policy.may_name_one_server() {
            return Taken::default();
        }
        let contest = self.document.contest().to_owned();
        let prepared = self.link.call(move |scoreboard| scoreboard.read_prepared(&contest)).await.unwrap_or_default();
        let playing = playing(control, &prepared);
        let theirs = playing.iter().map(|(name, endpoint, addresses)| (*name, *endpoint, addresses));
        let come = ready.iter().map(|(_, newcomer)| (newcomer.name.as_str(), &newcomer.endpoint, &newcomer.addresses));
        let named: Vec<Named> = theirs
            .chain(come)
            .filter(|(_, endpoint, _)| matches!(endpoint.host, Host::Name(_)))
            .flat_map(|(name, endpoint, addresses)| {
                addresses.iter().map(|address| Named::new(name, endpoint, *address))
            })
            .collect();
        let (contest, asked) = (self.document.contest().to_owned(), named.clone());
        let since = self.link.call(move |scoreboard| scoreboard.named_since(&contest, &asked)).await;
        let known = named.into_iter().zip(since.unwrap_or_default()).filter_map(|(named, at)| Some((named, at?)));
        let mut taken = Taken { held_since: BTreeMap::new(), named: known.collect() };
        for (name, endpoint, addresses) in playing {
            let typed_at = control.since.get(name).copied().unwrap_or(UtcUs::EPOCH);
            // The house before all.
            let typed_at = if name == HOUSE { UtcUs::EPOCH } else { typed_at };
            for address in addresses {
                let since = taken.since(name, endpoint, typed_at, address);
                let held = taken.held_since.entry(address).or_insert(since);
                *held = since.min(*held);
            }
        }
        taken
    }

    async fn ask(&self, newcomer: &str, now: UtcUs) -> Result<(), ChangeError> {
        let id = draw_id()?;
        let deadlines = self.document.deadlines(now);
        let request = {
            let mut joining = self.joining.lock();
            let Some(newcomer) = joining.newcomers.get_mut(newcomer) else { return Ok(()) };
            newcomer.asked = Some((id.clone(), now));
            let (contestant, endpoint) = (newcomer.name.clone(), newcomer.endpoint.to_string());
            ProbeRequest { id, at: now, contestant, endpoint, automatic: true, deadlines: Some(deadlines) }
        };
        // What Redis does not take has no answer, and is asked again.
        let _ = self.requests.put_probes(vec![request]).await;
        Ok(())
    }

    async fn let_in(&self, id: String, newcomer: Newcomer, since: UtcUs, now: UtcUs) -> Result<(), ChangeError> {
        let edit = self.document.edit().await;
        let Some(control) = edit.control().filter(|_| self.document.published().conflict.is_none()) else {
            return Ok(());
        };
        let (at, contestant) = (joins_at(&control, now), newcomer.name);
        let what = format!("{contestant} joins the round, from {} on.", instant::rfc3339(at));
        let change = Change::Join { contestant, id: Some(id.clone()), endpoint: newcomer.endpoint, since, at };
        match edit.change_by_itself(change, &what, &Actor::program(), now).await {
            Ok(_) => {
                tracing::info!("{what}");
                if !control.contest.policy.may_name_one_server() {
                    self.joining.lock().let_in.extend(newcomer.addresses.into_iter().map(|address| (address, now)));
                }
            }
            Err(ChangeError::Refused(refusal)) => {
                tracing::warn!(%refusal, "a contestant does not join the round");
                self.joining.lock().refused(&id, now);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::roster::Candidate;
    use crate::control::settings::Settings;
    use flowtest_contest::Contest;
    use flowtest_contest::lifecycle::change;
    use flowtest_scoreboard::ProbeVerdicts;
    use flowtest_testkit::documents::{RIGHT, probe_answer};

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);

    fn roster(people: &[(i64, &str, &str)]) -> Roster {
        let mut settings = Settings::default();
        settings.policy.allow = vec!["10.0.0.0/8".parse().expect("a network")];
        let candidates: Vec<Candidate> = people
            .iter()
            .map(|(user, name, endpoint)| Candidate {
                user: *user,
                name: (*name).to_owned(),
                endpoint: Some((*endpoint).to_owned()),
                since: NOW,
            })
            .collect();
        Roster::of(&candidates, &settings)
    }

    fn armed() -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        )
        .expect("a contest");
        let mut draft = Control::new(contest);
        draft.ids = [("alice".to_owned(), "u1".to_owned())].into();
        let generators = vec!["g1".to_owned()];
        let arm = Change::Arm { round: RoundId::from_bits(7), start_at: NOW + 10 * SECOND, scored: true, generators };
        change(&draft, arm, NOW).expect("armed")
    }

    /// Asks zoe, who answers so.
    fn ask(joining: &mut Joining, now: UtcUs, right: bool) {
        assert_eq!(joining.to_ask(now), ["u9"]);
        joining.newcomers.get_mut("u9").expect("she comes").asked = Some((format!("p{}", now.0), now));
        let verdicts = ProbeVerdicts { token: right, ..RIGHT };
        let answer = probe_answer(&format!("p{}", now.0), "10.0.0.9", now, verdicts);
        let answer = ProbeAnswer { message: "Token is wrong".to_owned(), ..answer };
        joining.on_answer(&answer, now);
    }

    #[test]
    fn three_right_answers_in_a_row_let_a_contestant_in_that_does_not_play_yet() {
        let (control, roster) = (armed(), roster(&[(1, "alice", "10.0.0.1"), (9, "zoe", "10.0.0.9")]));
        let mut joining = Joining::default();
        joining.follow(&control, &roster);
        ask(&mut joining, NOW, true);
        ask(&mut joining, NOW + 1, true);
        ask(&mut joining, NOW + 2, false);
        assert!(joining.to_ask(NOW + 3).is_empty(), "not before she could have mended it");
        assert_eq!(joining.newcomers["u9"].trouble.as_deref(), Some("Token is wrong"));
        for (count, second) in [(1, 6), (2, 7), (3, 8)] {
            assert!(joining.ready(&roster).is_empty());
            ask(&mut joining, NOW + second * SECOND, true);
            assert_eq!(joining.newcomers["u9"].right, count);
        }
        let (id, zoe) = joining.ready(&roster).pop().expect("she may come");
        let at = joins_at(&control, NOW + 8 * SECOND);
        assert_eq!(at, NOW + 8 * SECOND + JOIN_US);
        let join = Change::Join { contestant: zoe.name, id: Some(id), endpoint: zoe.endpoint, since: NOW, at };
        let control = change(&control, join, NOW + 8 * SECOND).expect("she joins");
        joining.follow(&control, &roster);
        assert!(joining.newcomers.is_empty(), "she plays");
    }

    #[test]
    fn who_names_a_server_where_another_plays_does_not_join() {
        let mut control = armed();
        let prepared = |admitted: &[&str], endpoint: &str| Prepared {
            at: NOW,
            generator: "g1".to_owned(),
            ready: !admitted.is_empty(),
            verdicts: None,
            message: String::new(),
            endpoint: endpoint.to_owned(),
            addresses: vec!["10.0.0.7:80".to_owned()],
            admitted: admitted.iter().map(|&address| address.to_owned()).collect(),
        };
        let alices = |prepared: Prepared| [("u1".to_owned(), prepared)].into();
        let http = "http://10.0.0.1/";
        assert_eq!(control.contest.contestants[0].endpoint.to_string(), http);
        let taken_by = |control: &Control, prepared| -> Vec<SocketAddr> {
            playing(control, &alices(prepared)).into_iter().flat_map(|(.., addresses)| addresses).collect()
        };
        let here: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        assert_eq!(taken_by(&control, prepared(&["[::ffff:10.0.0.1]:80"], http)), [here]);
        // Where her name leads and she does not play is nobody's, nor is where she was before she moved.
        assert!(taken_by(&control, prepared(&[], http)).is_empty());
        assert!(taken_by(&control, prepared(&["10.0.0.1:80"], "http://10.0.0.2/")).is_empty());
        let (mut joining, roster) = (Joining::default(), roster(&[(9, "zoe", "zoe.test")]));
        joining.follow(&control, &roster);
        let come = |joining: &mut Joining, addresses: &[&str]| {
            for turn in 0..u64::from(ANSWERS) {
                let id = format!("p{turn}");
                joining.newcomers.get_mut("u9").expect("she comes").asked = Some((id.clone(), NOW));
                let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
                joining.on_answer(&ProbeAnswer { addresses, ..probe_answer(&id, "zoe.test", NOW, RIGHT) }, NOW);
            }
            joining.ready(&roster).pop().expect("three right answers").1
        };
        let named = |name: &str, host: &str, at: u64| {
            (Named::new(name, &host.parse().expect("an endpoint"), here), NOW + at * SECOND)
        };
        // She has been there for ten seconds.
        let taken_since = |named: &[(Named, UtcUs)]| Taken {
            held_since: [(here, NOW + 10 * SECOND)].into(),
            named: named.iter().cloned().collect(),
        };
        let (taken, nobody) = (taken_since(&[]), Taken::default());
        let zoe = come(&mut joining, &["10.0.0.1:80"]);
        assert!(!joining.has_place(&zoe, NOW, &taken, NOW), "nobody knows since when her name leads there");
        let later = taken_since(&[named("zoe", "zoe.test", 11)]);
        assert!(!joining.has_place(&zoe, NOW, &later, NOW), "it was pointed there later");
        let before = taken_since(&[named("zoe", "zoe.test", 9)]);
        assert!(joining.has_place(&zoe, NOW, &before, NOW), "it is a rival's name that was pointed at hers");
        assert!(!joining.has_place(&zoe, NOW + 12 * SECOND, &before, NOW), "she has typed it since");
        let typed = Newcomer { endpoint: "10.0.0.1".parse().expect("an endpoint"), ..zoe.clone() };
        assert!(joining.has_place(&typed, NOW + 9 * SECOND, &taken, NOW));
        assert!(!joining.has_place(&typed, NOW + 10 * SECOND, &taken, NOW), "who plays there keeps it");
        joining.has_no_place("u9", NOW);
        let trouble = joining.newcomers["u9"].trouble.clone().expect("it is told");
        assert!(trouble.contains("another contestant plays") && !trouble.contains("alice"), "{trouble}");
        assert!(joining.ready(&roster).is_empty() && joining.to_ask(NOW + AGAIN_US) == ["u9"]);
        // One address of her own is enough.
        let zoe = come(&mut joining, &["10.0.0.1:80", "10.0.0.9:80"]);
        assert!(joining.has_place(&zoe, NOW, &taken, NOW));
        // And where somebody was let in a moment ago is no place either.
        joining.let_in = zoe.addresses.iter().map(|address| (*address, NOW)).collect();
        assert!(!joining.has_place(&zoe, NOW, &nobody, NOW));
        assert!(joining.has_place(&zoe, NOW, &nobody, NOW + LET_IN_US), "by then generators say who plays there");
        control.round = Some(RoundId::from_bits(8));
        joining.follow(&control, &roster);
        assert!(joining.has_place(&zoe, NOW, &nobody, NOW), "in another round it is free");
    }

    #[test]
    fn who_moves_begins_anew_and_nobody_is_asked_without_a_round() {
        let control = armed();
        let mut joining = Joining::default();
        joining.follow(&control, &roster(&[(9, "zoe", "10.0.0.9")]));
        ask(&mut joining, NOW, true);
        joining.follow(&control, &roster(&[(9, "zoe", "10.0.0.8")]));
        assert_eq!(joining.newcomers["u9"].right, 0);
        for state in [State::Draft, State::Draining, State::Sealed, State::Aborted] {
            joining.follow(&Control { state, ..control.clone() }, &roster(&[(9, "zoe", "10.0.0.8")]));
            assert!(joining.newcomers.is_empty(), "{state}");
        }
        joining.follow(&Control { halted: true, ..control }, &roster(&[(9, "zoe", "10.0.0.8")]));
        assert!(joining.newcomers.is_empty(), "all traffic is stopped");
    }

    #[test]
    fn a_question_that_no_generator_takes_is_asked_again() {
        let mut joining = Joining::default();
        joining.follow(&armed(), &roster(&[(9, "zoe", "10.0.0.9")]));
        joining.newcomers.get_mut("u9").expect("she comes").asked = Some(("p1".to_owned(), NOW));
        assert_eq!(joining.open(NOW + ANSWER_US), ["p1"]);
        assert!(joining.open(NOW + ANSWER_US + 1).is_empty());
        assert_eq!(joining.to_ask(NOW + ANSWER_US + 1), ["u9"]);
    }
}
