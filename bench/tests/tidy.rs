//! What linters cannot check: the build folder's name, the arrows between crates, stray files, unwanted words.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may lie at the top: the user's folders, `contract`, and what every project has.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".dockerignore",
    ".gitignore",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "ansible",
    "bench",
    "contract",
    "dashboard",
    "docs",
    "examples",
    "loadgen",
    "rustfmt.toml",
    "storage",
    "target",
];

/// Which of our packages each package may depend on. Data flows one way, so there are no cycles to allow.
const ARROWS: &[(&str, &[&str])] = &[
    ("flowtest-contract", &[]),
    // A contestant builds the target without Redis or SQLite.
    ("flowtest-target", &["flowtest-contract"]),
    ("flowtest-contest", &["flowtest-contract"]),
    ("flowtest-scoreboard", &["flowtest-contract", "flowtest-contest"]),
    ("flowtest-journal", &["flowtest-contract"]),
    ("flowtest-accounts", &["flowtest-contract"]),
    ("flowtest-loadgen", &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard", "flowtest-journal"]),
    ("flowtest-dashboard", &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard", "flowtest-accounts"]),
    (
        "flowtest-bench",
        &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard", "flowtest-journal", "flowtest-loadgen"],
    ),
    (TESTKIT, &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard"]),
];

/// What only tests may depend on, and any test.
const TESTKIT: &str = "flowtest-testkit";

/// The only place where we write code that the compiler cannot check.
const UNCHECKED_HOME: &str = "loadgen/src/engine/ring";

/// This file names what it looks for.
const THIS_FILE: &str = "bench/tests/tidy.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the project")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn git(arguments: &[&str]) -> std::process::Output {
    Command::new("git").arg("-C").arg(root()).args(arguments).output().expect("git is installed: see `make test`")
}

fn tracked_files() -> Vec<String> {
    let output = git(&["ls-files", "-z"]);
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let files: Vec<String> = names.split_terminator('\0').map(String::from).collect();
    assert!(files.len() > 20, "git lists only {} files", files.len());
    // A file that is deleted but not committed yet has nothing to say.
    files.into_iter().filter(|file| root().join(file).exists()).collect()
}

/// Each line of each tracked text file, with `file:line` for the message.
fn each_line(wanted: impl Fn(&str) -> bool, mut visit: impl FnMut(&str, &str, &str)) {
    for file in tracked_files() {
        if file == THIS_FILE || !wanted(&file) {
            continue;
        }
        let Ok(text) = String::from_utf8(std::fs::read(root().join(&file)).expect("a tracked file is readable")) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            visit(&file, &format!("{file}:{}", index + 1), line);
        }
    }
}

fn assert_none(found: &[String], why: &str) {
    assert!(found.is_empty(), "{why}\n  {}", found.join("\n  "));
}

#[test]
fn cargo_builds_into_build() {
    let config = read(".cargo/config.toml");
    assert!(config.lines().any(|line| line.trim() == "target-dir = \"build\""), "{config}");
    let ignored = read(".gitignore");
    assert!(ignored.lines().any(|line| line == "/build"), "build/ is git-ignored");
    assert!(read("Makefile").contains("CARGO_TARGET_DIR := $(CURDIR)/build"), "the Makefile says so too");
}

#[test]
fn target_is_a_source_folder() {
    let tracked = tracked_files();
    assert!(tracked.iter().any(|file| file == "target/src/main.rs"), "target/src/main.rs is tracked");
    // `git check-ignore` exits with 1 when nothing ignores the path, tracked or not.
    let output = git(&["check-ignore", "--no-index", "target/src/some-new-file.rs"]);
    assert_eq!(output.status.code(), Some(1), "a rule ignores target/: {}", String::from_utf8_lossy(&output.stdout));
    for stray in ["target/debug", "target/release", "target/CACHEDIR.TAG"] {
        assert!(!root().join(stray).exists(), "{stray}: somebody built into the source folder; remove it");
    }
}

#[test]
fn arrows_between_crates_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} has no place in the house; add its arrows here"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let for_tests = dependency["kind"] == "dev";
            let dependency = dependency["name"].as_str().expect("a dependency has a name");
            if ours.contains(dependency) && !allowed.contains(&dependency) && !(for_tests && dependency == TESTKIT) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert_none(&wrong, "arrows that ARCHITECTURE.md does not have:");
}

