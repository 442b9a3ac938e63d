//! One tree for both dialects of a contest, TOML and JSON, with the line of each value where there is one.
//!
//! It hands out values by key, remembers which keys were asked for, and words what is wrong with the rest.

use super::ContestError;
use flowtest_contract::rules::UtcUs;
use std::fmt::Display;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Whether keys that nobody asked for are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownKeys {
    /// A person wrote it: most likely a slip.
    Refuse,
    /// A newer program wrote it.
    Ignore,
}

pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Fraction(String),
    Boolean(bool),
    Instant(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    Null,
}

/// A value of the tree. Where it stands is told by the keys above it: a path per value would let a document of junk
/// grow to many times its size.
pub(crate) struct Node {
    line: Option<usize>,
    value: Value,
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a number",
            Value::Fraction(_) => "a fraction",
            Value::Boolean(_) => "true or false",
            Value::Instant(_) => "a date and time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Null => "nothing",
        }
    }
}

/// A value that was asked for, with its place.
pub(crate) struct Entry {
    /// Where it stands, as people write it: `phase[2].rate`.
    pub(crate) path: String,
    pub(crate) line: Option<usize>,
    pub(crate) value: Value,
}

/// A table whose keys are taken one by one.
pub(crate) struct Section {
    path: String,
    line: Option<usize>,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
    unknown: UnknownKeys,
}

/// A list of tables.
pub(crate) struct Sections {
    path: String,
    items: Vec<Node>,
    unknown: UnknownKeys,
}

/// Longest document, in bytes: a roster of [`CONTESTANTS_MAX`](super::CONTESTANTS_MAX) takes less than half.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Commas of a JSON document at most, and so values: a full roster has a third of them.
const COMMAS_MAX: usize = 1_000_000;

/// Reads TOML into a tree.
pub(crate) fn from_toml(text: &str) -> Result<Section, ContestError> {
    check_size(text)?;
    // Counting from the start for each value would take minutes for a large roster.
    let newlines: Vec<usize> = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let line = |at: usize| 1 + newlines.partition_point(|newline| *newline < at);
    let table = DeTable::parse(text).map_err(|error| ContestError {
        line: error.span().map(|span| line(span.start)),
        key: None,
        message: format!("the file is no TOML: {}; correct it there", error.message().replace('\n', ", ")),
    })?;
    let entries = toml_entries(table.into_inner(), &line);
    Ok(Section { path: String::new(), line: None, entries, known: Vec::new(), unknown: UnknownKeys::Refuse })
}

fn toml_entries(table: DeTable<'_>, line: &impl Fn(usize) -> usize) -> Vec<(String, Node)> {
    let entries = table.into_iter().map(|(key, value)| {
        let at = line(key.span().start);
        (key.get_ref().to_string(), toml_node(at, value.into_inner(), line))
    });
    entries.collect()
}

fn toml_node(at: usize, value: DeValue<'_>, line: &impl Fn(usize) -> usize) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Fraction(integer.to_string()),
        },
        DeValue::Float(float) => Value::Fraction(float.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(instant) => Value::Instant(instant.to_string()),
        DeValue::Array(list) => Value::List(
            list.into_iter().map(|item| toml_node(line(item.span().start), item.into_inner(), line)).collect(),
        ),
        DeValue::Table(table) => Value::Table(toml_entries(table, line)),
    };
    Node { line: Some(at), value }
}

