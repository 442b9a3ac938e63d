//! Names that went do not come back.

use super::{THESE_FILES, each_line};
use crate::sources::{assert_none, read, tracked_files};
use std::collections::{BTreeMap, BTreeSet};

/// Words that went, and their plurals: no name in code, class of a page or file has one in it. ARCHITECTURE.md says under *Words that
/// went* what each became; prose, texts, and tests whose names read as sentences, may say them.
const GONE: &[&str] = &[
    "attention",
    "books",
    "came",
    "coach",
    "course",
    "curtain",
    "desk",
    "door",
    "entrant",
    "gained",
    "game",
    "heed",
    "heeded",
    "heeding",
    "lot",
    "obedience",
    "obey",
    "obeyed",
    "obeying",
    "patience",
    "person",
    "player",
    "regard",
    "reins",
    "saturated",
    "seat",
    "sentence",
    "shelf",
    "sight",
    "steward",
    "tier",
    "usher",
    "wish",
];

/// Whole names that went, whose words alone are in use: an exchange with all three headers right is verified.
const GONE_NAMES: &[&str] = &[
    "ClimbStage",
    "FailedByRight",
    "Fall",
    "Ground",
    "Order",
    "Organiser",
    "Over",
    "Press",
    "Who",
    "Word",
    "all_right",
    "is_wholly_right",
    "right_addresses",
    "right_part",
    "right_rate",
    "wholly_right",
];

/// What an integration test starts, and nothing of the product.
const OF_TESTS: &str = "stage";

/// A name of others.
const OTHERS: &str = "parking_lot";

/// Where programs outside read the old name, until 0.3.
const INTERFACES: &[(&str, &str)] = &[
    // The health of a generator in Redis, `--json` and `--ndjson`.
    ("bench/testkit/src/documents.rs", "saturated_seconds"),
    ("bench/testkit/src/documents.rs", "tier"),
    ("loadgen/src/observe/output/ndjson.rs", "saturated"),
    ("loadgen/src/observe/summary.rs", "saturated_s"),
    ("loadgen/src/observe/summary.rs", "tier"),
    ("loadgen/src/play/serve/health.rs", "saturated_seconds"),
    ("loadgen/src/play/serve/health.rs", "tier"),
    ("storage/scoreboard/src/generator.rs", "saturated_seconds"),
    ("storage/scoreboard/src/generator.rs", "tier"),
    // Messages in Redis, in `/api/me`, and in what a test of an endpoint and practice answer.
    ("dashboard/src/handlers/convert.rs", "sentence"),
    ("dashboard/src/handlers/index/answers.rs", "sentence"),
    ("storage/scoreboard/src/message.rs", "sentence"),
];

/// The words of a name: `TlsState` and `tls_state` have the same.
pub(crate) fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
        words.last_mut().expect("there is one").extend(letter.to_lowercase().filter(|letter| *letter != '_'));
    }
    words
}

fn has_gone_word(name: &str) -> bool {
    let is_gone = |word: &str| GONE.contains(&word) || word.strip_suffix('s').is_some_and(|one| GONE.contains(&one));
    name != OTHERS && words_of(name).iter().any(|word| is_gone(word))
}

fn is_gone(name: &str) -> bool {
    GONE_NAMES.contains(&name) || has_gone_word(name)
}

/// A text of Rust, a script, Python or Lua, or the Rust of a template, without its comments and its strings; what stands in braces
/// inside a string goes, too.
fn code_of(file: &str, text: &str) -> String {
    if file.ends_with(".stpl") {
        return code_of("template.rs", &rust_of(text));
    }
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
        let (kept, skipped) = match no_code(file, rest) {
            Some(length) => (0, length),
            None => (word.max(first.len_utf8()), 0),
        };
        code.push_str(&rest[..kept]);
        code.extend(rest[..skipped].matches('\n'));
        rest = &rest[kept + skipped..];
    }
    code
}

