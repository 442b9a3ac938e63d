//! Flags and environment -> an already valid [`Config`].

use crate::faults::{Faults, FaultsError};
use crate::responder::Schedules;
use crate::schedule::{Schedule, ScheduleError};
use crate::worker::DriverKind;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use core_affinity::CoreId;
use flowtest_contract::header::Flip;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// The reference contestant server of Flow Test: answers every request with its own token.
#[derive(Debug, Parser)]
#[command(name = "flowtest-target", version, disable_version_flag = true)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one, which is printed
    #[arg(
        long,
        overrides_with = "listen",
        env = "FLOWTEST_TARGET_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:80"
    )]
    listen: String,

    /// The Version header: v1, v2, or v1,v2@TIME, where TIME is RFC 3339 or +20s from the start
    #[arg(long, env = "FLOWTEST_TARGET_VERSION", value_name = "SCHEDULE", default_value = "v2")]
    version: String,

    /// The From header: EC2, ECS, or EC2,ECS@TIME
    #[arg(long, env = "FLOWTEST_TARGET_FROM", value_name = "SCHEDULE", default_value = "ECS")]
    from: String,

    /// One worker on each of these cores: auto (all we may use) or a list such as 0,1
    #[arg(long, env = "FLOWTEST_TARGET_CORES", value_name = "CORES", default_value = "auto")]
    cores: String,

    /// What goes wrong on purpose: none, or NAME:K[=VALUE],... for every K-th request with a token, in the whole
    /// process; the first listed wins. wrong_token missing_token stale_version missing_version stale_from
    /// missing_from delay:K=200ms reset silence garbage status:K[=500] endless_head
    #[arg(long, env = "FLOWTEST_TARGET_FAULTS", value_name = "SPEC", default_value = "none")]
    faults: String,

    /// How to speak to the kernel: auto takes io_uring, and epoll where that is denied
    #[arg(long, env = "FLOWTEST_TARGET_DRIVER", value_enum, default_value_t = Driver::Auto)]
    driver: Driver,

    /// How long a request may take from its first byte to its last; slower ones are answered 408
    #[arg(long, env = "FLOWTEST_TARGET_REQUEST_TIMEOUT", value_name = "TIME", default_value = "10s")]
    request_timeout: String,

    /// How long a connection may wait for its next request; generators keep connections
    #[arg(long, env = "FLOWTEST_TARGET_IDLE_TIMEOUT", value_name = "TIME", default_value = "2m")]
    idle_timeout: String,

    /// Print machine-readable lines: one JSON object when listening, one at the end
    #[arg(long, env = "FLOWTEST_TARGET_JSON", value_parser = BoolishValueParser::new())]
    json: bool,

    /// Print the program's version (--version is the header's schedule)
    #[arg(short = 'V', action = ArgAction::Version)]
    print_version: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Driver {
    Auto,
    #[value(name = "io_uring")]
    IoUring,
    Epoll,
}

/// Time limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub request: Duration,
    pub idle: Duration,
}

/// All that the server needs to know.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub schedules: Schedules,
    pub cores: Vec<CoreId>,
    pub faults: Faults,
    pub driver: DriverKind,
    pub limits: Limits,
    pub json: bool,
}

