//! `flowtest-bench demo | compare | floor`.

use clap::{Parser, Subcommand};
use flowtest_bench::error::{Error, Result};
use flowtest_bench::{compare, fixed};
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
    /// Our generator and target against whatever peers are installed, in interleaved pairs.
    Compare(compare::Options),
    /// A server with one fixed answer; `compare` starts it.
    #[command(hide = true)]
    Fixed(fixed::Options),
}

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
        Command::Compare(options) => {
            let stopped = stop_flag()?;
            let report = compare::run(options, &|| stopped.load(Ordering::Relaxed))?;
            let json = || serde_json::to_string_pretty(&report).map_err(|error| Error::Other(error.to_string()));
            match &options.json {
                Some(path) if path.as_os_str() == "-" => println!("{}", json()?),
                Some(path) => {
                    std::fs::write(path, json()?).map_err(Error::io(format!("writing {}", path.display())))?;
                    println!("{}", report.to_markdown());
                }
                None => println!("{}", report.to_markdown()),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Fixed(options) => fixed::serve(options).map(|()| ExitCode::SUCCESS),
    }
}

/// Set by Ctrl-C and SIGTERM. A second one ends the program at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(Error::io("listening for signals"))?;
    }
    Ok(flag)
}
