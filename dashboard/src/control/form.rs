//! The form of the settings: what was typed, and the settings it means or everything that is wrong with it at once.
//!
//! Each field is judged alone by the contest's own parser, so that a form and a contest file obey the same rules and say
//! the same sentences.

use super::instant;
use super::settings::{self, Settings};
use flowtest_contest::contest::{Absent, Load, POINTS_MAX, Phase, RankBy, When};
use flowtest_contest::policy::{Ownership, TlsTrust};
use flowtest_contest::{ContestError, Endpoint};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What somebody typed, as it goes back into the fields; a page carries it along, so a field that it lacks is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SettingsForm {
    pub title: String,
    /// An instant, `+20m` after the start, or nothing: the second value from the start.
    pub version_deadline: String,
    pub from_deadline: String,
    /// In which zone an instant without offset is meant: an IANA name or `+02:00`. Empty: UTC.
    pub zone: String,
    pub timeout: String,
    pub grace: String,
    pub token: String,
    pub version: String,
    pub from: String,
    pub token_required: bool,
    /// Whoever is not ready is charged nothing.
    pub absent_free: bool,
    /// Whoever holds more in a breakpoint phase stands first, whatever its points.
    pub holds_first: bool,
    /// Points for each request a second that is held.
    pub breakpoint_points: String,
    /// `[[phase]]` blocks.
    pub plan: String,
    /// Networks, parted by spaces, commas or lines.
    pub allow: String,
    pub deny: String,
    pub allow_shared: bool,
    /// Each server has to say whose it is.
    pub ownership: bool,
    /// Servers over https may show any certificate.
    pub tls_any: bool,
    pub house: String,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The name of the field.
    pub field: &'static str,
    pub message: String,
}