/// What is wrong with the flags: exit code 2. Each says what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("--listen {listen}: {cause}; write an address and a port, as in 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:0")]
    Listen { listen: String, cause: String },
    #[error("--version {0}")]
    Version(ScheduleError),
    #[error("--from {0}")]
    From(ScheduleError),
    #[error("--cores {cores}: \"{wrong}\" is no core number; write auto, or a list such as 0,1")]
    CoreNumber { cores: String, wrong: String },
    #[error("--cores {cores}: core {core} does not exist or this process may not use it; it may use {allowed}")]
    NoSuchCore { cores: String, core: usize, allowed: String },
    #[error("--cores {cores}: core {core} is listed twice; one worker per core is enough")]
    CoreTwice { cores: String, core: usize },
    #[error("the kernel does not say which cores this process may use; check the container's cpuset")]
    CoresUnknown,
    #[error("--faults {0}")]
    Faults(#[from] FaultsError),
    #[error("{flag} {value}: not a time from 100ms to 1h; write it as in 500ms, 10s or 2m")]
    Time { flag: &'static str, value: String },
    #[error("--driver io_uring: {0}")]
    IoUringDenied(&'static str),
}

impl Args {
    /// Checks everything that can be checked without touching the network.
    pub fn into_config(self) -> Result<Config, UsageError> {
        let start = utc_us();
        Ok(Config {
            listen: listen(&self.listen)?,
            schedules: Schedules {
                version: schedule(&self.version, start).map_err(UsageError::Version)?,
                from: schedule(&self.from, start).map_err(UsageError::From)?,
            },
            cores: cores(&self.cores)?,
            faults: Faults::parse(&self.faults)?,
            driver: driver(self.driver)?,
            limits: Limits {
                request: time("--request-timeout", &self.request_timeout)?,
                idle: time("--idle-timeout", &self.idle_timeout)?,
            },
            json: self.json,
        })
    }
}

fn listen(text: &str) -> Result<SocketAddr, UsageError> {
    let wrong = |cause: String| UsageError::Listen { listen: text.to_owned(), cause };
    let mut addresses = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

fn schedule<T: Flip>(text: &str, start: UtcUs) -> Result<Schedule<T>, ScheduleError> {
    Schedule::parse(text, start)
}

fn cores(text: &str) -> Result<Vec<CoreId>, UsageError> {
    let allowed = core_affinity::get_core_ids().filter(|cores| !cores.is_empty()).ok_or(UsageError::CoresUnknown)?;
    if text == "auto" {
        return Ok(allowed);
    }
    let mut chosen: Vec<CoreId> = Vec::new();
    for number in text.split(',').map(str::trim) {
        let id =
            number.parse().map_err(|_| UsageError::CoreNumber { cores: text.to_owned(), wrong: number.to_owned() })?;
        let core = CoreId { id };
        if !allowed.contains(&core) {
            let allowed = allowed.iter().map(|core| core.id.to_string()).collect::<Vec<_>>().join(",");
            return Err(UsageError::NoSuchCore { cores: text.to_owned(), core: id, allowed });
        }
        if chosen.contains(&core) {
            return Err(UsageError::CoreTwice { cores: text.to_owned(), core: id });
        }
        chosen.push(core);
    }
    Ok(chosen)
}

fn driver(driver: Driver) -> Result<DriverKind, UsageError> {
    match driver {
        Driver::Epoll => Ok(DriverKind::Epoll),
        Driver::Auto | Driver::IoUring if monoio::utils::detect_uring() => Ok(DriverKind::IoUring),
        Driver::Auto => Ok(DriverKind::Epoll),
        Driver::IoUring => Err(UsageError::IoUringDenied(
            "the kernel denies it (sysctl kernel.io_uring_disabled, or the container's seccomp profile); \
             allow it there, or use --driver auto",
        )),
    }
}

fn time(flag: &'static str, text: &str) -> Result<Duration, UsageError> {
    humantime::parse_duration(text)
        .ok()
        .filter(|time| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(time))
        .ok_or_else(|| UsageError::Time { flag, value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = Args::try_parse_from([&["flowtest-target"], flags].concat()).map_err(|error| error.to_string())?;
        args.into_config().map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_flags_it_is_honest_on_port_80_with_what_the_contract_expects_by_default() {
        let config = config(&[]).unwrap();
        let (version, from) = (Schedule::Always(Flip::AFTER), Schedule::Always(Flip::AFTER));
        assert_eq!(config.listen, "0.0.0.0:80".parse().unwrap());
        assert_eq!(config.schedules, Schedules { version, from });
        assert!(config.faults.is_none() && !config.json);
        assert_eq!(Some(config.cores), core_affinity::get_core_ids());
    }

    #[test]
    fn a_core_is_taken_once() {
        let core = core_affinity::get_core_ids().unwrap()[0].id;
        assert_eq!(config(&["--cores", &core.to_string()]).unwrap().cores, [CoreId { id: core }]);
        assert!(config(&["--cores", &format!("{core},{core}")]).unwrap_err().contains("listed twice"));
    }

    #[test]
    fn every_bad_flag_is_a_sentence_with_a_next_step() {
        let cases: [(&[&str], &str); 13] = [
            (&["--listen", "8080"], "write an address and a port"),
            (&["--listen", "127.0.0.1:99999"], "write an address and a port"),
            (&["--listen", ""], "write an address and a port"),
            (&["--version", "v3"], "write v1, v2, or v1,v2@TIME"),
            (&["--version", "v1,v2@noon"], "write an instant such as"),
            (&["--from", "EC3"], "write EC2, ECS, or EC2,ECS@TIME"),
            (&["--cores", "x"], "write auto"),
            (&["--cores", "4095"], "it may use "),
            (&["--cores", ""], "write auto"),
            (&["--faults", "oops:3"], "known are wrong_token"),
            (&["--request-timeout", "0s"], "write it as in 500ms"),
            (&["--idle-timeout", "soon"], "write it as in 500ms"),
            (&["--driver", "kqueue"], "possible values: auto, io_uring, epoll"),
        ];
        for (flags, hint) in cases {
            let error = config(flags).unwrap_err();
            assert!(error.contains(hint), "{flags:?}: {error}");
        }
    }
}
