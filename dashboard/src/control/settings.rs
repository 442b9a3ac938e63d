//! What the organiser decides about the contest, beside who plays: title, deadlines, rules, traffic plan, policy, house.
//!
//! It is kept in the database as the contest's own JSON dialect without contestants, because a contest needs at least
//! one and settings exist before the first. Always valid: one parser, the contest's, decides.

use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contest::contest::{Absent, Contestant, DeadlineSpec, Load, Phase, RankBy, Start};
use flowtest_contest::ladder::LadderTerms;
use flowtest_contest::{Contest, ContestError, Endpoint, Policy};
use flowtest_contract::Rules;
use flowtest_contract::text::is_hidden;
use serde_json::{Value, json};
use std::fmt::Write;

/// Characters of a title at most.
pub const TITLE_CHARS_MAX: usize = 80;

/// The settings of a contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What pages call the contest. May be empty.
    pub title: String,
    pub deadlines: DeadlineSpec,
    pub rules: Rules,
    /// What becomes of what is due to contestants that are not ready.
    pub absent: Absent,
    /// What puts one contestant before another, and what a held rate is worth.
    pub rank_by: RankBy,
    pub breakpoint_points: u32,
    /// At least one.
    pub phases: Vec<Phase>,
    pub policy: Policy,
    /// The platform's own server, which plays every round: what it loses, the platform did.
    pub house: Option<Endpoint>,
}

impl Default for Settings {
    /// One gentle minute by the default rules, at public addresses only.
    fn default() -> Settings {
        let phase =
            Phase { duration_us: 60_000_000, load: Load::Open { from: 100, to: 100 }, connections: 64, scored: true };
        Settings {
            title: String::new(),
            deadlines: DeadlineSpec::default(),
            rules: Rules::default(),
            absent: Absent::default(),
            rank_by: RankBy::default(),
            breakpoint_points: 0,
            phases: vec![phase],
            policy: Policy::default(),
            house: None,
        }
    }
}

impl Settings {
    /// The contest that these contestants play, whatever they are: who takes it from elsewhere checks it.
    pub fn contest(&self, name: &str, contestants: Vec<Contestant>) -> Contest {
        Contest {
            name: name.to_owned(),
            // Rounds are armed with an instant of their own.
            start: Start::Now,
            deadlines: self.deadlines,
            rules: self.rules,
            absent: self.absent,
            rank_by: self.rank_by,
            breakpoint_points: self.breakpoint_points,
            phases: self.phases.clone(),
            contestants,
            policy: self.policy.clone(),
        }
    }

    /// Reads what [`Settings::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Settings, String> {
        let document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Settings::from_json(document).map_err(|error| error.to_string())
    }

    /// As they stand in the database.
    pub fn to_text(&self) -> Result<String, String> {
        Ok(self.to_json().to_string())
    }

    pub fn to_json(&self) -> Value {
        let mut document = self.contest("settings", Vec::new()).to_json();
        if let Some(keys) = document.as_object_mut() {
            keys.retain(|key, _| !matches!(key.as_str(), "name" | "start" | "contestant"));
        }
        document["title"] = self.title.clone().into();
        document["house"] = self.house.as_ref().map(ToString::to_string).into();
        document
    }

    /// Reads what [`Settings::to_json`] wrote. A wrong value is named by its key.
    pub fn from_json(mut document: Value) -> Result<Settings, ContestError> {
        let wrong = |key: &str, message: String| ContestError { line: None, key: Some(key.to_owned()), message };
        let Some(keys) = document.as_object_mut() else {
            let message = "the settings are no JSON object: save them again".to_owned();
            return Err(ContestError { line: None, key: None, message });
        };
        let title = match keys.remove("title") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(title)) => check_title(&title).map_err(|message| wrong("title", message))?,
            Some(_) => return Err(wrong("title", "is no text".to_owned())),
        };
        let house = match keys.remove("house") {
            None | Some(Value::Null) => None,
            Some(Value::String(house)) => Some(
                house.parse().map_err(|error: flowtest_contest::EndpointError| wrong("house", error.to_string()))?,
            ),
            Some(_) => return Err(wrong("house", "is no text".to_owned())),
        };
        keys.insert("name".to_owned(), "settings".into());
        // A contest has at least one contestant: this one is never asked.
        keys.insert("contestant".to_owned(), json!([{ "name": "nobody", "endpoint": "nobody.invalid" }]));
        let Contest { deadlines, rules, absent, rank_by, breakpoint_points, phases, policy, .. } =
            Contest::from_json(document)?;
        Ok(Settings { title, deadlines, rules, absent, rank_by, breakpoint_points, phases, policy, house })
    }
}

