//! What linters cannot check: the build folder's name, the arrows between crates, stray files, names that went.

#[path = "tidy/comments.rs"]
mod comments;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/shapes.rs"]
mod shapes;
#[path = "tidy/sources.rs"]
mod sources;

use serde_json::Value;
use sources::{assert_none, git, read, root, tracked_files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
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
    ("flowtest-bench", &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard", "flowtest-loadgen"]),
    (TESTKIT, &["flowtest-contract", "flowtest-contest", "flowtest-scoreboard"]),
];

/// What only tests may depend on, and any test.
const TESTKIT: &str = "flowtest-testkit";

/// The only place where we write code that the compiler cannot check.
const UNCHECKED_HOME: &str = "loadgen/src/engine/ring";

/// These files name what they look for.
const THESE_FILES: &str = "bench/tests/tidy";

/// Each line of each tracked text file, with `file:line` for the message.
fn each_line(wanted: impl Fn(&str) -> bool, mut visit: impl FnMut(&str, &str, &str)) {
    for file in tracked_files() {
        if file.starts_with(THESE_FILES) || !wanted(&file) {
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

/// The arrows of one of the drawings of rooms, each with its two ends.
fn drawn(page: &str, nth: usize) -> BTreeSet<[&str; 2]> {
    let drawing = page.split("```mermaid\nflowchart BT\n").nth(nth).and_then(|rest| rest.split("```").next());
    let ends = drawing.expect("a drawing").lines().filter_map(|line| line.split_once(" --> "));
    // `bench[bench]` is named where it stands first.
    ends.map(|(user, used)| [user, used].map(|end| end.trim().split('[').next().unwrap_or_default())).collect()
}

#[test]
fn architecture_draws_the_arrows_between_crates() {
    let page = read("ARCHITECTURE.md");
    // The contract is known to all, which the page says in words.
    let drawn: BTreeSet<[&str; 2]> = drawn(&page, 1).into_iter().filter(|[_, used]| *used != "contract").collect();
    let short = |name: &'static str| name.trim_start_matches("flowtest-");
    let arrows = ARROWS.iter().filter(|(user, _)| *user != TESTKIT);
    let arrows = arrows.flat_map(|(user, all)| all.iter().map(|used| [short(user), short(used)]));
    assert_eq!(drawn, arrows.filter(|[_, used]| *used != "contract").collect());
}

/// All that can be reached by arrows.
fn reached<'a>(arrows: &BTreeSet<[&'a str; 2]>) -> BTreeSet<[&'a str; 2]> {
    let mut reached = arrows.clone();
    loop {
        let further = reached.iter().flat_map(|[user, by]| {
            arrows.iter().filter(move |[from, _]| from == by).map(move |[_, used]| [*user, *used])
        });
        let all: BTreeSet<[&str; 2]> = reached.iter().copied().chain(further).collect();
        if all.len() == reached.len() {
            return reached;
        }
        reached = all;
    }
}

#[test]
fn architecture_draws_the_rooms_of_generator_and_dashboard() {
    let page = read("ARCHITECTURE.md");
    for (nth, (source, rooms)) in (2..).zip(ROOM_ARROWS) {
        let arrows: BTreeSet<[&str; 2]> =
            rooms.iter().flat_map(|(user, all)| all.iter().map(|used| [*user, *used])).collect();
        let drawn = drawn(&page, nth);
        let strange: Vec<_> = drawn.difference(&arrows).collect();
        assert!(strange.is_empty(), "{source}: drawn, and nobody knows so: {strange:?}");
        // What follows from others is not drawn again.
        assert_eq!(reached(&drawn), reached(&arrows), "{source}");
    }
}

/// The sources in which files may not use each other in a circle: all of them.
const SOURCES: &[&str] = &[
    "bench/src/",
    "bench/testkit/src/",
    "contract/src/",
    "dashboard/src/",
    "loadgen/src/",
    "storage/accounts/src/",
    "storage/contest/src/",
    "storage/journal/src/",
    "storage/scoreboard/src/",
    "target/src/",
];

/// A room, and those that it may know.
type RoomArrows = &'static [(&'static str, &'static [&'static str])];

