//! The command line: parse, run, exit code. Everything else is the library's.

use clap::Parser;
use flowtest_loadgen::Failed;
use flowtest_loadgen::cli::{Cli, Command};
use flowtest_loadgen::journal::{audit, export, inspect, rebuild};
use flowtest_loadgen::play::{run, serve, stop as stop_traffic, stress};
use flowtest_scoreboard::ScoreboardError;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the process at once; the first lets what is in flight finish.
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()));
        if let Err(error) = registered {
            eprintln!("flowtest-loadgen: no handler for signals ({error}): Ctrl-C will lose the summary");
        }
    }
    let result = match &cli.command {
        Command::Stress(flags) => stress::stress(flags, &stop),
        Command::Run(flags) => run::run(flags, &stop),
        Command::Serve(flags) => serve::serve(flags, &stop),
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
