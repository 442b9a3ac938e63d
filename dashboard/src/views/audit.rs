//! The audit log, newest first, in words.

use crate::views::time::{self, Words};
use crate::views::{Layout, format};
use sailfish::TemplateSimple;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "audit.stpl")]
pub struct AuditPage {
    pub layout: Layout,
    pub lines: Vec<AuditLine>,
    /// What was searched for.
    pub query: String,
    /// The id before which the next page starts; `None` on the last page.
    pub before: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct AuditLine {
    pub id: i64,
    pub at_ms: i64,
    pub who: String,
    pub address: String,
    /// `noun.verb`, as it is searched for.
    pub action: String,
    pub told: Told,
}

/// A line in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What was done: `disqualified`.
    pub what: String,
    /// To whom or what; may be empty.
    pub whom: String,
    pub changes: Vec<Change>,
    /// Changes that are left out: the export has them.
    pub further: usize,
}

/// One thing that is another one now. What was not there before has no `before`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// May be empty, where what was done says it.
    pub what: String,
    pub before: Option<Words>,
    pub after: Option<Words>,
}

/// Changes of one line at most.
const CHANGES_MAX: usize = 12;

/// Whom subjects mean.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Display names by the id of the account.
    pub users: HashMap<i64, String>,
    /// Numbers of rounds by their ids.
    pub rounds: HashMap<String, u32>,
}

/// Actions and what people call them.
const ACTIONS: [(&str, &str); 38] = [
    ("adjustment.make", "adjusted the points of"),
    ("adjustment.withdraw", "withdrew an adjustment of"),
    ("announcement.end", "took down an announcement"),
    ("announcement.make", "announced"),
    ("backup.make", "made a backup of"),
    ("control.save", "changed"),
    ("endpoint.set", "set the endpoint of"),
    ("export", "took away a file:"),
    ("invite.create", "made invitations"),
    ("invite.redeem", "registered with"),
    ("invite.revoke", "revoked invitations"),
    ("login.by_link", "signed in by a link as"),
    ("login.fail", "failed to sign in as"),
    ("login.link", "made a link that signs in"),
    ("login.ok", "signed in as"),
    ("round.create", "armed"),
    ("round.finish", "sealed"),
    (flowtest_accounts::RULING, "ruled on"),
    ("round.state", "moved on"),
    ("screen.create", "made a screen"),
    ("screen.revoke", "revoked a screen"),
    ("session.end", "ended a session of"),
    ("session.end_all", "ended all sessions of"),
    ("setting.put", "saved"),
    ("user.category", "set the category of"),
    ("user.contact", "set the contact line of"),
    ("user.create", "made the account"),
    ("user.disable", "disabled"),
    ("user.disqualify", "disqualified"),
    ("user.enable", "enabled"),
    ("user.hide", "took off the board"),
    ("user.park", "parked"),
    ("user.password", "set the password of"),
    ("user.requalify", "let compete again"),
    ("user.role", "changed the role of"),
    ("user.shown", "changed the team name of"),
    ("user.unhide", "put back on the board"),
    ("user.unpark", "let play on"),
];

/// Settings and what people call them.
const SETTINGS: [(&str, &str); 6] = [
    ("contest", "the settings"),
    ("database", "which database this is"),
    ("house", "what the house came to"),
    ("secret.csrf", "the secret of forms"),
    ("show", "what the public may see"),
    ("untold_stops", "the stops that Redis has not been told of"),
];

/// Actions that are told by a word, whatever they are called in the log.
pub fn actions_told_by(word: &str) -> Vec<String> {
    told_by(&ACTIONS, word).map(str::to_owned).collect()
}

/// Subjects of settings that are told by a word, whatever they are called in the log.
pub fn settings_told_by(word: &str) -> Vec<String> {
    told_by(&SETTINGS, word).map(|name| format!("setting:{name}")).collect()
}