/// Which rooms (files and folders right under `src`) a room of a package uses, its tests left out.
fn uses_of(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let files = tracked_files();
    let in_source = |file: &String| file.strip_prefix(source).map(|rest| (file.clone(), rest.to_owned()));
    let files: Vec<(String, String)> = files
        .iter()
        .filter_map(in_source)
        .filter(|(_, rest)| rest.ends_with(".rs") && !rest.contains("tests"))
        .collect();
    let room = |rest: &str| rest.split(['/', '.']).next().unwrap_or_default().to_owned();
    let rooms: BTreeSet<String> = files.iter().map(|(_, rest)| room(rest)).filter(|room| room != "main").collect();
    // What the crate's root says again, `pub use room::Name;`, is the room's.
    let root = read(&format!("{source}lib.rs"));
    let again: BTreeMap<&str, &str> = (root.lines())
        .filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';')?.split_once("::"))
        .map(|(room, name)| (name, room))
        .collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, rest) in files.iter().filter(|(_, rest)| room(rest) != "lib" && room(rest) != "main") {
        let text = read(file);
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for after in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.split("crate::").skip(1))
        {
            let names = after.strip_prefix('{').map_or(after, |list| list.split('}').next().unwrap_or_default());
            let names = names.split(',').take(if after.starts_with('{') { usize::MAX } else { 1 });
            let names = names
                .filter_map(|name| name.trim().split(|letter: char| !letter.is_alphanumeric() && letter != '_').next());
            let names = names.map(|name| again.get(name).copied().unwrap_or(name));
            let used = names.filter(|name| rooms.contains(*name) && *name != room(rest)).map(str::to_owned);
            uses.entry(room(rest)).or_default().extend(used);
        }
    }
    uses
}

#[test]
fn no_rooms_of_a_package_use_each_other_in_a_circle() {
    for source in ["loadgen/src/", "dashboard/src/"] {
        let mut uses = uses_of(source);
        assert!(uses.len() > 3, "{source} has only {} rooms that use others", uses.len());
        // Whoever uses nobody who is left stands in no circle; when all such have gone, the circles remain.
        while let Some(room) =
            uses.iter().find(|(_, used)| !used.iter().any(|used| uses.contains_key(used))).map(|(room, _)| room.clone())
        {
            uses.remove(&room);
        }
        let left: Vec<String> = uses
            .iter()
            .map(|(room, used)| {
                let used = used.iter().filter(|used| uses.contains_key(*used)).cloned().collect::<Vec<_>>();
                format!("{source}{room} uses {}", used.join(", "))
            })
            .collect();
        assert_none(&left, "rooms that use each other in a circle, or are used by one:");
    }
}

#[test]
fn only_documents_of_the_project_are_referred_to() {
    let mut found = Vec::new();
    each_line(
        |_| true,
        |_, place, line| {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric());
            if words.any(|word| word == "DESIGN") {
                found.push(format!("{place}: {}", line.trim()));
            }
        },
    );
    assert_none(&found, "references to a document that nobody outside can open:");
}

#[test]
fn a_row_is_a_contestants_counters_and_nothing_else() {
    let mut found = Vec::new();
    each_line(
        |file| file.ends_with(".rs"),
        |_, place, line| {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if words.any(|word| word == "pub") && words.next() == Some("struct") && words.next() == Some("Row") {
                found.push(place.to_owned());
            }
        },
    );
    assert_eq!(found.len(), 1, "`Row` is contract's alone; others have their own nouns: {found:?}");
}

#[test]
fn every_shared_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("the section");
    let section = section.split("\n[").next().expect("its end");
    let bare: Vec<String> = section
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#') && !line.contains('#'))
        .map(String::from)
        .collect();
    assert_none(&bare, "dependencies without a reason:");
}

/// The lines of a `[section]`, as `name` and the rest.
fn entries<'a>(manifest: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let header = format!("[{section}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    let name_ends = |line: &str| line.find([' ', '.', '=']);
    lines.filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_at(name_ends(line)?))).collect()
}

#[test]
fn every_shared_dependency_has_a_user() {
    let root = read("Cargo.toml");
    let members: Vec<String> = root
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .expect("the members stand in one line")
        .split('"')
        .skip(1)
        .step_by(2)
        .map(|member| read(&format!("{member}/Cargo.toml")))
        .collect();
    assert!(members.len() >= 5, "{} members", members.len());
    let used: BTreeSet<&str> = members
        .iter()
        .flat_map(|manifest| {
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|section| entries(manifest, section))
        })
        .flatten()
        .filter(|(_, rest)| rest.contains("workspace = true"))
        .map(|(name, _)| name)
        .collect();
    let shared = entries(&root, "workspace.dependencies");
    assert!(shared.len() > 20 && used.len() > 20, "{} shared, {} used", shared.len(), used.len());
    let idle: Vec<String> =
        shared.iter().filter(|(name, _)| !used.contains(name)).map(|(name, _)| (*name).to_owned()).collect();
    assert_none(&idle, "dependencies of the workspace that no member uses:");
}

