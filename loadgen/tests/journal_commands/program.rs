//! The program as people run it: words in, text and an exit code out.

pub(crate) use flowtest_testkit::Said;
use flowtest_testkit::program;
use std::path::Path;

pub(crate) fn run(words: &[&str]) -> Said {
    flowtest_testkit::run(program(env!("CARGO_BIN_EXE_flowtest-loadgen")).args(words))
}

/// `command --journal DIR words...`
pub(crate) fn on(command: &str, dir: &Path, words: &[&str]) -> Said {
    let dir = dir.to_str().expect("UTF-8");
    run(&[&[command, "--journal", dir], words].concat())
}