fn told_by(names: &'static [(&str, &str)], word: &str) -> impl Iterator<Item = &'static str> {
    let word = word.to_lowercase();
    names.iter().filter(move |(_, words)| words.to_lowercase().contains(&word)).map(|(name, _)| *name)
}

impl Told {
    /// `before` and `after` are the JSON that the log keeps.
    pub fn of(action: &str, subject: &str, before: Option<&str>, after: Option<&str>, names: &Names) -> Told {
        let known = ACTIONS.iter().find(|(known, _)| *known == action);
        let what = known.map_or_else(|| action.replace(['.', '_'], " "), |(_, words)| (*words).to_owned());
        let read = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let (before, after) = (read(before), read(after));
        let mut changes = Vec::new();
        match (action, &after) {
            // The sentence says it all.
            ("control.save", Some(after)) if after["what"].is_string() => {
                let after = Words::Ours(after["what"].as_str().unwrap_or_default().to_owned());
                changes.push(Change { what: String::new(), before: None, after: Some(after) });
            }
            ("round.finish", Some(after)) if after["points"].is_array() => changes = finished(after, names),
            ("setting.put", _) if subject == "setting:house" => {
                let named = |value: Option<Value>| value.map(|value| with_numbers(value, names));
                differ("", named(before).as_ref(), named(after).as_ref(), &mut changes);
            }
            ("setting.put", _) if subject == "setting:show" => {
                // Freezes that are over were told when they were set and when they ended.
                let of_now = |value: Option<Value>| value.map(without_past);
                differ("", of_now(before).as_ref(), of_now(after).as_ref(), &mut changes);
            }
            _ => differ("", before.as_ref(), after.as_ref(), &mut changes),
        }
        // Of what is new, or ends, a plain no says nothing; numbers of sessions are for machines.
        let says = |change: &Change| match (&change.before, &change.after) {
            (None, Some(only)) | (Some(only), None) => only.as_str() != "no" && change.what != "session",
            _ => true,
        };
        changes.retain(says);
        let further = changes.len().saturating_sub(CHANGES_MAX);
        changes.truncate(CHANGES_MAX);
        Told { what, whom: whom(subject, names), changes, further }
    }
}

impl Told {
    /// What is another one now, in one line of text.
    pub fn in_words(&self) -> String {
        let one = |change: &Change| {
            let parts = [&change.before, &change.after].map(|words| words.as_ref().map(Words::as_str));
            let values = parts.into_iter().flatten().collect::<Vec<_>>().join(" → ");
            if change.what.is_empty() { values } else { format!("{}: {values}", change.what) }
        };
        self.changes.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// What a round came to: points by team, and how much of it is valid.
fn finished(after: &Value, names: &Names) -> Vec<Change> {
    let line = |what: String, after: String| Change { what, before: None, after: Some(Words::Ours(after)) };
    let pairs = after["points"].as_array().into_iter().flatten();
    let mut lines: Vec<Change> = pairs
        .filter_map(|pair| {
            let (id, points) = (pair[0].as_i64()?, pair[1].as_i64()?);
            let name = names.users.get(&id).cloned().unwrap_or_else(|| format!("account {id}"));
            Some(line(name, format::points(points)))
        })
        .collect();
    let validity = &after["validity"];
    // Rounds of before 0.3 do not say it.
    if let Some(late_ms) = validity["late_ms"].as_u64().filter(|late_ms| *late_ms > 0) {
        lines.insert(0, line("late in all".to_owned(), format!("{} ms", format::count(late_ms))));
    }
    for (what, part, whole) in [("valid seconds", "valid_seconds", "seconds"), ("void requests", "void", "due")] {
        if let (Some(part), Some(whole)) = (validity[part].as_u64(), validity[whole].as_u64()) {
            lines.insert(0, line(what.to_owned(), format!("{} of {}", format::count(part), format::count(whole))));
        }
    }
    lines
}

/// The same with the rounds' numbers in place of their ids.
fn with_numbers(value: Value, names: &Names) -> Value {
    match value {
        Value::Object(fields) => {
            let named = fields
                .into_iter()
                .map(|(id, value)| (names.rounds.get(&id).map_or(id, |number| format!("round {number}")), value));
            Value::Object(named.collect())
        }
        other => other,
    }
}

fn without_past(mut show: Value) -> Value {
    if let Some(fields) = show.as_object_mut() {
        fields.remove("past");
    }
    show
}

fn whom(subject: &str, names: &Names) -> String {
    let Some((noun, id)) = subject.split_once(':') else {
        return match subject {
            "control" => "the contest".to_owned(),
            "invites" => String::new(),
            other => other.to_owned(),
        };
    };
    match noun {
        "user" => {
            let known = id.parse().ok().and_then(|id: i64| names.users.get(&id));
            known.cloned().unwrap_or_else(|| format!("account {id}"))
        }
        "round" => names.rounds.get(id).map_or_else(|| format!("round {id}"), |number| format!("round {number}")),
        "setting" => {
            let known = SETTINGS.iter().find(|(known, _)| *known == id);
            known.map_or_else(|| format!("setting {id}"), |(_, words)| (*words).to_owned())
        }
        "invite" => format!("invitation {id}"),
        "announcement" => String::new(),
        _ => format!("{noun} {id}"),
    }
}

/// What differs, leaf by leaf.
fn differ(label: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let below = |key: &str| match (label, key) {
        ("", "shown") => "team name".to_owned(),
        ("", key) => key.replace('_', " "),
        (label, key) => format!("{label} {}", key.replace('_', " ")),
    };
    let is_deep =
        |value: Option<&Value>| value.is_none_or(|value| value.is_object() || value.is_array() || value.is_null());
    let has_parts = |value: Option<&Value>| value.is_some_and(|value| value.is_object() || value.is_array());
    if (has_parts(before) || has_parts(after)) && is_deep(before) && is_deep(after) {
        for key in keys(before).into_iter().chain(keys(after)).collect::<std::collections::BTreeSet<Key>>() {
            differ(&below(&key.shown()), key.of(before), key.of(after), changes);
        }
        return;
    }
    let told = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(|value| words(label, value));
    let (before, after) = (told(before), told(after));
    if before.is_some() || after.is_some() {
        changes.push(Change { what: label.to_owned(), before, after });
    }
}

/// A part of an object or of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    At(usize),
    Named(String),
}

impl Key {
    fn shown(&self) -> String {
        match self {
            Key::At(index) => (index + 1).to_string(),
            Key::Named(name) => name.clone(),
        }
    }

    fn of<'a>(&self, value: Option<&'a Value>) -> Option<&'a Value> {
        match self {
            Key::At(index) => value?.get(index),
            Key::Named(name) => value?.get(name),
        }
    }
}