impl SettingsForm {
    /// The fields of settings as they are.
    pub fn of(settings: &Settings) -> SettingsForm {
        let list = |items: Vec<String>| items.join("\n");
        SettingsForm {
            title: settings.title.clone(),
            version_deadline: instant::when_text(settings.deadlines.version),
            from_deadline: instant::when_text(settings.deadlines.from),
            zone: "UTC".to_owned(),
            timeout: instant::duration(settings.rules.timeout_us),
            grace: instant::duration(settings.rules.grace_us),
            token: settings.rules.token.to_string(),
            version: settings.rules.version.to_string(),
            from: settings.rules.from.to_string(),
            token_required: settings.rules.token_required,
            absent_free: settings.absent == Absent::Free,
            holds_first: settings.rank_by == RankBy::Holds,
            breakpoint_points: settings.breakpoint_points.to_string(),
            plan: settings::plan_text(&settings.phases),
            allow: list(settings.policy.allow.iter().map(ToString::to_string).collect()),
            deny: list(settings.policy.deny.iter().map(ToString::to_string).collect()),
            allow_shared: settings.policy.allow_shared,
            ownership: settings.policy.ownership.is_asked_for(),
            tls_any: settings.policy.tls == TlsTrust::Any,
            house: settings.house.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The timeout that was typed, or the usual one where that is none.
    pub fn timeout_us(&self) -> u64 {
        rule("timeout", &self.timeout).unwrap_or_default().rules.timeout_us
    }

    /// The settings that were typed, or what is wrong with each field, all at once.
    pub fn read(&self) -> Result<Settings, Vec<FieldError>> {
        let mut form = Reading { errors: Vec::new() };
        let mut settings = Settings::default();
        form.take("title", settings::check_title(&self.title), &mut settings.title);
        let zone = self.zone.as_str();
        form.take("version_deadline", deadline(&self.version_deadline, zone), &mut settings.deadlines.version);
        form.take("from_deadline", deadline(&self.from_deadline, zone), &mut settings.deadlines.from);
        form.take(
            "timeout",
            rule("timeout", &self.timeout).map(|s| s.rules.timeout_us),
            &mut settings.rules.timeout_us,
        );
        form.take("grace", rule("grace", &self.grace).map(|s| s.rules.grace_us), &mut settings.rules.grace_us);
        form.take("token", points("token", &self.token).map(|s| s.rules.token), &mut settings.rules.token);
        form.take("version", points("version", &self.version).map(|s| s.rules.version), &mut settings.rules.version);
        form.take("from", points("from", &self.from).map(|s| s.rules.from), &mut settings.rules.from);
        settings.rules.token_required = self.token_required;
        settings.absent = if self.absent_free { Absent::Free } else { Absent::Charged };
        settings.rank_by = if self.holds_first { RankBy::Holds } else { RankBy::Points };
        form.take("breakpoint_points", held_points(&self.breakpoint_points), &mut settings.breakpoint_points);
        form.take("plan", settings::plan(&self.plan, settings.rules.timeout_us), &mut settings.phases);
        form.take("allow", networks("allow", &self.allow).map(|s| s.policy.allow), &mut settings.policy.allow);
        form.take("deny", networks("deny", &self.deny).map(|s| s.policy.deny), &mut settings.policy.deny);
        settings.policy.allow_shared = self.allow_shared;
        settings.policy.ownership = if self.ownership { Ownership::Header } else { Ownership::Off };
        settings.policy.tls = if self.tls_any { TlsTrust::Any } else { TlsTrust::Verify };
        form.take("house", house(&self.house), &mut settings.house);
        form.together(&settings);
        if form.errors.is_empty() { Ok(settings) } else { Err(form.errors) }
    }
}

/// Collects what is wrong.
struct Reading {
    errors: Vec<FieldError>,
}

impl Reading {
    fn take<T>(&mut self, field: &'static str, read: Result<T, String>, into: &mut T) {
        match read {
            Ok(value) => *into = value,
            Err(message) => self.errors.push(FieldError { field, message: with_subject(message) }),
        }
    }

    fn is_fine(&self, fields: &[&str]) -> bool {
        !self.errors.iter().any(|error| fields.contains(&error.field))
    }

    /// What only fields together can do wrong.
    fn together(&mut self, settings: &Settings) {
        if self.is_fine(&["token", "version", "from"]) && settings.rules.exchange_points() == 0 {
            let message = "nothing gives points: set token, version or from above 0".to_owned();
            self.errors.push(FieldError { field: "token", message });
        }
        let climbs = |phase: &Phase| matches!(phase.load, Load::Breakpoint(_));
        if self.is_fine(&["plan", "breakpoint_points"])
            && (settings.rank_by == RankBy::Holds || settings.breakpoint_points > 0)
            && !settings.phases.iter().any(climbs)
        {
            let message =
                "no phase finds out what contestants hold: add a [[phase]] with kind = \"breakpoint\" to the plan, or \
                           let held rates count nothing"
                    .to_owned();
            self.errors.push(FieldError { field: "breakpoint_points", message });
        }
        if self.is_fine(&["house", "allow", "deny"])
            && let Some(house) = &settings.house
            && let Err(error) = settings.policy.judge_endpoint(house)
        {
            self.errors.push(FieldError { field: "house", message: error.to_string() });
        }
        if self.is_fine(&["plan", "version_deadline", "from_deadline"]) {
            let length: u64 = settings.phases.iter().map(|phase| phase.duration_us).sum();
            for (field, when) in
                [("version_deadline", settings.deadlines.version), ("from_deadline", settings.deadlines.from)]
            {
                if let Some(When::AfterStart { us }) = when
                    && us >= length
                {
                    let message = format!(
                        "it comes {} after the start and the plan ends after {}: nobody would see it; set it earlier, or \
                         make the plan longer",
                        instant::duration(us),
                        instant::duration(length)
                    );
                    self.errors.push(FieldError { field, message });
                }
            }
        }
    }
}

/// What a contest file says behind the name of a key, said beside a field.
fn with_subject(message: String) -> String {
    let is_bare = ["is ", "has ", "holds ", "counts "].iter().any(|verb| message.starts_with(verb));
    if is_bare { format!("it {message}") } else { message }
}

pub(crate) fn deadline(text: &str, zone: &str) -> Result<Option<When>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let when = instant::when(text, zone)?;
    // The contest's own parser has the last word on how far a deadline may lie from the start.
    judge("deadlines", json!({ "version": instant::when_text(Some(when)) })).map(|settings| settings.deadlines.version)
}

fn rule(key: &str, text: &str) -> Result<Settings, String> {
    judge("rules", json!({ key: text.trim() }))
}

fn points(key: &str, text: &str) -> Result<Settings, String> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| format!("is {:?}: write a whole number of points", instant::shown(text.trim())))?;
    // A rule is judged beside others: alone, zero points would give nothing for anything.
    let mut rules = json!({ "token": 1, "version": 1, "from": 1 });
    rules[key] = number.into();
    judge("rules", rules)
}

/// Of a rule that only a contest with a breakpoint phase may have.
fn held_points(text: &str) -> Result<u32, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|points| *points <= POINTS_MAX);
    number.ok_or_else(|| format!("is {:?}: write a whole number from 0 to {POINTS_MAX}", instant::shown(text)))
}

