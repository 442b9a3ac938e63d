//! Flags, start, stop, exit code: 0 fine, 1 failed, 2 usage.

use clap::Parser;
use flowtest_target::Server;
use flowtest_target::certificates::Certificates;
use flowtest_target::config::{Args, UsageError};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let config = match Args::parse().into_config() {
        Ok(config) => config,
        // Nothing is wrong with the flag; the world is.
        Err(error @ UsageError::IoUringDenied(_)) => return complain(&error, FAILED),
        Err(error) => return complain(&error, USAGE),
    };
    let json = config.json;
    let server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => return complain(&error, FAILED),
    };
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // A second signal ends the process at once: the flag is already set when it arrives.
        let flag = server.stop_flag();
        let registered = signal_hook::flag::register_conditional_shutdown(signal, FAILED.into(), Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, flag));
        if let Err(error) = registered {
            return complain(&format!("cannot listen for signals: {error}; stop the process with SIGKILL"), FAILED);
        }
    }
    if let Some(certificates) = server.certificates()
        && let Err(error) = reload_on_hangup(certificates)
    {
        return complain(&format!("cannot listen for SIGHUP: {error}; start it without TLS"), FAILED);
    }
    if let Some(why) = server.fallback() {
        let _ = writeln!(std::io::stderr(), "flowtest-target: {why}");
    }
    say(&if json { server.to_json().to_string() } else { server.to_text() });
    let stopped = server.join();
    say(&if json { stopped.to_json().to_string() } else { stopped.to_text() });
    ExitCode::SUCCESS
}

/// From now on SIGHUP reads the certificate again.
fn reload_on_hangup(certificates: Arc<Certificates>) -> std::io::Result<()> {
    let mut hangups = signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP])?;
    let work = move || {
        for _ in &mut hangups {
            let line = match certificates.reload() {
                Ok(()) => "the certificate is read again".to_owned(),
                Err(error) => format!("the certificate stays as it was: {error}"),
            };
            let _ = writeln!(std::io::stderr(), "flowtest-target: {line}");
        }
    };
    std::thread::Builder::new().name("reload".to_owned()).spawn(work).map(drop)
}

/// Whoever started us may have closed our output; that is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(error: &impl std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "flowtest-target: {error}");
    ExitCode::from(code)
}
