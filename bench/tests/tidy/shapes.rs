//! Shapes of code that the house does without: tuples with a bool in them, and waiting by hand.

use super::without_tests;
use crate::sources::{assert_none, read, tracked_files};

/// The places at which a tuple type with a bool among others begins.
fn tuples_with_bools(code: &str) -> Vec<usize> {
    let opens = code.match_indices('(').map(|(at, _)| at);
    let is_type = |at: usize| {
        let before = code[..at].trim_end();
        // What follows a name are arguments, or what a variant holds.
        before.ends_with("->") || !before.ends_with(|letter: char| letter.is_alphanumeric() || "_>!)".contains(letter))
    };
    opens.filter(|at| is_type(*at) && elements(&code[at + 1..]).is_some_and(|all| all.contains(&"bool"))).collect()
}

/// What stands between commas up to the bracket that closes; none where it is one thing alone.
fn elements(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '<' => depth += 1,
            ')' if depth == 0 => {
                found.push(text[from..at].trim());
                return Some(found).filter(|found| found.len() > 1);
            }
            ')' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            ';' | '{' => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn no_tuple_has_a_bool_in_it() {
    let mut found = Vec::new();
    let is_source = |file: &String| file.ends_with(".rs") && file.contains("/src/") && !file.contains("/tests");
    for file in tracked_files().into_iter().filter(is_source) {
        let text = read(&file);
        let code: String =
            text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
        let code = without_tests(&code);
        let lines = tuples_with_bools(&code).into_iter().map(|at| code[..at].matches('\n').count() + 1);
        found.extend(lines.map(|line| format!("{file}:{line}")));
    }
    assert_none(&found, "tuples with a bool: a struct with named fields, or an enum that carries its state's data:");
}

#[test]
fn a_tuple_with_a_bool_is_seen_wherever_a_type_stands() {
    // (code, how many there are)
    let cases = [
        ("fn f(&self) -> (&[u64], bool) {", 1),
        ("fn f() -> Result<(Option<(A, B)>, bool), Error> {", 1),
        ("    pub tested: Option<(bool, &'a str)>,", 1),
        ("fn g(f: impl Fn(u64, bool) -> bool, is_it: bool) -> (u64, u64) {", 0),
        ("let (a, b) = (f(), true);", 0),
    ];
    for (code, count) in cases {
        assert_eq!(tuples_with_bools(code).len(), count, "{code}");
    }
}

/// It turns a ring while it waits.
const WAITS_BY_ITSELF: &str = "loadgen/tests/ring.rs";

#[test]
fn tests_wait_in_one_way() {
    let mut found = Vec::new();
    let is_test = |file: &String| file.ends_with(".rs") && file.contains("/tests/") && file != WAITS_BY_ITSELF;
    for file in tracked_files().into_iter().filter(is_test).filter(|file| !file.starts_with(super::THESE_FILES)) {
        let text = read(&file);
        let by_hand = text.lines().enumerate().filter(|(_, line)| line.contains("Instant::now() <"));
        found.extend(by_hand.map(|(index, line)| format!("{file}:{}: {}", index + 1, line.trim())));
    }
    assert_none(&found, "waiting by hand; flowtest_testkit::wait_until and those beside it say what did not come:");
}

#[test]
fn the_long_run_is_asked_for_in_one_way() {
    let readers =
        tracked_files().into_iter().filter(|file| file.ends_with(".rs") && !file.starts_with(super::THESE_FILES));
    let readers: Vec<String> = readers.filter(|file| read(file).contains("\"FLOWTEST_LONG\"")).collect();
    assert_eq!(readers, ["bench/testkit/src/skipped.rs"], "others ask flowtest_testkit::is_long()");
}
