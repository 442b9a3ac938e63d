//! What a test does not try, told where it is read: the harness keeps what passing tests print, but not this.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{Write, stderr};

/// Whether what takes minutes is asked for, as `make test-long` does. No other value than `1` asks for it, here and in scripts.
pub fn is_long() -> bool {
    is_one(std::env::var_os("FLOWTEST_LONG").as_deref())
}

fn is_one(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| value == "1")
}

/// Says into the log what is not played here, and why.
pub fn not_played(what: impl Display) {
    // A log that cannot be written is no reason for a test to fail.
    let _ = writeln!(stderr(), "not played: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use std::process::Command;

    #[test]
    fn nothing_but_one_asks_for_the_long_run() {
        assert!(is_one(Some(OsStr::new("1"))));
        for value in [None, Some(""), Some("0"), Some("no")] {
            assert!(!is_one(value.map(OsStr::new)), "{value:?}");
        }
    }

    #[test]
    fn what_is_not_played_is_told_though_the_test_passes() {
        const INNER: &str = "FLOWTEST_INNER";
        if std::env::var_os(INNER).is_some() {
            return not_played("haproxy is not here");
        }
        let mut command = Command::new(std::env::current_exe().expect("a test has a program"));
        command.args(["--exact", "skipped::tests::what_is_not_played_is_told_though_the_test_passes"]).env(INNER, "");
        let said = run(&command);
        assert!(said.err.contains("not played: haproxy is not here"), "{said:?}");
    }
}
