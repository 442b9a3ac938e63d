//! What the documents say is there: paths, links, and names of the code.
//!
//! A document is corrected by whoever moves what it names, because this fails. It reads files and nothing else.

#[path = "tidy/sources.rs"]
mod sources;

use flowtest_contest::Policy;
use flowtest_contest::policy::Ownership;
use flowtest_scoreboard::publisher;
use sources::{assert_none, read, root, tracked_files};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Documents that say how it is today. The changelog and the benchmarks say how it was.
const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];
/// Folders whose documents do too.
const FOLDERS: &[&str] = &["ansible/", "docs/", "examples/"];

fn documents() -> Vec<String> {
    let is_document = |file: &str| {
        DOCUMENTS.contains(&file) || FOLDERS.iter().any(|folder| file.starts_with(folder) && file.ends_with(".md"))
    };
    let documents: Vec<String> = tracked_files().into_iter().filter(|file| is_document(file)).collect();
    assert!(documents.len() > 10, "{documents:?}");
    documents
}

/// What stands in backticks in a document's prose, with `file:line`.
fn quoted(document: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (index, line) in read(document).lines().enumerate() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let quotes = line.split('`').skip(1).step_by(2);
            found.extend(quotes.map(|quote| (format!("{document}:{}", index + 1), quote.to_owned())));
        }
    }
    found
}

#[test]
fn a_path_that_a_document_names_is_there() {
    let rooms: BTreeSet<String> =
        tracked_files().iter().filter_map(|file| Some(file.split_once('/')?.0.to_owned())).collect();
    let is_path = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let mut missing = Vec::new();
    for document in documents() {
        for (place, quote) in quoted(&document) {
            let Some((room, _)) = quote.split_once('/') else { continue };
            if rooms.contains(room) && is_path(&quote) && !root().join(&quote).exists() {
                missing.push(format!("{place}: {quote}"));
            }
        }
    }
    assert_none(&missing, "paths that documents name and that are not there:");
}

#[test]
fn a_link_of_a_document_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents().into_iter().chain(["CHANGELOG.md".to_owned(), "BENCHMARKS.md".to_owned()]) {
        let folder = PathBuf::from(&document).parent().map(Path::to_path_buf).unwrap_or_default();
        for (index, line) in read(&document).lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
                let file = link.split('#').next().unwrap_or_default();
                let is_elsewhere = file.is_empty() || file.contains("://");
                if !is_elsewhere && !root().join(&folder).join(file).exists() {
                    broken.push(format!("{document}:{}: {link}", index + 1));
                }
            }
        }
    }
    assert_none(&broken, "links that lead nowhere:");
}

/// Every name that our sources define: items, modules and packages by their files and folders, and variants by the first word
/// of their line.
fn defined_names() -> BTreeSet<String> {
    const KEYWORDS: [&str; 8] = ["const", "enum", "fn", "mod", "static", "struct", "trait", "type"];
    let without_end = |part: &str| part.split('.').next().unwrap_or_default().to_owned();
    let mut names: BTreeSet<String> =
        tracked_files().iter().flat_map(|file| file.split('/').map(without_end).collect::<Vec<_>>()).collect();
    for file in tracked_files().iter().filter(|file| file.ends_with(".rs")) {
        for line in read(file).lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
            let words: Vec<&str> =
                line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
            names.extend(words.windows(2).filter(|pair| KEYWORDS.contains(&pair[0])).map(|pair| pair[1].to_owned()));
            let first = words.first().filter(|_| line.starts_with(char::is_uppercase));
            names.extend(first.map(|word| (*word).to_owned()));
        }
    }
    assert!(names.len() > 1000, "only {} names", names.len());
    names
}

#[test]
fn a_name_of_the_code_that_a_document_says_is_defined() {
    let defined = defined_names();
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut unknown = Vec::new();
    for document in documents() {
        for (place, quote) in quoted(&document) {
            let parts: Vec<&str> = quote.trim_end_matches("()").split("::").collect();
            if parts.len() > 1 && parts.iter().all(|part| is_name(part)) {
                let missing = parts.iter().filter(|part| !defined.contains(**part));
                unknown.extend(missing.map(|part| format!("{place}: {part} of {quote}")));
            }
        }
    }
    assert_none(&unknown, "names that documents say and no source defines:");
}

#[test]
fn how_often_rows_are_put_is_what_the_publisher_does() {
    let prose = |document: &str| read(document).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = |interval: Duration| match interval.subsec_millis() {
        0 => format!("{} s", interval.as_secs()),
        ms => format!("{ms} ms"),
    };
    let [changes, whole] = [publisher::CHANGES_INTERVAL, publisher::WHOLE_INTERVAL].map(said);
    let [histograms, all] = [publisher::HISTOGRAMS_INTERVAL, publisher::HISTOGRAMS_WHOLE_INTERVAL].map(said);
    let wanted = [
        ("ARCHITECTURE.md", format!("tallies that changed every {changes} and all of them every {whole};")),
        ("ARCHITECTURE.md", format!("those that changed every {histograms}, all of them every {all} and at the end")),
        ("docs/scale.md", format!("tallies every {changes}, histograms every {histograms}.")),
    ];
    let untrue = wanted.iter().filter(|(document, words)| !prose(document).contains(words));
    let untrue: Vec<String> = untrue.map(|(document, words)| format!("{document} does not say: {words}")).collect();
    assert_none(&untrue, "intervals that are others:");
}

/// Files and folders right under these, by which an engineer finds the way.
const ROOMS: &[&str] = &["dashboard/src/", "loadgen/src/"];