/// What stands between `<%` and `%>`, on the lines on which it does.
fn rust_of(template: &str) -> String {
    let mut parts = template.split("<%");
    let line_ends = |page: &str| "\n".repeat(page.matches('\n').count());
    let mut code = line_ends(parts.next().unwrap_or_default());
    for part in parts {
        let (rust, page) = part.split_once("%>").unwrap_or((part, ""));
        code.push_str(rust.trim_start_matches(['=', '-']));
        code.push(' ');
        code.push_str(&line_ends(page));
    }
    code
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// How long the comment or string is that a text begins with.
fn no_code(file: &str, text: &str) -> Option<usize> {
    if !text.starts_with(['"', '\'', '`', '/', '#', '-', 'r', 'b']) {
        return None;
    }
    let (is_rust, is_python, is_lua) = (file.ends_with(".rs"), file.ends_with(".py"), file.ends_with(".lua"));
    let until = |open: usize, close: &str| text[open..].find(close).map_or(text.len(), |at| open + at + close.len());
    let comment = if is_python {
        "#"
    } else if is_lua {
        "--"
    } else {
        "//"
    };
    if text.starts_with(comment) {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") && !is_python && !is_lua {
        return Some(until(2, "*/"));
    }
    if let Some(quotes) = ["\"\"\"", "'''"].into_iter().find(|quotes| is_python && text.starts_with(*quotes)) {
        return Some(until(3, quotes));
    }
    if let Some(raw) = ["r", "br"].into_iter().find_map(|mark| text.strip_prefix(mark)).filter(|_| is_rust) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let open = text.len() - raw.len() + hashes + 1;
        return raw[hashes..].starts_with('"').then(|| until(open, &format!("\"{}", "#".repeat(hashes))));
    }
    let quote = text.chars().next().filter(|first| ['"', '\'', '`'].contains(first))?;
    let mut letters = text.char_indices().skip(1);
    if is_rust && quote != '"' {
        // A letter, or the beginning of a lifetime.
        let letter = letters.next()?.1;
        let close = if letter == '\\' { letters.nth(1)? } else { letters.next()? };
        let is_letter = letter == '\\' || close.1 == quote;
        return is_letter.then(|| until(close.0, "'"));
    }
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            letter if letter == quote => return Some(at + 1),
            '\n' if !is_rust && quote != '`' => return Some(at),
            _ => {}
        }
    }
    Some(text.len())
}

/// The classes that a line of a style sheet is about, as names.
fn classes_in(line: &str) -> Vec<String> {
    let class = |rest: &str| {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '-').unwrap_or(rest.len());
        rest[..end].replace('-', "_")
    };
    line.split('.').skip(1).map(class).collect()
}

/// The names that a line of code defines, or gives a field of that name a value: items, locals and fields.
fn named_in(line: &str) -> Vec<&str> {
    const ITEMS: [&str; 11] =
        ["class", "const", "enum", "fn", "function", "local", "mod", "static", "struct", "trait", "type"];
    let code = line.trim();
    let words: Vec<&str> =
        code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty()).collect();
    let mut names: Vec<&str> =
        words.windows(2).filter(|pair| ITEMS.contains(&pair[0]) || pair[0] == "let").map(|pair| pair[1]).collect();
    names.extend(words.windows(3).filter(|three| three[..2] == ["let", "mut"]).map(|three| three[2]));
    let field = code.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ");
    let is_name = |text: &&str| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    names.extend(field.split_once(": ").map(|(name, _)| name).filter(is_name));
    names
}

#[test]
fn names_that_went_do_not_come_back() {
    let mut found = BTreeMap::new();
    let is_code = |file: &String| [".rs", ".stpl", ".js", ".py", ".lua"].iter().any(|end| file.ends_with(end));
    let files = tracked_files().into_iter().filter(|file| is_code(file) && !file.contains("/vendor/"));
    for file in files.filter(|file| !file.starts_with(THESE_FILES)) {
        let mut is_test = false;
        let is_product = !file.contains("tests/") && (file.ends_with(".rs") || file.ends_with(".stpl"));
        for (line, number) in code_of(&file, &read(&file)).lines().zip(1..) {
            let items = named_in(line).into_iter().filter(|name| {
                (GONE_NAMES.contains(name) && !file.ends_with(".py")) || (is_product && name.to_lowercase() == OF_TESTS)
            });
            let words = line.split(|letter| !is_of_name(letter)).filter(|name| has_gone_word(name));
            for name in items.chain(words) {
                // A test has a sentence for its name, whatever macro makes it one.
                let is_sentence = line.contains("fn ") && (is_test || words_of(name).len() > 5);
                if !is_sentence && !name.starts_with("test_") {
                    found.entry((file.clone(), name.to_owned())).or_insert_with(|| format!("{file}:{number}"));
                }
            }
            if !line.trim().is_empty() {
                is_test = line.contains("test]") || (is_test && line.trim_start().starts_with("#["));
            }
        }
    }
    let allowed: BTreeSet<(String, String)> =
        INTERFACES.iter().map(|(file, name)| ((*file).to_owned(), (*name).to_owned())).collect();
    let back =
        found.iter().filter(|(key, _)| !allowed.contains(key)).map(|((_, name), place)| format!("{place}: {name}"));
    assert_none(
        &back.collect::<Vec<_>>(),
        "names that went, and are here again (ARCHITECTURE.md says what each became):",
    );
    let idle = allowed.iter().filter(|key| !found.contains_key(key)).map(|(file, name)| format!("{file}: {name}"));
    assert_none(&idle.collect::<Vec<_>>(), "places of INTERFACES that are not there any more: take them out:");
}

