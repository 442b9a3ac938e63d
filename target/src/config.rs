//! Flags and environment -> an already valid [`Config`].

use crate::capacity::PER_SECOND_MAX;
use crate::certificates::{self, Source};
use crate::faults::{Faults, FaultsError};
use crate::responder::Schedules;
use crate::schedule::{Schedule, ScheduleError};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use core_affinity::CoreId;
use flowtest_contract::header::Flip;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
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

    /// Address and port to speak TLS on, beside --listen [default where there is a certificate: 0.0.0.0:443]
    #[arg(long, overrides_with = "listen_tls", env = "FLOWTEST_TARGET_LISTEN_TLS", value_name = "ADDRESS:PORT")]
    listen_tls: Option<String>,

    /// The certificate chain of the TLS port, PEM, the server's own first; SIGHUP reads it again
    #[arg(long, env = "FLOWTEST_TARGET_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key of the first certificate, PEM
    #[arg(long, env = "FLOWTEST_TARGET_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Make a certificate at the start, for tries; written to FILE if one is named, for those who are to trust it
    #[arg(
        long,
        env = "FLOWTEST_TARGET_TLS_SELF_SIGNED",
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = "tls_cert"
    )]
    tls_self_signed: Option<String>,

    /// The Version header: v1, v2, or v1,v2@TIME, where TIME is RFC 3339 or +20s from the start
    #[arg(long, env = "FLOWTEST_TARGET_VERSION", value_name = "SCHEDULE", default_value = "v2")]
    version: String,

    /// The From header: EC2, ECS, or EC2,ECS@TIME
    #[arg(long, env = "FLOWTEST_TARGET_FROM", value_name = "SCHEDULE", default_value = "ECS")]
    from: String,

    /// One worker on each of these cores: auto (all we may use; where a CPU quota allows fewer, as many workers as the
    /// quota, on any core) or a list such as 0,1
    #[arg(long, env = "FLOWTEST_TARGET_CORES", value_name = "CORES", default_value = "auto")]
    cores: String,

    /// Answer at most N requests a second, by a token bucket for the whole process: above it answers get slow, up to a
    /// second, then fail with 503. /healthz is free. Without it there is no limit
    #[arg(
        long,
        env = "FLOWTEST_TARGET_CAPACITY",
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PER_SECOND_MAX))
    )]
    capacity: Option<u32>,

    /// Send "Team: NAME" with each answer, for contests that ask for proof of who owns a server
    #[arg(long, env = "FLOWTEST_TARGET_TEAM", value_name = "NAME")]
    team: Option<String>,

    /// What goes wrong on purpose: none, or NAME:K[=VALUE],... for every K-th request with a token, in the whole
    /// process; the first listed wins. wrong_token missing_token stale_version missing_version stale_from
    /// missing_from delay:K=200ms reset silence garbage status:K[=500] endless_head; and for every K-th handshake
    /// tls_expired tls_reset tls_slow:K=200ms
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

/// Longer than any login name, and short enough to cost nothing.
const TEAM_BYTES_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Driver {
    Auto,
    #[value(name = "io_uring")]
    IoUring,
    Epoll,
}

/// How the kernel is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    IoUring,
    Epoll,
}

impl DriverKind {
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::IoUring => "io_uring",
            DriverKind::Epoll => "epoll",
        }
    }
}

/// The port that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPort {
    pub listen: SocketAddr,
    pub source: Source,
}

/// Time limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub request: Duration,
    pub idle: Duration,
}

/// The threads to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Each of these has a thread that stays there.
    Pinned(Vec<CoreId>),
    /// So many, on whichever cores the kernel chooses: with a quota the cores are other processes' as well, and two
    /// that pin to the first ones would share these and leave the others idle.
    Unpinned(usize),
}

impl Workers {
    /// For each worker its core, if it has one.
    pub fn cores(&self) -> Vec<Option<CoreId>> {
        match self {
            Workers::Pinned(cores) => cores.iter().copied().map(Some).collect(),
            Workers::Unpinned(count) => vec![None; *count],
        }
    }
}

/// All that the server needs to know.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub tls: Option<TlsPort>,
    pub schedules: Schedules,
    pub workers: Workers,
    pub capacity: Option<u32>,
    pub team: Option<Arc<str>>,
    pub faults: Faults,
    /// The first of these that starts is taken.
    pub drivers: Vec<DriverKind>,
    pub limits: Limits,
    pub json: bool,
}

/// What is wrong with the flags: exit code 2. Each says what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("{flag} {listen}: {cause}; write an address and a port, as in 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:0")]
    Listen { flag: &'static str, listen: String, cause: String },
    #[error(
        "{0} is about a port that speaks TLS, and there is no certificate; give --tls-cert FILE --tls-key FILE, or \
         --tls-self-signed for tries"
    )]
    NoCertificate(&'static str),
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
    #[error("--team {team:?}: write the login name of your account: 1 to 128 visible ASCII characters")]
    Team { team: String },
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
        let faults = Faults::parse(&self.faults)?;
        let tls = tls(self.listen_tls.as_deref(), self.tls_cert.zip(self.tls_key), self.tls_self_signed)?;
        if tls.is_none() && faults.has_handshakes() {
            return Err(UsageError::NoCertificate("--faults tls_..."));
        }
        Ok(Config {
            listen: listen("--listen", &self.listen)?,
            tls,
            schedules: Schedules {
                version: schedule(&self.version, start).map_err(UsageError::Version)?,
                from: schedule(&self.from, start).map_err(UsageError::From)?,
            },
            workers: workers(&self.cores)?,
            capacity: self.capacity,
            team: self.team.map(team).transpose()?,
            faults,
            drivers: drivers(self.driver)?,
            limits: Limits {
                request: time("--request-timeout", &self.request_timeout)?,
                idle: time("--idle-timeout", &self.idle_timeout)?,
            },
            json: self.json,
        })
    }
}