/// Parses JSON text, but for one that is larger than any document of ours. What it says when it fails stands behind
/// "it is no JSON".
pub(crate) fn parse_json(text: &str) -> Result<serde_json::Value, String> {
    check_size(text).map_err(|error| error.message)?;
    let commas = text.bytes().filter(|byte| *byte == b',').count();
    if commas > COMMAS_MAX {
        return Err(format!("it has {commas} commas, at most {COMMAS_MAX} make sense"));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn check_size(text: &str) -> Result<(), ContestError> {
    if text.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("the document is {} bytes long: at most {DOCUMENT_BYTES_MAX}, so split the contest", text.len());
    Err(ContestError { line: None, key: None, message })
}

/// Turns a JSON object into a tree. `None` when it is no object.
pub(crate) fn from_json(value: serde_json::Value, unknown: UnknownKeys) -> Option<Section> {
    match json_node(value).value {
        Value::Table(entries) => Some(Section { path: String::new(), line: None, entries, known: Vec::new(), unknown }),
        _ => None,
    }
}

fn json_node(value: serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(boolean) => Value::Boolean(boolean),
        Json::Number(number) => match number.as_i128() {
            Some(integer) => Value::Integer(integer),
            None => Value::Fraction(number.to_string()),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(list) => Value::List(list.into_iter().map(json_node).collect()),
        Json::Object(map) => Value::Table(map.into_iter().map(|(key, item)| (key, json_node(item))).collect()),
    };
    Node { line: None, value }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Section {
    /// Takes the value of a key. JSON's `null` counts as absent.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, Node { line, value }) = self.entries.remove(at);
        let entry = Entry { path: join(&self.path, key), line, value };
        Some(entry).filter(|entry| !matches!(entry.value, Value::Null))
    }

    pub(crate) fn need(&mut self, key: &'static str, example: &str) -> Result<Entry, ContestError> {
        let (line, path) = (self.line, join(&self.path, key));
        self.take(key).ok_or_else(|| ContestError {
            line,
            key: Some(path),
            message: format!("is missing: add it, such as `{key} = {example}`"),
        })
    }

    /// Takes a table; an absent one is empty.
    pub(crate) fn section(&mut self, key: &'static str) -> Result<Section, ContestError> {
        match self.take(key) {
            Some(entry) => entry.section(self.unknown),
            None => Ok(Section {
                path: join(&self.path, key),
                line: self.line,
                entries: Vec::new(),
                known: Vec::new(),
                unknown: self.unknown,
            }),
        }
    }

    /// Takes a list of tables; an absent one is empty.
    pub(crate) fn sections(&mut self, key: &'static str) -> Result<Sections, ContestError> {
        let (path, unknown) = (join(&self.path, key), self.unknown);
        match self.take(key) {
            None => Ok(Sections { path, items: Vec::new(), unknown }),
            Some(Entry { value: Value::List(items), .. }) => Ok(Sections { path, items, unknown }),
            Some(entry) => Err(entry.wrong(format!("is {}: write one [[{key}]] for each", entry.value.kind()))),
        }
    }

    /// What was not taken, as the key and its text, for tables whose keys are names.
    pub(crate) fn into_texts(self) -> impl Iterator<Item = Result<(String, Entry), ContestError>> {
        self.into_entries().map(|(key, entry)| {
            entry.text()?;
            Ok((key, entry))
        })
    }

    /// What was not taken, for tables whose keys are names.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Entry)> {
        self.entries.into_iter().map(move |(key, Node { line, value })| {
            let entry = Entry { path: join(&self.path, &key), line, value };
            (key, entry)
        })
    }

    /// Whether a person wrote it, who can be told what to write instead.
    pub(crate) fn is_typed(&self) -> bool {
        self.unknown == UnknownKeys::Refuse
    }

    /// All keys were taken, or the first that was not is named.
    pub(crate) fn finish(self) -> Result<(), ContestError> {
        if self.unknown == UnknownKeys::Ignore {
            return Ok(());
        }
        let Some((key, node)) = self.entries.first() else {
            return Ok(());
        };
        let place = if self.path.is_empty() { "the top".to_owned() } else { format!("`{}`", self.path) };
        Err(ContestError {
            line: node.line,
            key: Some(join(&self.path, key)),
            message: format!(
                "is no key that {place} knows: it takes {}{}",
                self.known.join(", "),
                meant(key, &self.known)
            ),
        })
    }

    /// Something is wrong with the table as a whole.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> ContestError {
        let key = (!self.path.is_empty()).then(|| self.path.clone());
        ContestError { line: self.line, key, message: message.into() }
    }
}