#[test]
fn names_that_went_are_no_classes_and_no_files() {
    let mut found = Vec::new();
    each_line(
        |file| file.ends_with(".css") && !file.contains("/vendor/"),
        |_, place, line| {
            let gone = classes_in(line).into_iter().filter(|class| is_gone(class));
            found.extend(gone.map(|class| format!("{place}: {class}")));
        },
    );
    for file in tracked_files().into_iter().filter(|file| !file.starts_with(THESE_FILES)) {
        let parts = file.split(['/', '.']).map(|part| part.replace('-', "_"));
        found.extend(parts.filter(|part| is_gone(part)).map(|part| format!("{file}: {part}")));
    }
    assert_none(&found, "names that went, and are here again (ARCHITECTURE.md says what each became):");
    assert_eq!(classes_in(".stage > .front-seat.open { margin: .5rem }"), ["stage", "front_seat", "open", "5rem"]);
}

#[test]
fn a_name_is_seen_wherever_it_is_defined() {
    let seen = |line: &str| named_in(line).join(" ");
    // (line, the names that it defines)
    let cases = [
        ("pub struct Player<'a> {", "Player"),
        ("    pub(super) fn sentence(&self) -> String {", "sentence"),
        ("    pub saturated_s: Option<u64>,", "saturated_s"),
        ("let mut sentence = String::new();", "mut sentence"),
        ("enum TlsState {", "TlsState"),
        ("    player::join(seat)", ""),
        ("export function usher() {", "usher"),
        ("class Coach {", "Coach"),
    ];
    for (line, names) in cases {
        assert_eq!(seen(line), names, "{line}");
    }
    assert_eq!(words_of("TlsState"), ["tls", "state"]);
    assert_eq!(words_of("SENTENCE_BYTES_MAX"), ["sentence", "bytes", "max"]);
}

#[test]
fn code_is_what_is_left_without_comments_and_texts() {
    // (file, text, its code)
    let cases = [
        ("a.rs", "fn usher(seat: u8) { // a door\n}", "fn usher(seat: u8) { \n}"),
        ("a.rs", "for sentence in [\"a \\\" door\", r#\"a \"tier\"\"#] /* coach\n*/ {}", "for sentence in [, ] \n {}"),
        ("a.rs", "fn f<'a>(x: &'a str) { '\"'; '\\''; b'\\n'; wish('d') }", "fn f<'a>(x: &'a str) { ; ; b; wish() }"),
        ("a.rs", "let r#type = bar(r\"door\");", "let r#type = bar();"),
        (
            "a.js",
            "assign(ids, wish); // door\nlet a = 'it\\'s a door' + `${tier}\n` + b;",
            "assign(ids, wish); \nlet a =  + \n + b;",
        ),
        ("a.stpl", "<p>seat\n<% if door { -%>\n<b><%= tier %></b>", "\n if door { - \n tier  "),
        ("a.lua", "local seat = #door -- a wish\nreturn 'tier'", "local seat = #door \nreturn "),
        ("a.py", "PATIENCE_S = 60  # door\n\"\"\"A \"door\".\"\"\"\nf('seat')", "PATIENCE_S = 60  \n\nf()"),
    ];
    for (file, text, code) in cases {
        assert_eq!(code_of(file, text), code, "{file}: {text}");
    }
    assert!(has_gone_word("Players") && has_gone_word("SENTENCE_S") && has_gone_word("books"));
    assert!(!has_gone_word("AddressBook") && !has_gone_word(OTHERS));
}
