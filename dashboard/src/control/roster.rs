//! Who plays: from accounts and settings to the contestants of the next round.
//!
//! Whoever cannot be in is left out with the reason, so that one contestant's mistake never keeps the others from playing.

use super::settings::Settings;
use flowtest_accounts::UserId;
use flowtest_contest::contest::{CONTESTANTS_MAX, Contestant};
use flowtest_contest::endpoint::Host;
use flowtest_contest::{Contest, Control, Endpoint};
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, HashMap};

/// The platform's own contestant. No account may have this name.
pub use flowtest_contest::names::HOUSE;

/// An account, as far as the roster asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub user: i64,
    pub name: String,
    /// As it was saved; nothing when the contestant has none.
    pub endpoint: Option<String>,
    /// Since when it has it.
    pub since: UtcUs,
}

/// The contestants of the next round, and who cannot be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// In the order of their names, the house last.
    pub contestants: Vec<Contestant>,
    /// The lasting id of each, by name: `u3`, or `house`.
    pub ids: BTreeMap<String, String>,
    /// Since when each has its endpoint, by name. The house has the first place without.
    pub since: BTreeMap<String, UtcUs>,
    pub left_out: Vec<LeftOut>,
}

/// Who has an endpoint and cannot play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Nobody for the house.
    pub user: Option<i64>,
    pub name: String,
    /// The cause and the next step.
    pub reason: String,
}

/// The lasting id of an account in control documents and in Redis.
pub fn id_of(user: i64) -> String {
    format!("u{user}")
}

/// The account behind a lasting id; none behind the house's.
pub fn user_of(id: &str) -> Option<i64> {
    let digits = id.strip_prefix('u')?;
    digits.parse().ok().filter(|user| id_of(*user) == id)
}

/// The account behind a contestant of a document.
pub(super) fn user_in(control: &Control, name: &str) -> Option<UserId> {
    control.ids.get(name).and_then(|id| user_of(id)).map(UserId)
}

