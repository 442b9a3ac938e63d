//! Whether docs/api.md describes what the program really answers.

use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/api.md");
/// Their keys are ids of teams and kinds of failures.
const BY_NAME: [&str; 2] = ["points", "failures"];

/// The keys of an answer, at any depth, that the page does not name.
pub(crate) fn undescribed(address: &str, answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(answer, &mut found);
    found.sort();
    found.dedup();
    found.into_iter().map(|key| format!("docs/api.md does not say what {key:?} of {address} is")).collect()
}

fn look(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if !PAGE.contains(&format!("`{key}`")) {
                    found.push(key.clone());
                }
                if !(BY_NAME.contains(&key.as_str()) && value.is_object()) {
                    look(value, found);
                }
            }
        }
        _ => {}
    }
}
