//! The project's own files, as git lists them. Also a part of the test of documents.

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the project")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn git(arguments: &[&str]) -> Output {
    Command::new("git").arg("-C").arg(root()).args(arguments).output().expect("git is installed: see `make test`")
}

pub(crate) fn tracked_files() -> Vec<String> {
    let output = git(&["ls-files", "-z"]);
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let files: Vec<String> = names.split_terminator('\0').map(String::from).collect();
    assert!(files.len() > 20, "git lists only {} files", files.len());
    // A file that is deleted but not committed yet has nothing to say.
    files.into_iter().filter(|file| root().join(file).exists()).collect()
}

pub(crate) fn assert_none(found: &[String], why: &str) {
    assert!(found.is_empty(), "{why}\n  {}", found.join("\n  "));
}
