//! The command line: what is asked for, done, and said; exit codes 0 fine, 1 failed, 2 usage.

use clap::Parser;
use flowtest_dashboard::cli::{Cli, Command, command};
use flowtest_dashboard::server;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let done = match cli.command {
        Command::Serve(flags) => runtime.block_on(server::serve(&flags)),
        Command::Admin { command } => runtime.block_on(command::admin(command)),
        Command::Invite { command } => runtime.block_on(command::invite(command)),
        Command::Backup { file, database } => runtime.block_on(command::backup(&file, &database)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("flowtest-dashboard: {error}");
    ExitCode::FAILURE
}