/// A title without what nobody sees.
pub fn check_title(title: &str) -> Result<String, String> {
    let title = title.trim();
    if title.chars().count() > TITLE_CHARS_MAX {
        return Err(format!("is longer than {TITLE_CHARS_MAX} characters: shorten it"));
    }
    match title.chars().find(|c| is_hidden(*c)) {
        Some(c) => Err(format!("holds {c:?}, which nobody sees: leave it out")),
        None => Ok(title.to_owned()),
    }
}

/// The traffic plan as its text in a contest file.
pub fn plan_text(phases: &[Phase]) -> String {
    let mut text = String::new();
    for (index, phase) in phases.iter().enumerate() {
        let parted = if index == 0 { "" } else { "\n" };
        let duration = super::instant::duration(phase.duration_us);
        let kind = if let Load::Breakpoint(_) = phase.load { "kind = \"breakpoint\"\n" } else { "" };
        write!(text, "{parted}[[phase]]\n{kind}for = \"{duration}\"\n").expect("writing to a String does not fail");
        match phase.load {
            Load::Open { from, to } if from == to => writeln!(text, "rate = {from}"),
            Load::Open { from, to } => writeln!(text, "rate = \"{from}..{to}\""),
            Load::Closed { pipeline } => writeln!(text, "pipeline = {pipeline}"),
            Load::Breakpoint(Breakpoint { ladder: LadderTerms { start, step, max, pass }, hold_us, fleet_max }) => {
                let fleet = fleet_max.map_or_else(String::new, |most| format!("\nfleet_max = {most}"));
                let (hold, p99) = (super::instant::duration(hold_us), super::instant::duration(pass.p99_us));
                writeln!(
                    text,
                    "start = {start}\nstep = \"{step}\"\nhold = \"{hold}\"\npass = {{ verified = {}, p99 = \"{p99}\" }}\nmax = {max}{fleet}",
                    pass.verified
                )
            }
        }
        .expect("writing to a String does not fail");
        writeln!(text, "connections = {}", phase.connections).expect("writing to a String does not fail");
        if !phase.scored {
            text.push_str("scored = false\n");
        }
    }
    text
}

