//! The program as people run it: words in, text and an exit code out.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// The output holds this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Said {
        assert!(self.out.contains(text), "{text:?} is not in:\n{}", self.out);
        self
    }

    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Said {
        assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).expect("JSON")
    }
}

pub(crate) fn run(words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_flowtest-loadgen"))
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    Said {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// `command --journal DIR words...`
pub(crate) fn on(command: &str, dir: &Path, words: &[&str]) -> Said {
    let dir = dir.to_str().expect("UTF-8");
    run(&[&[command, "--journal", dir], words].concat())
}
