//! What two people, or two tabs, typed into the form of the settings at once. Pure.
//!
//! Field by field: what only one of them changed is taken, and what both changed is told with both texts.

use super::form::SettingsForm;
use serde_json::{Map, Value};

/// A field that both have changed, each to something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name of the field.
    pub field: String,
    pub mine: String,
    /// What stands there now.
    pub theirs: String,
}

/// A form that goes on from what is saved now, and the fields that two have changed. In those `mine` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub form: SettingsForm,
    pub conflicts: Vec<Conflict>,
}

/// In which zone somebody types is nobody else's.
const OWN: &str = "zone";

/// `base` is what the page had shown, `mine` what was typed upon it, `theirs` what is saved by now.
pub fn merge(base: &SettingsForm, mine: &SettingsForm, theirs: &SettingsForm) -> Merged {
    let (base, mine_fields, theirs) = (fields(base), fields(mine), fields(theirs));
    let mut merged = mine_fields.clone();
    let mut conflicts = Vec::new();
    for (field, typed) in mine_fields.into_iter().filter(|(field, _)| field != OWN) {
        let (shown, saved) = (base.get(&field), theirs.get(&field).cloned().unwrap_or(Value::Null));
        if shown == Some(&saved) || typed == saved {
            continue;
        }
        if shown == Some(&typed) {
            merged.insert(field, saved);
        } else {
            conflicts.push(Conflict { field, mine: words(&typed), theirs: words(&saved) });
        }
    }
    let form = serde_json::from_value(Value::Object(merged)).unwrap_or_else(|_| mine.clone());
    Merged { form, conflicts }
}

fn fields(form: &SettingsForm) -> Map<String, Value> {
    match serde_json::to_value(form) {
        Ok(Value::Object(fields)) => fields.into_iter().map(|(field, value)| (field, plain(value))).collect(),
        _ => Map::new(),
    }
}

/// A text as a form gives it back: without what surrounds it, and with our line breaks.
fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("\r\n", "\n").trim().into(),
        other => other,
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::settings::Settings;

    fn base() -> SettingsForm {
        SettingsForm::of(&Settings::default())
    }

    #[test]
    fn what_only_one_has_changed_is_taken() {
        let mine = SettingsForm { timeout: "4s".into(), absent_free: true, zone: "Asia/Tokyo".into(), ..base() };
        let theirs = SettingsForm { token: "90".into(), plan: "[[phase]]".into(), ..base() };
        let merged = merge(&base(), &mine, &theirs);
        assert_eq!(merged.conflicts, []);
        let both = SettingsForm { token: "90".into(), plan: "[[phase]]".into(), ..mine };
        assert_eq!(merged.form, both);
    }

    #[test]
    fn what_both_have_changed_is_told_with_both_texts() {
        let mine = SettingsForm { timeout: "4s".into(), grace: "9s".into(), token_required: true, ..base() };
        let theirs = SettingsForm { timeout: "5s".into(), grace: "9s".into(), ..base() };
        let merged = merge(&base(), &mine, &theirs);
        let conflict = Conflict { field: "timeout".into(), mine: "4s".into(), theirs: "5s".into() };
        assert_eq!(merged.conflicts, [conflict], "both wrote the same grace");
        assert_eq!((merged.form.timeout.as_str(), merged.form.token_required), ("4s", true));
        // Whoever has seen both decides: what is saved now is the base of the next look.
        assert_eq!(merge(&theirs, &merged.form, &theirs).conflicts, []);
    }
}
