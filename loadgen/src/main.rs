//! The command line: parse, run, exit code. Everything else is the library's.

use clap::Parser;
use flowtest_loadgen::Failed;
use flowtest_loadgen::cli::{Cli, Command};
use flowtest_loadgen::journal::{audit, export, inspect, rebuild};
use flowtest_loadgen::play::{limit, run, serve, stop as stop_traffic, stress};
use flowtest_loadgen::signals::Stop;
use flowtest_scoreboard::{ScoreboardError, redacted};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let stop = Stop::default();
    let result = match &cli.command {
        Command::Stress(flags) => stress::stress(flags, &stop),
        Command::Limit(flags) => limit::limit(flags, &stop),
        Command::Run(flags) => run::run(flags, &stop),
        Command::Serve(flags) => {
            stop.catch_signals();
            serve::serve(flags, stop.flag())
        }
        Command::Stop(flags) => stop_traffic::stop(flags),
        Command::Audit(flags) => audit::audit(flags),
        Command::Rebuild(flags) => rebuild::rebuild(flags),
        Command::Export(flags) => export::export(flags),
        Command::Inspect(flags) => inspect::inspect(flags),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("flowtest-loadgen: {error}");
            ExitCode::from(match error {
                Failed::Usage(_) | Failed::Scoreboard(ScoreboardError::PasswordFile { .. }) => 2,
                Failed::Message(_) | Failed::Journal(_) | Failed::Scoreboard(_) => 1,
            })
        }
    }
}

/// Says what is wrong with the flags, or helps. A URL in the wrong place is repeated without its password, and nothing of any
/// length.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let is_help = !error.use_stderr();
    if is_help || !text.lines().any(|line| line.contains('@') || line.len() > LINE_BYTES_MAX) {
        // A closed pipe is the reader's wish.
        let _ = error.print();
    } else {
        for line in text.lines() {
            eprintln!("{}", redacted(line));
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// No sentence about flags is longer.
const LINE_BYTES_MAX: usize = 400;