/// Which rooms (files and folders right under `src`) a room may use.
const ROOM_ARROWS: &[(&str, RoomArrows)] = &[
    (
        "loadgen/src/",
        &[
            ("admit", &["engine", "error", "observe"]),
            ("cli", &["journal", "play"]),
            ("engine", &["error"]),
            ("journal", &["error", "observe", "redis_flags"]),
            ("observe", &["engine", "error"]),
            ("play", &["admit", "engine", "error", "journal", "observe", "record", "redis_flags", "signals"]),
            ("record", &["engine", "error", "observe"]),
            ("redis_flags", &["error"]),
        ],
    ),
    (
        "dashboard/src/",
        &[
            ("app", &["config", "control", "credentials", "limits", "live", "tasks"]),
            ("cli", &["credentials"]),
            ("config", &["cli"]),
            ("control", &["live"]),
            ("error", &["views"]),
            ("handlers", &["app", "control", "credentials", "error", "limits", "live", "middleware", "views"]),
            ("middleware", &["app", "error", "limits"]),
            ("routes", &["app", "handlers", "middleware"]),
            ("server", &["app", "cli", "config", "limits", "routes"]),
            ("tasks", &["control", "live", "views"]),
            ("views", &["live"]),
        ],
    ),
];

/// A module by the names on the way to it from the crate's root, which has none.
type Module = Vec<String>;

/// The modules of a source folder, its tests left out, each with its code.
struct Source {
    code: BTreeMap<Module, String>,
    /// What a module says again of one of its children, `pub use child::Name;`, is the child's.
    again: BTreeMap<Module, BTreeMap<String, String>>,
}

impl Source {
    fn of(source: &str) -> Source {
        let mut texts: BTreeMap<Module, String> = BTreeMap::new();
        for file in tracked_files() {
            let Some(rest) = file.strip_prefix(source).and_then(|rest| rest.strip_suffix(".rs")) else { continue };
            if rest == "main" || rest.split('/').any(|part| part == "tests" || part == "bin") {
                continue;
            }
            let mut module: Module = rest.split('/').map(str::to_owned).collect();
            module.pop_if(|last| last == "mod" || last == "lib");
            let lines = read(&file);
            let code = lines.lines().filter(|line| !line.trim_start().starts_with("//"));
            texts.insert(module, code.map(|line| format!("{line}\n")).collect());
        }
        let tests: BTreeSet<Module> = texts.iter().flat_map(|(module, text)| test_files(module, text)).collect();
        texts.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let code: BTreeMap<Module, String> =
            texts.into_iter().map(|(module, text)| (module, without_tests(&text))).collect();
        let again = code.iter().map(|(module, text)| (module.clone(), said_again(module, text, &code))).collect();
        Source { code, again }
    }

    /// The module that a path written in another one leads to.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut module = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" => from.clone(),
            _ => from[..from.len().checked_sub(1)?].to_vec(),
        };
        for name in &path[1..] {
            if name == "super" {
                module.pop()?;
                continue;
            }
            let name = self.again.get(&module).and_then(|again| again.get(name)).unwrap_or(name);
            module.push(name.clone());
            if !self.code.contains_key(&module) {
                module.pop();
                break;
            }
        }
        Some(module)
    }

    /// Of each folder, which of its children (files with their folders) use which others. What is above or below a module is
    /// no other: a file may use what holds it.
    fn arrows(&self) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
        let mut arrows: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (from, code) in &self.code {
            for to in used_paths(code).iter().filter_map(|path| self.target(from, path)) {
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if let (Some(user), Some(used)) = (from.get(common), to.get(common)) {
                    let folder = arrows.entry(from[..common].to_vec()).or_default();
                    folder.entry(user.clone()).or_default().insert(used.clone());
                }
            }
        }
        arrows
    }
}

/// The files that a module has for its tests alone.
fn test_files(module: &Module, text: &str) -> Vec<Module> {
    let names = text.split("#[cfg(test)]\n").skip(1).filter_map(|after| {
        let line = after.trim_start().lines().next()?;
        line.trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(|name| [module.as_slice(), &[name.to_owned()]].concat()).collect()
}

fn without_tests(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\nmod ");
    let mut code = parts.next().unwrap_or_default().to_owned();
    // A test module with a body is the last thing in a file; one in a file of its own is one line.
    for part in parts.take_while(|part| !part.lines().next().unwrap_or_default().ends_with('{')) {
        code.push_str(part);
    }
    code
}

fn said_again(module: &Module, text: &str, known: &BTreeMap<Module, String>) -> BTreeMap<String, String> {
    let mut again = BTreeMap::new();
    for statement in text.split("pub use ").skip(1).chain(text.split("pub(crate) use ").skip(1)) {
        for path in tree(statement.split(';').next().unwrap_or_default()) {
            let [child, .., name] = path.as_slice() else { continue };
            if known.contains_key(&[module.as_slice(), std::slice::from_ref(child)].concat()) {
                again.insert(name.clone(), child.clone());
            }
        }
    }
    again
}

/// All paths from `crate`, `self` or `super` on, those in braces one by one.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !"_:$".contains(before) {
                paths.extend(tree(&code[at..]));
            }
        }
    }
    paths
}