fn keys(value: Option<&Value>) -> Vec<Key> {
    match value {
        Some(Value::Object(fields)) => fields.keys().cloned().map(Key::Named).collect(),
        Some(Value::Array(items)) => (0..items.len()).map(Key::At).collect(),
        _ => Vec::new(),
    }
}

fn words(label: &str, value: &Value) -> Words {
    let is_instant = ["at", "until"].iter().any(|word| label == *word || label.ends_with(&format!(" {word}")));
    Words::Ours(match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        // As we wrote it after it was typed.
        Value::String(text) if label.starts_with("deadlines ") => text.clone(),
        Value::String(text) => return Words::Typed(text.clone()),
        // The log has microseconds.
        Value::Number(number) if is_instant => {
            number.as_i64().map_or_else(|| number.to_string(), |us| format::utc(us / 1_000))
        }
        other => other.to_string(),
    })
}

impl AuditPage {
    /// The address of older lines, with the search kept.
    pub fn older(before: i64, query: &str) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("before", &before.to_string());
        if !query.is_empty() {
            pairs.append_pair("q", query);
        }
        format!("/audit?{}", pairs.finish())
    }

    /// The address of all lines that hold a word.
    pub fn search(word: &str) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("q", word);
        format!("/audit?{}", pairs.finish())
    }

    /// The address of the file with all lines that are found.
    pub fn export(query: &str) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        if !query.is_empty() {
            pairs.append_pair("q", query);
        }
        format!("/export/audit.csv?{}", pairs.finish()).trim_end_matches('?').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(action: &str, subject: &str, before: &str, after: &str) -> String {
        let names = Names { users: [(3, "Alice".to_owned())].into(), rounds: [("ab".to_owned(), 2)].into() };
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let Told { what, whom, changes, .. } = Told::of(action, subject, some(before), some(after), &names);
        let changes = changes.into_iter().map(|change| {
            let [before, after] = [&change.before, &change.after].map(|words| words.as_ref().map_or("", Words::as_str));
            format!(" | {}: {before} -> {after}", change.what)
        });
        format!("{what} {whom}{}", changes.collect::<String>())
    }

    #[test]
    fn a_line_says_who_did_what_to_whom_and_what_it_was_before() {
        // (action, subject, before, after, in words)
        let cases = [
            (
                "user.disqualify",
                "user:3",
                "{\"hidden\":false,\"disqualified\":null}",
                "{\"hidden\":false,\"disqualified\":\"it relays\"}",
                "disqualified Alice | disqualified:  -> it relays",
            ),
            ("round.state", "round:ab", "\"armed\"", "\"running\"", "moved on round 2 | : armed -> running"),
            (
                "control.save",
                "control",
                "{\"revision\":1}",
                "{\"revision\":2,\"what\":\"Frozen.\"}",
                "changed the contest | :  -> Frozen.",
            ),
            (
                "setting.put",
                "setting:contest",
                "{\"rules\":{\"timeout\":\"3s\",\"token\":100},\"phase\":[{\"rate\":5},{\"rate\":9}]}",
                "{\"rules\":{\"timeout\":\"4s\",\"token\":100},\"phase\":[{\"rate\":5},{\"rate\":7}]}",
                "saved the settings | phase 2 rate: 9 -> 7 | rules timeout: 3s -> 4s",
            ),
            (
                "setting.put",
                "setting:show",
                "{\"freeze_at\":null,\"over\":false,\"past\":[]}",
                "{\"freeze_at\":null,\"over\":true,\"past\":[{\"freeze_at\":1763892600000000}]}",
                "saved what the public may see | over: no -> yes",
            ),
            (
                "login.link",
                "user:9",
                "",
                "{\"until\":1763892600000000}",
                "made a link that signs in account 9 | until:  -> 2025-11-23 10:10:00 UTC",
            ),
            (
                "user.create",
                "user:3",
                "",
                "{\"name\":\"alice\",\"disabled\":false,\"hidden\":false,\"role\":\"staff\"}",
                "made the account Alice | name:  -> alice | role:  -> staff",
            ),
            (
                "round.finish",
                "round:ab",
                "\"draining\"",
                "{\"state\":\"sealed\",\"points\":[],\"validity\":{\"seconds\":60,\"valid_seconds\":59,\"due\":12000,\"void\":0,\
                 \"late_ms\":1000}}",
                "sealed round 2 | void requests:  -> 0 of 12,000 | valid seconds:  -> 59 of 60 | late in all:  -> 1,000 ms",
            ),
            (
                "round.finish",
                "round:ab",
                "\"draining\"",
                "{\"state\":\"sealed\",\"points\":[[3,1055800],[4,-200]],\"validity\":{\"seconds\":60,\"valid_seconds\":6,\
                 \"due\":12000,\"void\":1441}}",
                "sealed round 2 | void requests:  -> 1,441 of 12,000 | valid seconds:  -> 6 of 60 | Alice:  -> 1,055,800 \
                 | account 4:  -> \u{2212}200",
            ),
            (
                "setting.put",
                "setting:house",
                "",
                "{\"ab\":{\"points\":7}}",
                "saved what the house came to | round 2 points:  -> 7",
            ),
            ("nova.thing_done", "thing", "", "", "nova thing done thing"),
        ];
        for (action, subject, before, after, words) in cases {
            assert_eq!(told(action, subject, before, after), words);
        }
    }

    #[test]
    fn what_somebody_typed_is_shown_as_it_was_typed() {
        const AT: &str = "2026-12-01T10:45:00Z";
        let is_ours = |action: &str, subject: &str, after: serde_json::Value| {
            let told = Told::of(action, subject, None, Some(&after.to_string()), &Names::default());
            matches!(told.changes[0].after, Some(Words::Ours(_)))
        };
        assert!(!is_ours("announcement.make", "announcement:1", json!({ "text": AT })));
        assert!(!is_ours("user.shown", "user:3", json!(AT)));
        assert!(is_ours("setting.put", "setting:contest", json!({ "deadlines": { "version": AT } })));
        assert!(is_ours("control.save", "control", json!({ "what": format!("The deadline is {AT}.") })));
        assert!(is_ours("setting.put", "setting:show", json!({ "freeze_at": 1_763_892_600_000_000_u64 })));
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let after: String = (0..40).map(|index| format!("\"k{index:02}\":1")).collect::<Vec<_>>().join(",");
        let told = Told::of("setting.put", "setting:contest", None, Some(&format!("{{{after}}}")), &Names::default());
        assert_eq!((told.changes.len(), told.further), (12, 28));
    }

    #[test]
    fn what_is_no_json_is_left_out() {
        assert_eq!(told("user.hide", "user:x", "{", "nonsense"), "took off the board account x");
    }
}
