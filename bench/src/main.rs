//! `flowtest-bench demo | compare | floor | close | scoreboard | viewers`.

use clap::{Parser, Subcommand};
use flowtest_bench::error::{Error, Result};
use flowtest_bench::{close, compare, demo, fixed, floor, scoreboard, viewers};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Parser)]
#[command(name = "flowtest-bench", version, about = "Contest in a box, floor, and the comparison with other tools")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A contest in a box: Redis, contestants, a generator, live standings, and the exact account at the end.
    Demo(demo::Options),
    /// Our generator and target against whatever peers are installed, in interleaved pairs.
    Compare(compare::Options),
    /// The smallest honest ring client and server: the limit of this machine.
    Floor(floor::Options),
    /// What closing a connection costs, with few and with many others open.
    Close(close::Options),
    /// What the rows of a fleet of generators cost Redis.
    Scoreboard(scoreboard::Options),
    /// How many may watch the dashboard, and what they cost it.
    Viewers(viewers::Options),
    /// A server with one fixed answer; `compare` starts it.
    #[command(hide = true)]
    Fixed(fixed::Options),
}

/// The exit code of whatever Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("flowtest-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Demo(options) => {
            let stopped = stop_flag()?;
            Ok(match demo::run(options, &|| stopped.load(Ordering::Relaxed))? {
                demo::DemoEnd::Exact => ExitCode::SUCCESS,
                demo::DemoEnd::Differs => ExitCode::FAILURE,
                demo::DemoEnd::Stopped => ExitCode::from(INTERRUPTED),
            })
        }
        Command::Compare(options) => {
            let stopped = stop_flag()?;
            let report = compare::run(options, &|| stopped.load(Ordering::Relaxed))?;
            if let (Some(path), Some(svg)) = (&options.picture, report.to_svg()) {
                std::fs::write(path, svg).map_err(Error::io("writing the picture"))?;
            }
            write(&report, &report.to_markdown(), options.json.as_deref())
        }
        Command::Floor(options) => {
            let report = floor::run(options)?;
            write(&report, &report.to_markdown(), options.json.as_deref())
        }
        Command::Close(options) => {
            let report = close::run(options)?;
            write(&report, &report.to_markdown(), options.json.as_deref())
        }
        Command::Scoreboard(options) => {
            let report = scoreboard::run(options)?;
            write(&report, &report.to_markdown(), options.json.as_deref())
        }
        Command::Viewers(options) => {
            let report = viewers::run(options)?;
            write(&report, &report.to_markdown(), options.json.as_deref())
        }
        Command::Fixed(options) => fixed::serve(options).map(|()| ExitCode::SUCCESS),
    }
}

/// JSON where it was asked for, the table where standard output is free.
fn write(report: &impl serde::Serialize, table: &str, json: Option<&Path>) -> Result<ExitCode> {
    let text = || serde_json::to_string_pretty(report).map_err(|error| Error::Other(error.to_string()));
    match json {
        Some(path) if path == Path::new("-") => println!("{}", text()?),
        Some(path) => {
            std::fs::write(path, text()?).map_err(Error::io(format!("writing {}", path.display())))?;
            println!("{table}");
        }
        None => println!("{table}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Set by Ctrl-C and SIGTERM. A second one ends the program at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(Error::io("listening for signals"))?;
    }
    Ok(flag)
}