/// Reads a traffic plan: phases of a contest file and nothing else, which are played with this timeout. The sentence names line
/// and key.
pub fn plan(text: &str, timeout_us: u64) -> Result<Vec<Phase>, String> {
    let told = |error: &ContestError| -> String {
        // The name stands above the plan, on a line of its own.
        let line = error.line.and_then(|line| line.checked_sub(1)).filter(|line| *line > 0);
        ContestError { line, ..error.clone() }.to_string()
    };
    if let Ok(table) = text.parse::<toml::Table>()
        && let Some(key) = table.keys().find(|key| *key != "phase")
    {
        return Err(format!(
            "`{}` is no part of a traffic plan: write [[phase]] blocks only; everything else has a field of its own",
            super::instant::shown(key)
        ));
    }
    let nobody = "[[contestant]]\nname = \"nobody\"\nendpoint = \"nobody.invalid\"\n";
    // Behind the plan, whose lines are counted.
    let file = format!("name = \"settings\"\n{text}\n{nobody}[rules]\ntimeout = \"{timeout_us}us\"\n");
    Contest::from_toml(&file).map(|contest| contest.phases).map_err(|error| told(&error))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flowtest_contest::contest::When;
    use flowtest_contest::policy::{Ownership, TlsTrust};
    use flowtest_contract::rules::UtcUs;
    use proptest::prelude::*;

    pub(crate) const TIMEOUT_US: u64 = 3_000_000;

    pub(crate) fn settings() -> impl Strategy<Value = Settings> {
        let when = || {
            proptest::option::of(prop_oneof![
                (1_000_000u64..1 << 50).prop_map(|us| When::At(UtcUs(us))),
                (1u64..600_000).prop_map(|ms| When::AfterStart { us: ms * 1000 })
            ])
        };
        let load = prop_oneof![
            (1u64..50_000, 1u64..50_000).prop_map(|(from, to)| Load::Open { from, to }),
            (1u32..64).prop_map(|pipeline| Load::Closed { pipeline })
        ];
        let phase = (100u64..90_000, load, 1u32..500, any::<bool>())
            .prop_map(|(ms, load, connections, scored)| Phase { duration_us: ms * 1000, load, connections, scored });
        let rules = (1u64..60_000, 0u64..60_000, 1u32..1000, 0u32..1000, 0u32..1000, any::<bool>()).prop_map(
            |(timeout, grace, token, version, from, token_required)| Rules {
                timeout_us: timeout * 1000,
                grace_us: grace * 1000,
                token,
                version,
                from,
                token_required,
            },
        );
        let allow = proptest::sample::subsequence(vec!["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"], 0..=3);
        let deny = proptest::sample::subsequence(vec!["10.0.3.7:8080", "10.0.3.0/24"], 0..=2);
        let ownership = proptest::sample::select(Ownership::ALL.to_vec());
        let tls = proptest::sample::select(TlsTrust::ALL.to_vec());
        let policy =
            (allow, deny, any::<bool>(), ownership, tls).prop_map(|(allow, deny, allow_shared, ownership, tls)| {
                Policy {
                    allow: allow.into_iter().map(|text| text.parse().expect("a network")).collect(),
                    deny: deny.into_iter().map(|text| text.parse().expect("an entry")).collect(),
                    allow_shared,
                    ownership,
                    tls,
                }
            });
        let house = proptest::option::of("10\\.0\\.0\\.[1-9]")
            .prop_map(|text| text.map(|text| text.parse().expect("an endpoint")));
        let rules = (rules, proptest::sample::select(Absent::ALL.to_vec()));
        ("[a-zA-Z ]{0,20}", (when(), when()), rules, proptest::collection::vec(phase, 1..5), policy, house).prop_map(
            |(title, (version, from), (rules, absent), phases, policy, house)| Settings {
                title: title.trim().to_owned(),
                deadlines: DeadlineSpec { version, from },
                rules,
                absent,
                rank_by: RankBy::default(),
                breakpoint_points: 0,
                phases,
                policy,
                house,
            },
        )
    }

    proptest! {
        #[test]
        fn settings_survive_their_document(settings in settings()) {
            prop_assert_eq!(Settings::from_json(settings.to_json()), Ok(settings.clone()));
            prop_assert_eq!(plan(&plan_text(&settings.phases), settings.rules.timeout_us), Ok(settings.phases));
        }

        #[test]
        fn any_text_is_a_plan_or_a_sentence(text in ".{0,200}") {
            let _ = plan(&text, TIMEOUT_US);
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = Settings::default();
        assert_eq!(Settings::from_json(settings.to_json()), Ok(settings));
    }

    #[test]
    fn a_plan_is_phases_only_and_an_error_names_its_line() {
        let good = "[[phase]]\nfor = \"30s\"\nrate = 100\nconnections = 8\n";
        assert_eq!(plan(good, TIMEOUT_US).expect("a plan").len(), 1);
        // (text, part of the sentence)
        let cases = [
            ("", "no phase"),
            ("[[phase]]\nfor = \"30s\"\nrate = 0\nconnections = 8\n", "line 3"),
            ("[[phase]]\nfor = \"30s\"\nrate = 5\nconnections = 8\n[policy]\nallow = [\"0.0.0.0/0\"]\n", "`policy`"),
            ("[[contestant]]\nname = \"x\"\n", "`contestant`"),
            ("[[phase]\n", "TOML"),
        ];
        for (text, part) in cases {
            let error = plan(text, TIMEOUT_US).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_step_may_be_as_short_as_the_timeout_beside_it() {
        let climb = "[[phase]]\nkind = \"breakpoint\"\nfor = \"2m\"\nstart = 100\nstep = \"x1.25\"\nhold = \"2s\"\nmax = 1000\n\
                     pass = { verified = 0.99, p99 = \"100ms\" }\n";
        assert!(plan(climb, 1_000_000).is_ok());
        let error = plan(climb, TIMEOUT_US).expect_err("a step is over before a request of it can fail");
        assert!(error.contains("timeout of 3s"), "{error}");
    }

    #[test]
    fn documents_of_others_are_errors() {
        for bad in [json!(null), json!([]), json!({}), json!({ "title": 5 }), json!({ "house": "https://x" })] {
            assert!(Settings::from_json(bad.clone()).is_err(), "{bad}");
        }
    }
}