impl Roster {
    /// Of candidates who may play: enabled contestants that are not disqualified.
    pub fn of(candidates: &[Candidate], settings: &Settings) -> Roster {
        let mut roster = Roster::default();
        let mut taken: HashMap<(Host, u16), String> = HashMap::new();
        // The house first, so that nobody takes its address; it stands last.
        let house = settings.house.clone().and_then(|endpoint| {
            let judged = settings.policy.judge_endpoint(&endpoint).map_err(|error| error.to_string());
            roster.add(None, HOUSE, &endpoint, judged, settings, &mut taken).then_some(endpoint)
        });
        let mut candidates: Vec<&Candidate> = candidates.iter().collect();
        // Who set it first keeps an address that two have.
        candidates.sort_by_key(|candidate| (candidate.since, candidate.user));
        let mut playing: Vec<Contestant> = Vec::new();
        for candidate in candidates {
            let Some(text) = &candidate.endpoint else { continue };
            let name = candidate.name.as_str();
            let endpoint = match text.parse::<Endpoint>() {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    roster.leave_out(Some(candidate.user), name, error.to_string());
                    continue;
                }
            };
            let judged = if name.eq_ignore_ascii_case(HOUSE) {
                Err(format!("{name:?} is the name of the platform's own server: rename the account"))
            } else if playing.len() + 1 >= CONTESTANTS_MAX {
                Err(format!("a contest has at most {CONTESTANTS_MAX} contestants: split it"))
            } else {
                settings.policy.judge_endpoint(&endpoint).map_err(|error| error.to_string())
            };
            if roster.add(Some(candidate.user), name, &endpoint, judged, settings, &mut taken) {
                roster.since.insert(name.to_owned(), candidate.since);
                playing.push(Contestant { name: name.to_owned(), endpoint });
            }
        }
        playing.sort_by(|a, b| a.name.cmp(&b.name));
        playing.extend(house.map(|endpoint| Contestant { name: HOUSE.to_owned(), endpoint }));
        roster.contestants = playing;
        roster
    }

    fn add(
        &mut self,
        user: Option<i64>,
        name: &str,
        endpoint: &Endpoint,
        judged: Result<(), String>,
        settings: &Settings,
        taken: &mut HashMap<(Host, u16), String>,
    ) -> bool {
        let server = endpoint.server();
        let judged = judged.and_then(|()| match taken.get(&server) {
            Some(other) if !settings.policy.may_name_one_server() => {
                Err(format!("{other:?} has the same host and port: give each contestant its own server"))
            }
            _ => Ok(()),
        });
        match judged {
            Ok(()) => {
                taken.entry(server).or_insert_with(|| name.to_owned());
                self.ids.insert(name.to_owned(), user.map_or_else(|| HOUSE.to_owned(), id_of));
                true
            }
            Err(reason) => {
                self.leave_out(user, name, reason);
                false
            }
        }
    }

    fn leave_out(&mut self, user: Option<i64>, name: &str, reason: String) {
        self.left_out.push(LeftOut { user, name: name.to_owned(), reason });
    }

    /// The contest of this roster. `None` while nobody can play.
    pub fn contest(&self, name: &str, settings: &Settings) -> Option<Contest> {
        (!self.contestants.is_empty()).then(|| settings.contest(name, self.contestants.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::settings::plan;
    use proptest::prelude::*;

    fn candidate(user: i64, name: &str, endpoint: Option<&str>) -> Candidate {
        Candidate { user, name: name.to_owned(), endpoint: endpoint.map(str::to_owned), since: UtcUs(user as u64) }
    }

    fn settings() -> Settings {
        let mut settings = Settings { house: Some("10.0.0.9".parse().expect("an endpoint")), ..Settings::default() };
        settings.policy.allow = vec!["10.0.0.0/8".parse().expect("a network")];
        settings
    }

    #[test]
    fn who_has_an_endpoint_plays_and_the_house_stands_last() {
        let candidates = [
            candidate(3, "zoe", Some("10.0.0.3")),
            candidate(1, "alice", Some("10.0.0.1:8080/shop")),
            candidate(2, "bob", None),
        ];
        let roster = Roster::of(&candidates, &settings());
        let names: Vec<&str> = roster.contestants.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["alice", "zoe", "house"]);
        assert_eq!(roster.ids["zoe"], "u3");
        assert_eq!(roster.ids["house"], "house");
        assert_eq!(roster.left_out, []);
    }

    #[test]
    fn who_cannot_play_is_left_out_with_the_reason_and_the_others_play() {
        let candidates = [
            candidate(1, "alice", Some("10.0.0.1")),
            candidate(2, "bob", Some("10.0.0.1/other-path")), // the same server
            candidate(3, "carol", Some("192.168.0.1")),       // outside the policy
            candidate(4, "dave", Some("http://")),            // no endpoint any more
            candidate(5, "eve", Some("10.0.0.9")),            // the house's server
            candidate(6, "House", Some("10.0.0.6")),          // the house's name
        ];
        let roster = Roster::of(&candidates, &settings());
        let names: Vec<&str> = roster.contestants.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["alice", "house"]);
        let left: Vec<&str> = roster.left_out.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(left, ["bob", "carol", "dave", "eve", "House"]);
        assert!(roster.left_out[0].reason.contains("\"alice\""), "{}", roster.left_out[0].reason);
    }

    #[test]
    fn who_set_an_address_first_keeps_it_and_not_who_registered_first() {
        let late = Candidate { since: UtcUs(9), ..candidate(1, "alice", Some("10.0.0.1")) };
        let candidates = [late, candidate(2, "bob", Some("[64:ff9b::10.0.0.1]"))];
        let mut settings = settings();
        settings.policy.allow.push("64:ff9b::/96".parse().expect("a network"));
        let roster = Roster::of(&candidates, &settings);
        let names: Vec<&str> = roster.contestants.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, roster.left_out[0].name.as_str()), (vec!["bob", "house"], "alice"));
        assert_eq!(roster.since, [("bob".to_owned(), UtcUs(2))].into());
    }

    #[test]
    fn nobody_is_no_contest() {
        assert_eq!(Roster::of(&[candidate(1, "alice", None)], &Settings::default()).contest("cup", &settings()), None);
    }

    #[test]
    fn only_our_own_ids_name_accounts() {
        assert_eq!(user_of(&id_of(17)), Some(17));
        for other in ["house", "u", "u-", "u+1", "u01", "17", ""] {
            assert_eq!(user_of(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn every_roster_is_a_valid_contest(
            people in proptest::collection::vec(("[a-zA-Z0-9_-]{3,8}", proptest::option::of("10\\.0\\.0\\.[1-9](:80[0-9]{2})?(/[a-z]{1,3})?|junk junk|127\\.0\\.0\\.1")), 0..12),
            shared: bool,
            fleet_max in proptest::option::of(1_000u64..9_000),
        ) {
            let mut settings = settings();
            settings.policy.allow_shared = shared;
            // Ten may begin to climb, or fewer than play.
            let climb = "[[phase]]\nkind = \"breakpoint\"\nfor = \"5m\"\nstart = 1000\nstep = \"x1.25\"\nhold = \"10s\"\n\
                         pass = { verified = 0.995, p99 = \"250ms\" }\nmax = 20000\n";
            let most = fleet_max.map_or_else(String::new, |most| format!("fleet_max = {most}\n"));
            settings.phases = plan(&format!("{climb}{most}"), settings.rules.timeout_us).expect("a plan");
            let mut names = std::collections::HashSet::new();
            let candidates: Vec<Candidate> = people
                .iter()
                .filter(|(name, _)| names.insert(name.to_lowercase()))
                .enumerate()
                .map(|(index, (name, endpoint))| candidate(index as i64, name, endpoint.as_deref()))
                .collect();
            let roster = Roster::of(&candidates, &settings);
            let contest = roster.contest("cup", &settings).expect("the house plays");
            prop_assert_eq!(Contest::from_json(contest.to_json()), Ok(contest.clone()));
            let read = Control::from_json(&Control::new(contest.clone()).to_json());
            prop_assert_eq!(read.map(|control| control.contest), Ok(contest.clone()));
            let with_endpoint = candidates.iter().filter(|one| one.endpoint.is_some()).count() + 1;
            prop_assert_eq!(roster.contestants.len() + roster.left_out.len(), with_endpoint);
            prop_assert_eq!(roster.ids.len(), contest.contestants.len());
        }
    }
}
