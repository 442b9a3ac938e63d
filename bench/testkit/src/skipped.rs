//! What a test does not try, told where it is read: the harness keeps what passing tests print, but not this.

use std::fmt::Display;
use std::io::{Write, stderr};

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