#[test]
fn unchecked_code_lives_in_the_ring_alone() {
    let mut found = Vec::new();
    each_line(
        |file| file.ends_with(".rs") && !file.starts_with(UNCHECKED_HOME),
        |_, place, line| {
            let code = line.split("//").next().unwrap_or(line);
            let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if words.into_iter().any(|word| word == "unsafe") && !code.contains('"') {
                found.push(format!("{place}: {}", line.trim()));
            }
        },
    );
    assert_none(&found, "`unsafe` outside the ring:");
}

#[test]
fn no_lint_is_allowed_without_a_reason() {
    let mut found = Vec::new();
    // An attribute may go over several lines; it ends with its bracket.
    let mut open: Option<(String, String)> = None;
    each_line(
        |file| file.ends_with(".rs"),
        |_, place, line| {
            let code = line.trim();
            match &mut open {
                Some((_, attribute)) => attribute.push_str(code),
                None if code.starts_with("#[allow(") || code.starts_with("#![allow(") => {
                    open = Some((place.to_owned(), code.to_owned()));
                }
                None => {}
            }
            if open.as_ref().is_some_and(|(_, attribute)| attribute.ends_with(']'))
                && let Some((place, attribute)) = open.take()
                && !attribute.contains("reason = \"")
            {
                found.push(format!("{place}: {attribute}"));
            }
        },
    );
    assert_none(&found, "use #[expect(.., reason = \"..\")], or where it cannot be expected, allow with a reason:");
}

#[test]
fn no_stray_files_at_the_top() {
    let known: BTreeSet<&str> = TOP_LEVEL.iter().copied().collect();
    let stray: BTreeSet<String> = tracked_files()
        .iter()
        .filter_map(|file| file.split('/').next().map(String::from))
        .filter(|first| !known.contains(first.as_str()))
        .collect();
    assert_none(&stray.into_iter().collect::<Vec<_>>(), "files that nobody planned at the top:");
}

#[test]
fn no_path_of_a_developers_machine() {
    let mut found = Vec::new();
    each_line(
        |_| true,
        |_, place, line| {
            for path in ["/work/", "/home/", "/Users/", "/root/", "/tmp/build"] {
                // A path, not the tail of one: `build/work/` is ours.
                let starts_here = |at: usize| {
                    line[..at]
                        .chars()
                        .next_back()
                        .is_none_or(|before| !(before.is_alphanumeric() || ".-_}~/".contains(before)))
                };
                if line.match_indices(path).any(|(at, _)| starts_here(at)) {
                    found.push(format!("{place}: {}", line.trim()));
                }
            }
        },
    );
    assert_none(&found, "paths that exist on one machine only:");
}

#[test]
fn no_registry_host_is_named() {
    const HOSTS: &[&str] = &[
        "crates.io",
        "static.rust-lang.org",
        "pypi.org",
        "pythonhosted.org",
        "npmjs.org",
        "npmjs.com",
        "deb.debian.org",
        "archive.ubuntu.com",
        "rubygems.org",
        "proxy.golang.org",
    ];
    let mut found = Vec::new();
    each_line(
        // Cargo writes the lock file, and each entry of it names where it came from.
        |file| file != "Cargo.lock",
        |_, place, line| {
            let is_place = ["--find-links", "--index-url"].iter().any(|flag| line.starts_with(flag));
            if is_place || HOSTS.iter().any(|host| line.contains(host)) {
                found.push(format!("{place}: {}", line.trim()));
            }
        },
    );
    assert_none(&found, "which registry serves a machine is that machine's business:");
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let scripts: Vec<PathBuf> = tracked_files()
        .into_iter()
        .filter(|file| file.ends_with(".sh") || file == ".ci/run")
        .map(|file| root().join(file))
        .collect();
    assert!(scripts.len() >= 2, "{scripts:?}");
    for script in scripts {
        let mode = std::fs::metadata(&script).expect("it exists").permissions().mode();
        assert_ne!(mode & 0o111, 0, "{} is not executable", script.display());
        let checked = Command::new("bash").arg("-n").arg(&script).output().expect("bash runs");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_rules_page_says_what_is_refused_in_the_generators_own_sentences() {
    use flowtest_loadgen::engine::http::Malformed;
    let page = read("dashboard/templates/rules.stpl");
    let refused = page.split("class=\"facts wide refused\">").nth(1).and_then(|rest| rest.split("</dl>").next());
    let said = refused.expect("the list is there").split("<dd>").skip(1);
    let said: Vec<&str> = said.filter_map(|rest| rest.split("</dd>").next()).collect();
    let sentences: Vec<String> = [
        Malformed::LengthRepeated,
        Malformed::LengthInvalid,
        Malformed::LengthAndCoding,
        Malformed::BareLf,
        Malformed::NotHttp,
        Malformed::TooManyInterim,
    ]
    .iter()
    .map(|cause| format!("{cause}."))
    .collect();
    assert_eq!(said, sentences);
}