const LISTEN_TLS: &str = "0.0.0.0:443";

fn tls(
    address: Option<&str>,
    files: Option<(PathBuf, PathBuf)>,
    self_signed: Option<String>,
) -> Result<Option<TlsPort>, UsageError> {
    let listen = |()| listen("--listen-tls", address.unwrap_or(LISTEN_TLS));
    Ok(match (files, self_signed) {
        (Some((certificate, key)), _) => {
            Some(TlsPort { listen: listen(())?, source: Source::Files { certificate, key } })
        }
        (None, Some(copy)) => {
            let listen = listen(())?;
            let copy = (!copy.is_empty()).then(|| PathBuf::from(copy));
            Some(TlsPort { listen, source: Source::SelfSigned { names: certificates::names_of(listen.ip()), copy } })
        }
        (None, None) if address.is_some() => return Err(UsageError::NoCertificate("--listen-tls")),
        (None, None) => None,
    })
}

fn listen(flag: &'static str, text: &str) -> Result<SocketAddr, UsageError> {
    let wrong = |cause: String| UsageError::Listen { flag, listen: text.to_owned(), cause };
    let mut addresses = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

fn schedule<T: Flip>(text: &str, start: UtcUs) -> Result<Schedule<T>, ScheduleError> {
    Schedule::parse(text, start)
}

fn workers(text: &str) -> Result<Workers, UsageError> {
    let allowed = core_affinity::get_core_ids().filter(|cores| !cores.is_empty()).ok_or(UsageError::CoresUnknown)?;
    if text == "auto" {
        // The standard library reads the quotas of cgroups, v1 and v2, up to the root, and rounds down to whole cores:
        // with one worker more than that the kernel would stop all of them in the middle of each period.
        let quota = std::thread::available_parallelism().map_or(allowed.len(), usize::from);
        return Ok(if quota < allowed.len() { Workers::Unpinned(quota) } else { Workers::Pinned(allowed) });
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
    Ok(Workers::Pinned(chosen))
}

fn team(team: String) -> Result<Arc<str>, UsageError> {
    let right = (1..=TEAM_BYTES_MAX).contains(&team.len()) && team.bytes().all(|byte| byte.is_ascii_graphic());
    if right { Ok(team.into()) } else { Err(UsageError::Team { team }) }
}

fn drivers(driver: Driver) -> Result<Vec<DriverKind>, UsageError> {
    match driver {
        Driver::Epoll => Ok(vec![DriverKind::Epoll]),
        // That a small ring was allowed does not say that there is memory (ulimit -l) for those of all workers.
        Driver::Auto if monoio::utils::detect_uring() => Ok(vec![DriverKind::IoUring, DriverKind::Epoll]),
        Driver::Auto => Ok(vec![DriverKind::Epoll]),
        Driver::IoUring if monoio::utils::detect_uring() => Ok(vec![DriverKind::IoUring]),
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
        assert_eq!((config.capacity, config.team), (None, None));
        let cores = core_affinity::get_core_ids().unwrap();
        // Where these tests run there may be a quota.
        let quota = std::thread::available_parallelism().unwrap().get();
        assert_eq!(config.workers.cores().len(), quota.min(cores.len()));
    }

    #[test]
    fn a_core_is_taken_once() {
        let core = core_affinity::get_core_ids().unwrap()[0].id;
        assert_eq!(
            config(&["--cores", &core.to_string()]).unwrap().workers,
            Workers::Pinned(vec![CoreId { id: core }])
        );
        assert!(config(&["--cores", &format!("{core},{core}")]).unwrap_err().contains("listed twice"));
    }

    #[test]
    fn every_bad_flag_is_a_sentence_with_a_next_step() {
        let cases: [(&[&str], &str); 25] = [
            (&["--listen", "8080"], "write an address and a port"),
            (&["--listen", "127.0.0.1:99999"], "write an address and a port"),
            (&["--listen", ""], "write an address and a port"),
            (&["--listen-tls", "127.0.0.1:0"], "give --tls-cert FILE"),
            (&["--listen-tls", "443", "--tls-self-signed"], "--listen-tls 443"),
            (&["--tls-cert", "c.pem"], "--tls-key <FILE>"),
            (&["--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-self-signed"], "cannot be used with"),
            (&["--faults", "tls_reset:3"], "give --tls-cert FILE"),
            (&["--version", "v3"], "write v1, v2, or v1,v2@TIME"),
            (&["--version", "v1,v2@noon"], "write an instant such as"),
            (&["--from", "EC3"], "write EC2, ECS, or EC2,ECS@TIME"),
            (&["--cores", "x"], "write auto"),
            (&["--cores", "4095"], "it may use "),
            (&["--cores", ""], "write auto"),
            (&["--capacity", "0"], "0 is not in 1..=1000000"),
            (&["--capacity", "1000001"], "is not in 1..=1000000"),
            (&["--capacity", "many"], "invalid digit"),
            (&["--team", ""], "write the login name"),
            (&["--team", "a b"], "write the login name"),
            (&["--team", "x\r\nFrom: ECS"], "write the login name"),
            (&["--team", "\u{e9}"], "write the login name"),
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