#[test]
fn architecture_says_what_each_room_of_generator_and_dashboard_is() {
    let said: BTreeSet<String> = quoted("ARCHITECTURE.md").into_iter().map(|(_, quote)| quote).collect();
    let mut rooms = BTreeSet::new();
    for file in tracked_files() {
        let Some(rest) = ROOMS.iter().find_map(|folder| file.strip_prefix(folder)) else { continue };
        let name = rest.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if !matches!(name, "lib" | "main") {
            rooms.insert(name.to_owned());
        }
    }
    assert!(rooms.len() > 20, "{rooms:?}");
    rooms.retain(|name| !said.contains(&format!("{name}.rs")) && !said.contains(&format!("{name}/")));
    assert_none(&rooms.into_iter().collect::<Vec<_>>(), "rooms of which ARCHITECTURE.md says nothing:");
}

#[test]
fn the_example_of_an_inventory_asks_each_server_whose_it_is() {
    // As it stands, and not in a comment.
    let example = read("ansible/inventory/hosts.example.yml");
    let asked = example.lines().find_map(|line| line.trim().strip_prefix("generator_ownership: "));
    let template = read("ansible/roles/generator/templates/policy.toml.j2");
    let line = template.lines().find(|line| line.starts_with("ownership = ")).expect("the template says it");
    let ceiling = |asked: &str| {
        let policy =
            format!("[policy]\nallow = [\"10.0.0.0/8\"]\n{}\n", line.replace("{{ generator_ownership }}", asked));
        Policy::ceiling(&policy).unwrap_or_else(|error| panic!("{error}")).ownership
    };
    assert_eq!(asked.map(ceiling), Some(Ownership::Header), "{example}");
    // Where nobody says anything the contract's three headers suffice.
    let defaults = read("ansible/roles/generator/defaults/main.yml");
    let default = defaults.lines().find_map(|line| line.strip_prefix("generator_ownership: ")).expect("a default");
    assert_eq!(ceiling(default.trim_matches('"')), Ownership::Off);
}

/// A decision's status without its links and without which part another one decides.
fn status_of(text: &str) -> String {
    let (status, _) = text.split_once(": ").unwrap_or((text, ""));
    status
        .split('(')
        .map(|part| part.rsplit(')').next().unwrap_or_default())
        .collect::<String>()
        .replace(['[', ']'], "")
}

/// Whether a status is one of the form: the other decision that it may name is there.
fn is_status(status: &str, numbers: &BTreeSet<&str>) -> bool {
    let other = ["in force, with ", "replaced by "].into_iter().find_map(|before| status.strip_prefix(before));
    other.map_or(matches!(status, "in force" | "withdrawn"), |other| numbers.contains(other))
}

#[test]
fn a_decision_has_the_form_that_the_list_says() {
    let files: Vec<String> = tracked_files()
        .into_iter()
        .filter(|file| file.starts_with("docs/decisions/0") && file.ends_with(".md"))
        .collect();
    let number_of = |file: &str| file["docs/decisions/".len()..][..4].to_owned();
    let numbers: Vec<String> = files.iter().map(|file| number_of(file)).collect();
    let numbers: BTreeSet<&str> = numbers.iter().map(String::as_str).collect();
    assert!(files.len() > 10 && numbers.len() == files.len(), "{files:?}");
    let list = read("docs/decisions/README.md");
    let mut bent = Vec::new();
    for file in &files {
        let number = number_of(file);
        let text = read(file);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).take(3).collect();
        let said = |line: usize, name: &str| lines[line].strip_prefix(&format!("- **{name}:** ")).unwrap_or_default();
        let (status, date) = (status_of(said(1, "Status")), said(2, "Date"));
        let line = list.lines().find(|line| line.starts_with(&format!("| [{number}]("))).unwrap_or_default();
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, _, _, listed_date, listed_status, _] = cells[..] else {
            bent.push(format!("{file}: the list has no line of it"));
            continue;
        };
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        let holds = [
            ("title", lines[0].starts_with(&format!("# {number}: "))),
            ("status", is_status(&status, &numbers) && status == listed_status),
            // What else is to say of it stands in brackets.
            ("date", date.split(" (").next() == Some(listed_date) && listed_date.len() == "2026-11-23".len()),
            ("headings", headings == ["## Context", "## Decision", "## Consequences", "## Rejected"]),
        ];
        bent.extend(holds.iter().filter(|(_, holds)| !holds).map(|(what, _)| format!("{file}: {what}")));
    }
    assert_none(&bent, "decisions that have not the form of docs/decisions/README.md, or are not as its list says:");
    assert_eq!(status_of("in force, with [0013](0013-a.md): how often"), "in force, with 0013");
    assert!(!is_status("in force; how often is 0013's", &numbers) && !is_status("replaced by 9999", &numbers));
}

#[test]
fn sources_refer_to_documents_that_are_here() {
    let mut elsewhere = Vec::new();
    for file in tracked_files().iter().filter(|file| file.ends_with(".rs") && *file != "bench/tests/documents.rs") {
        for (index, line) in read(file).lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            let words = comment.split(|c: char| c.is_whitespace() || "(),;`".contains(c));
            let is_gone = |word: &str| {
                let name = word.trim_end_matches(['.', ':']);
                name.ends_with(".md") && !root().join(name).exists()
            };
            if words.into_iter().any(is_gone) {
                elsewhere.push(format!("{file}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert_none(&elsewhere, "comments that point at documents which nobody here can open:");
}
