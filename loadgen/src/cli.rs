//! The command line: which command the flags mean.

use crate::journal::flags::{Audit, Export, Inspect, Rebuild};
use crate::play::flags::{Limit, RunContest, Serve, Stress};
use crate::play::stop::Stop;
use clap::{Parser, Subcommand};

/// Floods web servers and judges every response.
#[derive(Debug, Parser)]
#[command(name = "flowtest-loadgen", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Flood one or more URLs and print what came of it.
    Stress(Stress),
    /// Find the highest rate that one URL holds: the rate climbs until answers are late or wrong.
    Limit(Limit),
    /// Run a contest from a file; no dashboard needed.
    Run(RunContest),
    /// Follow a contest's control document through whole rounds, alone or as one of several generators.
    Serve(Serve),
    /// Stop all traffic of a contest, from any host.
    Stop(Stop),
    /// Judge every exchange again from the journals, and compare with their sums and with Redis.
    Audit(Audit),
    /// Publish whatever Redis lacks, from any journals.
    Rebuild(Rebuild),
    /// Write a journal's records as CSV or NDJSON.
    Export(Export),
    /// Say what journals hold and in which state they are.
    Inspect(Inspect),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_variable_without_a_value_of_its_own_takes_every_word_for_yes_and_no() {
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|flag| matches!(flag.get_action(), clap::ArgAction::SetTrue)) {
                let parser = format!("{:?}", flag.get_value_parser());
                assert_ne!(parser, "ValueParser::bool", "--{} takes true and false only", flag.get_id());
            }
        }
    }

    #[test]
    fn what_a_rate_has_to_reach_is_verified_and_the_older_name_is_taken() {
        let verified = |flags: &[&str]| {
            let cli = Cli::try_parse_from([&["flowtest-loadgen", "limit", "127.0.0.1:1"], flags].concat());
            let Command::Limit(flags) = cli.expect("flags").command else { panic!("not limit") };
            flags.pass().verified
        };
        assert_eq!(verified(&[]), 0.995);
        assert_eq!(verified(&["--right", "90%"]), 0.9);
        assert_eq!(verified(&["--right", "90%", "--verified", "80%"]), 0.8);
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|flag| flag.get_long().is_some_and(|name| name != "help")) {
                let variable = flag.get_env().unwrap_or_else(|| panic!("--{} has none", flag.get_id()));
                let name = flag.get_long().unwrap_or_default().to_uppercase().replace('-', "_");
                assert_eq!(variable.to_string_lossy(), format!("FLOWTEST_LOADGEN_{name}"));
            }
        }
    }
}