/// The paths of one tree: `a::{b, c::d}` are two.
fn tree(text: &str) -> Vec<Vec<String>> {
    let (mut paths, mut open) = (Vec::new(), vec![Vec::new()]);
    let mut path: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix("::{") {
            open.push(path.clone());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("::") {
            // What follows a type is its own, and no module: `Vec::<T>::new`.
            rest = after;
            if after.starts_with(['<', '*']) {
                rest = &after[1..];
            }
        } else if open.len() > 1 && rest.starts_with([',', '}']) {
            if path.len() > open.last().map_or(0, Vec::len) {
                paths.push(std::mem::take(&mut path));
            }
            if rest.starts_with('}') {
                open.pop();
            }
            path = open.last().cloned().unwrap_or_default();
            rest = &rest[1..];
            if open.len() == 1 {
                return paths;
            }
        } else if let Some(after) = rest.strip_prefix("as ").filter(|_| open.len() > 1) {
            rest = after.trim_start().trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_');
        } else {
            paths.push(path);
            return paths;
        }
    }
}

/// Those that use each other in a circle, or are used by one.
fn in_a_circle(mut uses: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    // Whoever uses nobody who is left stands in no circle.
    while let Some(room) =
        uses.iter().find(|(_, used)| !used.iter().any(|used| uses.contains_key(used))).map(|(room, _)| room.clone())
    {
        uses.remove(&room);
    }
    let left: BTreeSet<String> = uses.keys().cloned().collect();
    uses.values_mut().for_each(|used| used.retain(|used| left.contains(used)));
    uses
}

#[test]
fn no_files_of_a_package_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for source in SOURCES {
        let arrows = Source::of(source).arrows();
        assert!(!arrows.is_empty(), "{source} has no file that uses another");
        for (folder, uses) in arrows {
            for (user, used) in in_a_circle(uses) {
                let used = used.into_iter().collect::<Vec<_>>().join(", ");
                found.push(format!("{source}{}: {user} uses {used}", folder.join("/")));
            }
        }
    }
    assert_none(&found, "files that use each other in a circle, or are used by one; move down what both need:");
}

#[test]
fn rooms_use_those_below_them_alone() {
    let mut wrong = Vec::new();
    for (source, allowed) in ROOM_ARROWS {
        let allowed: BTreeMap<&str, BTreeSet<&str>> =
            allowed.iter().map(|(room, used)| (*room, used.iter().copied().collect())).collect();
        let arrows = Source::of(source).arrows().remove(&Module::new()).unwrap_or_default();
        assert_eq!(in_a_circle(arrows.clone()), BTreeMap::new(), "{source}: rooms that use each other in a circle");
        let is_there = |user: &str, used: &str| arrows.get(user).is_some_and(|all| all.contains(used));
        for (user, used) in arrows.iter().flat_map(|(user, all)| all.iter().map(move |used| (user, used))) {
            if !allowed.get(user.as_str()).is_some_and(|all| all.contains(used.as_str())) {
                wrong.push(format!("{source}: {user} -> {used} is new"));
            }
        }
        for (user, used) in allowed.iter().flat_map(|(user, all)| all.iter().map(move |used| (user, used))) {
            if !is_there(user, used) {
                wrong.push(format!("{source}: {user} -> {used} is not there any more"));
            }
        }
    }
    assert_none(&wrong, "arrows between rooms that are not those of ROOM_ARROWS:");
}

#[test]
fn paths_are_found_however_they_are_written() {
    let code = "use crate::{a::B, c::{self, d::E as F}};\nuse super::g::*;\nfn f() -> crate::h::I<crate::j::K> { super::super::l() }";
    let found: BTreeSet<String> = used_paths(code).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a::B",
        "crate::c::d::E",
        "crate::c::self",
        "crate::h::I",
        "crate::j::K",
        "super::g",
        "super::super::l",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
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
    let messages: Vec<String> = [
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
    assert_eq!(said, messages);
}