/// Which of the keys somebody may have meant: one that differs in two letters, or goes on as the other does.
fn meant(typed: &str, known: &[&'static str]) -> String {
    let near = |key: &&&'static str| {
        let shorter = typed.len().min(key.len());
        distance(typed, key) <= 2 && shorter > 2 || shorter > 3 && (key.starts_with(typed) || typed.starts_with(**key))
    };
    let nearest = known.iter().filter(near).min_by_key(|key| distance(typed, key));
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// How many letters are to be put in, taken out or changed (Levenshtein). Keys are short; what is long is far.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(40).collect(), other.chars().collect());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

impl Sections {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The tables, or what is none.
    pub(crate) fn into_sections(self) -> impl Iterator<Item = Result<Section, ContestError>> {
        self.items.into_iter().enumerate().map(move |(index, Node { line, value })| {
            Entry { path: item_path(&self.path, index), line, value }.section(self.unknown)
        })
    }
}

fn item_path(list: &str, index: usize) -> String {
    format!("{list}[{}]", index + 1)
}

impl Entry {
    pub(crate) fn wrong(&self, message: impl Into<String>) -> ContestError {
        ContestError { line: self.line, key: Some(self.path.clone()), message: message.into() }
    }

    fn section(self, unknown: UnknownKeys) -> Result<Section, ContestError> {
        match self.value {
            Value::Table(entries) => {
                Ok(Section { path: self.path, line: self.line, entries, known: Vec::new(), unknown })
            }
            _ => Err(self.wrong(format!("is {}: write a table of keys", self.value.kind()))),
        }
    }

    pub(crate) fn text(&self) -> Result<&str, ContestError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(format!("is {}: write a text in quotes", other.kind()))),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool, ContestError> {
        match self.value {
            Value::Boolean(boolean) => Ok(boolean),
            _ => Err(self.wrong(format!("is {}: write true or false", self.value.kind()))),
        }
    }

    /// A list of at most `max` texts, each with its place.
    pub(crate) fn into_texts(
        self,
        max: usize,
    ) -> Result<impl Iterator<Item = Result<Entry, ContestError>>, ContestError> {
        match self.value {
            Value::List(items) if items.len() <= max => {
                Ok(items.into_iter().enumerate().map(move |(index, Node { line, value })| {
                    let entry = Entry { path: item_path(&self.path, index), line, value };
                    entry.text()?;
                    Ok(entry)
                }))
            }
            Value::List(ref items) => Err(self.wrong(format!("has {} entries: at most {max}", items.len()))),
            ref other => Err(self.wrong(format!("is {}: write a list of texts", other.kind()))),
        }
    }

    /// A whole number from `min` to `max`; `what` says of what.
    pub(crate) fn integer(&self, min: u64, max: u64, what: &str) -> Result<u64, ContestError> {
        let within = format!("write a whole number of {what} from {min} to {max}");
        match &self.value {
            Value::Integer(number) => u64::try_from(*number)
                .ok()
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| self.wrong(format!("is {number}: {within}"))),
            Value::Fraction(text) => Err(self.wrong(format!("is {}: {within}", shorten(text)))),
            other => Err(self.wrong(format!("is {}: {within}", other.kind()))),
        }
    }

    /// A number with or without a fraction.
    pub(crate) fn fraction(&self) -> Option<f64> {
        match &self.value {
            Value::Integer(number) => Some(*number as f64),
            Value::Fraction(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A duration such as `"3s"` or `"1m 30s"`, in microseconds.
    pub(crate) fn duration_us(&self, min: Duration, max: Duration) -> Result<u64, ContestError> {
        duration_us(self.text()?, min, max).map_err(|message| self.wrong(message))
    }

    /// An instant by RFC 3339, quoted or not, in microseconds since the Unix epoch.
    pub(crate) fn instant_us(&self) -> Result<UtcUs, ContestError> {
        let (Value::Text(text) | Value::Instant(text)) = &self.value else {
            return Err(self.wrong(format!("is {}: {WRITE_INSTANT}", self.value.kind())));
        };
        let wrong = |cause: &dyn Display| self.wrong(format!("is {:?}: {cause}; {WRITE_INSTANT}", shorten(text)));
        let instant: jiff::Timestamp = text.parse().map_err(|_| wrong(&"no instant with its offset from UTC"))?;
        // Zero and the end of time mean "passed" and "never" in the rules.
        u64::try_from(instant.as_microsecond())
            .ok()
            .filter(|instant| *instant > 0)
            .map(UtcUs)
            .ok_or_else(|| wrong(&"before the year 1970"))
    }
}

const WRITE_INSTANT: &str = "write it by RFC 3339, such as 2026-12-01T10:45:00Z";

pub(crate) fn duration_us(text: &str, min: Duration, max: Duration) -> Result<u64, String> {
    let shown = |duration: Duration| humantime::format_duration(duration);
    let within = format!("write a duration from {} to {}, such as \"30s\" or \"5m\"", shown(min), shown(max));
    let duration =
        humantime::parse_duration(text).map_err(|_| format!("is {:?}, no duration: {within}", shorten(text)))?;
    if duration < min || duration > max || duration.subsec_nanos() % 1_000 != 0 {
        return Err(format!("is {:?}: {within}, in whole microseconds", shorten(text)));
    }
    u64::try_from(duration.as_micros()).map_err(|_| format!("is too long: {within}"))
}

/// As much of what somebody wrote as a message should repeat.
pub(crate) fn shorten(text: &str) -> String {
    const CHARS: usize = 60;
    let mut short: String = text.chars().take(CHARS).collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    short
}