fn networks(key: &str, text: &str) -> Result<Settings, String> {
    let items: Vec<&str> = text.split([',', '\n', '\r', ' ', '\t', ';']).filter(|item| !item.is_empty()).collect();
    judge("policy", json!({ key: items }))
}

fn house(text: &str) -> Result<Option<Endpoint>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: flowtest_contest::EndpointError| error.to_string())
}

/// Settings in which all but one section has its default.
fn judge(section: &str, value: Value) -> Result<Settings, String> {
    let mut document = Settings::default().to_json();
    document[section] = value;
    Settings::from_json(document).map_err(|error| {
        // The field says which key it is; an entry of a list is worth naming.
        let key = error.key.filter(|key| key.contains('['));
        let key = key.map(|key| key.trim_start_matches(section).trim_start_matches('.').to_owned());
        ContestError { line: None, key, message: error.message }.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;
    use proptest::prelude::*;

    fn form() -> SettingsForm {
        SettingsForm::of(&Settings::default())
    }

    fn wrong(form: &SettingsForm) -> Vec<(&'static str, String)> {
        form.read().expect_err("it is wrong").into_iter().map(|error| (error.field, error.message)).collect()
    }

    #[test]
    fn a_form_with_five_errors_names_five() {
        let typed = SettingsForm {
            timeout: "soon".into(),
            token: "many".into(),
            plan: "[[phase]]\nfor = \"30s\"\nrate = 0\nconnections = 1\n".into(),
            allow: "10.0.0.0/8, 10.0.0.1/8".into(),
            version_deadline: "tomorrow".into(),
            ..form()
        };
        let errors = wrong(&typed);
        let fields: Vec<&str> = errors.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["version_deadline", "timeout", "token", "plan", "allow"]);
        assert!(errors.iter().all(|(_, message)| message.len() > 20), "{errors:?}");
    }

    #[test]
    fn each_field_says_what_to_write() {
        // (what is changed, the field, part of the sentence)
        type Case = (fn(&mut SettingsForm), &'static str, &'static str);
        let cases: [Case; 14] = [
            (|form| form.title = "x".repeat(81), "title", "80"),
            (|form| form.title = "a\u{202e}b".into(), "title", "nobody sees"),
            (|form| form.timeout = "2m".into(), "timeout", "1m"),
            (|form| form.grace = "-5s".into(), "grace", "no duration"),
            (|form| form.token = "-1".into(), "token", "0 to 1000000"),
            (|form| form.version = "1.5".into(), "version", "whole number"),
            (|form| form.from = String::new(), "from", "whole number"),
            (|form| form.plan = String::new(), "plan", "no phase"),
            (|form| form.deny = "everything".into(), "deny", "deny[1]"),
            (|form| form.house = "ftp://house".into(), "house", "https"),
            (|form| form.house = "127.0.0.1:8081".into(), "house", "allow"),
            (|form| form.from_deadline = "+61s".into(), "from_deadline", "nobody would see it"),
            (|form| form.version_deadline = "+900d".into(), "version_deadline", "from the start"),
            (
                |form| (form.token, form.version, form.from) = ("0".into(), "0".into(), "0".into()),
                "token",
                "nothing gives points",
            ),
        ];
        for (change, field, part) in cases {
            let mut typed = form();
            change(&mut typed);
            let errors = wrong(&typed);
            assert!(
                errors.len() == 1 && errors[0].0 == field && errors[0].1.contains(part),
                "{field} {part:?}: {errors:?}"
            );
        }
    }

    #[test]
    fn a_deadline_of_a_browser_is_taken_in_its_zone() {
        let typed = SettingsForm { version_deadline: "2026-12-01T10:45".into(), zone: "+01:00".into(), ..form() };
        let settings = typed.read().expect("settings");
        assert_eq!(instant::when_text(settings.deadlines.version), "2026-12-01T09:45:00Z");
    }

    proptest! {
        #[test]
        fn what_a_form_shows_means_the_same_settings(settings in settings()) {
            // Deadlines behind the plan and a house out of bounds are told, and are no question of the text.
            match SettingsForm::of(&settings).read() {
                Ok(read) => prop_assert_eq!(read, settings),
                Err(errors) => {
                    let together = ["version_deadline", "from_deadline", "house"];
                    prop_assert!(errors.iter().all(|error| together.contains(&error.field)), "{:?}", errors);
                }
            }
        }
    }
}
