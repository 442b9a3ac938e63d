//! Flags of the commands that flood. Each is also an environment variable, `FLOWTEST_LOADGEN_*`.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "the comments of flags are their help texts, which clap prints as they stand"
)]

use crate::Failed;
use crate::admit::resolve::{Hosts, HostsSource, Names};
use crate::admit::trust::{ContestTrust, Trust};
use crate::engine::plan::Ramp;
use crate::engine::ring::Features;
use crate::engine::run::{RunError, choose_cores};
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::observe::output::Outputs;
use crate::redis_flags::{MaybeRedisFlags, RedisFlags};
use clap::Args;
use clap::builder::BoolishValueParser;
use flowtest_contest::contest::{CONNECTIONS_MAX, PIPELINE_MAX, RATE_MAX};
use flowtest_contest::endpoint::{Endpoint, Scheme};
use flowtest_contest::ladder::{Pass, Step};
use flowtest_contract::header::Flip;
use flowtest_contract::rules::{Deadline, Deadlines, Rules};
use flowtest_contract::{Platform, Version};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Stress {
    /// Endpoints: [https://]host[:port][/path], http:// when no scheme is given.
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
    /// Connections per URL (in open loop the most that are used).
    #[arg(long, short = 'c', default_value_t = 64, value_name = "N", env = "FLOWTEST_LOADGEN_CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub connections: u32,
    /// Requests in flight per connection (closed loop).
    #[arg(long, short = 'p', default_value_t = 1, value_name = "N", env = "FLOWTEST_LOADGEN_PIPELINE",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PIPELINE_MAX)))]
    pub pipeline: u32,
    /// Open loop: requests per second per URL, constant or as a ramp A..B. Without it: closed loop.
    #[arg(long, value_name = "N|A..B", env = "FLOWTEST_LOADGEN_RATE", value_parser = rate, conflicts_with = "pipeline")]
    pub rate: Option<Ramp>,
    /// How long, after the warm-up.
    #[arg(long, short = 'd', default_value = "10s", value_name = "TIME", env = "FLOWTEST_LOADGEN_DURATION",
          value_parser = duration)]
    pub duration: Duration,
    /// So many requests per URL instead of a duration.
    #[arg(long, short = 'n', value_name = "N", env = "FLOWTEST_LOADGEN_REQUESTS", conflicts_with = "duration",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub requests: Option<u64>,
    /// Unscored load before it starts to count; 0s for none.
    #[arg(long, default_value = "1s", value_name = "TIME", env = "FLOWTEST_LOADGEN_WARMUP", value_parser = duration_or_none)]
    pub warmup: Duration,
    #[command(flatten)]
    pub server: ServerFlags,
    /// So many of all requests shall be verified (all three headers right), in percent: fewer are exit code 1.
    #[arg(long, value_name = "PERCENT%", env = "FLOWTEST_LOADGEN_MIN_VERIFIED", value_parser = percent)]
    pub min_verified: Option<f64>,
    /// For comparison only: features of the kernel that are left unused (no_sqarray, min_wait).
    #[arg(long, hide = true, value_name = "FEATURE", env = "FLOWTEST_LOADGEN_WITHOUT", value_delimiter = ',',
          value_parser = Features::named)]
    pub without: Vec<Features>,
    #[command(flatten)]
    pub outputs: Outputs,
}

/// How servers of one's own are flooded without a contest, and what is right of them.
#[derive(Debug, Args)]
pub struct ServerFlags {
    /// How long an exchange may take.
    #[arg(long, default_value = "3s", value_name = "TIME", env = "FLOWTEST_LOADGEN_TIMEOUT", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub cores: CoreFlags,
    /// The Version that is right.
    #[arg(long, default_value = "v2", value_name = "v1|v2", env = "FLOWTEST_LOADGEN_EXPECT_VERSION", value_parser = flip::<Version>)]
    expect_version: Version,
    /// The From that is right.
    #[arg(long, default_value = "ECS", value_name = "EC2|ECS", env = "FLOWTEST_LOADGEN_EXPECT_FROM", value_parser = flip::<Platform>)]
    expect_from: Platform,
    #[command(flatten)]
    pub hosts: HostsFlags,
    #[command(flatten)]
    tls: TlsFlags,
}

impl ServerFlags {
    pub fn rules(&self) -> Rules {
        Rules { timeout_us: self.timeout.as_micros() as u64, ..Rules::default() }
    }

    /// By which the values that were asked for are right at all times.
    pub fn schedule(&self) -> Schedule {
        Schedule::steady(Deadlines { version: always(self.expect_version), from: always(self.expect_from) })
    }

    /// Whom https servers are trusted by; none where none of these speaks https.
    ///
    /// # Errors
    /// Why nobody can be trusted.
    pub fn trust(&self, endpoints: &[Endpoint]) -> Result<Option<Trust>, Failed> {
        let speaks_tls = endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https);
        speaks_tls.then(|| self.tls.trust()).transpose()
    }
}

/// The deadline by which this value is right at all times.
fn always<T: Flip>(value: T) -> Deadline {
    if value == T::AFTER { Deadline::PASSED } else { Deadline::NEVER }
}

/// Whom https servers are trusted by beside the system's authorities.
#[derive(Debug, Args)]
pub struct AuthorityFlags {
    /// A file of certificates (PEM) whose holders are trusted beside the system's authorities. May be repeated.
    #[arg(long, value_name = "FILE", env = "FLOWTEST_LOADGEN_CA", value_delimiter = ',')]
    ca: Vec<PathBuf>,
}

impl AuthorityFlags {
    /// Whom the servers of a contest are trusted by: which of both counts, its policy says.
    ///
    /// # Errors
    /// Files that hold no certificates.
    pub fn contest_trust(&self) -> Result<ContestTrust, Failed> {
        Ok(ContestTrust::new(&self.ca)?)
    }
}

/// Whom https servers are trusted by.
#[derive(Debug, Args)]
struct TlsFlags {
    #[command(flatten)]
    authorities: AuthorityFlags,
    /// Take any certificate of an https server: of anybody, for any name, of any date.
    #[arg(long, env = "FLOWTEST_LOADGEN_INSECURE", value_parser = BoolishValueParser::new(), conflicts_with = "ca")]
    insecure: bool,
}

impl TlsFlags {
    fn trust(&self) -> Result<Trust, Failed> {
        if self.insecure { Ok(Trust::anybody()?) } else { Ok(Trust::system_and(&self.authorities.ca)?) }
    }
}

#[derive(Debug, Args)]
pub struct Limit {
    /// The endpoint: [https://]host[:port][/path], http:// when no scheme is given.
    #[arg(value_name = "URL")]
    pub url: String,
    /// So many of all requests shall be verified (all three headers right) for a rate to be held, in percent [default: 99.5%].
    #[arg(long, value_name = "PERCENT%", env = "FLOWTEST_LOADGEN_VERIFIED", value_parser = percent)]
    verified: Option<f64>,
    /// The older name of --verified, until 0.3.
    #[arg(long, hide = true, value_name = "PERCENT%", env = "FLOWTEST_LOADGEN_RIGHT", value_parser = percent)]
    right: Option<f64>,
    /// So long may the slowest but one in a hundred take, from the instant at which it was due [default: 250ms, or the timeout
    /// where that is shorter].
    #[arg(long, value_name = "TIME", env = "FLOWTEST_LOADGEN_P99", value_parser = duration)]
    pub p99: Option<Duration>,
    /// Requests per second of the first step.
    #[arg(long, default_value_t = 500, value_name = "N", env = "FLOWTEST_LOADGEN_START",
          value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
    pub start: u64,
    /// From one step to the next: times as much as in x1.25, or more as in +500.
    #[arg(long, default_value = "x1.25", value_name = "xN|+N", env = "FLOWTEST_LOADGEN_STEP")]
    pub step: Step,
    /// No step is higher.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", env = "FLOWTEST_LOADGEN_MAX",
          value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
    pub max: u64,
    /// How long a step is held, after a second in which it settles.
    #[arg(long, default_value = "5s", value_name = "TIME", env = "FLOWTEST_LOADGEN_HOLD", value_parser = duration)]
    pub hold: Duration,
    #[command(flatten)]
    pub server: ServerFlags,
    /// Write the result as JSON to a file, or with - to standard output instead of the lines.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_JSON")]
    pub json: Option<PathBuf>,
    /// Write a page with the curve of latency over rate: one file, to be read without a network.
    #[arg(long, value_name = "FILE.html", env = "FLOWTEST_LOADGEN_REPORT")]
    pub report: Option<PathBuf>,
    /// No lines and no notes; files are written all the same.
    #[arg(long, short = 'q', env = "FLOWTEST_LOADGEN_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

impl Limit {
    /// What a rate has to reach to be held.
    pub fn pass(&self) -> Pass {
        let usual = Pass::usual_within(self.server.timeout.as_micros() as u64);
        Pass {
            verified: self.verified.or(self.right).map_or(usual.verified, |percent| percent / 100.0),
            p99_us: self.p99.map_or(usual.p99_us, |p99| p99.as_micros() as u64),
        }
    }
}

#[derive(Debug, Args)]
pub struct RunContest {
    /// The contest file.
    #[arg(value_name = "CONTEST.toml")]
    pub file: PathBuf,
    #[command(flatten)]
    pub redis: MaybeRedisFlags,
    /// Write every batch and verdict to a journal in this folder, and publish only what is on disk.
    #[arg(long, value_name = "DIR", env = "FLOWTEST_LOADGEN_JOURNAL")]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub trace: TraceFlags,
    #[command(flatten)]
    pub cores: CoreFlags,
    #[command(flatten)]
    pub hosts: HostsFlags,
    #[command(flatten)]
    pub authorities: AuthorityFlags,
    #[command(flatten)]
    pub outputs: Outputs,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The contest to serve.
    #[arg(long, value_name = "NAME", env = "FLOWTEST_LOADGEN_CONTEST")]
    pub contest: String,
    #[command(flatten)]
    pub redis: RedisFlags,
    /// Write every batch and verdict to journals in this folder.
    #[arg(long, value_name = "DIR", env = "FLOWTEST_LOADGEN_JOURNAL")]
    pub journal: PathBuf,
    #[command(flatten)]
    pub trace: TraceFlags,
    /// This generator's name in splits; the host's name unless said.
    #[arg(long, value_name = "NAME", env = "FLOWTEST_LOADGEN_ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub cores: CoreFlags,
    /// Only test endpoints and take practice: play no rounds, and be in nobody's list of generators.
    #[arg(long, env = "FLOWTEST_LOADGEN_PRACTICE_ONLY", value_parser = BoolishValueParser::new())]
    pub practice_only: bool,
    /// Give the shares of generators that die to the others, and shares to those that come back, where no dashboard does it.
    /// Of several such generators one does it.
    #[arg(long, env = "FLOWTEST_LOADGEN_KEEP", value_parser = BoolishValueParser::new(), conflicts_with = "practice_only")]
    pub keep: bool,
    /// A file with the [policy] that this machine allows at the most.
    #[arg(long, value_name = "FILE", env = "FLOWTEST_LOADGEN_POLICY")]
    pub policy: Option<PathBuf>,
    /// Send nothing when no control document could be read for so long, until one can. Without it a round goes on by the last
    /// one, however long Redis is away.
    #[arg(long, value_name = "TIME", env = "FLOWTEST_LOADGEN_STOP_WITHOUT_CONTROL", value_parser = duration)]
    pub stop_without_control: Option<Duration>,
    #[command(flatten)]
    pub hosts: HostsFlags,
    #[command(flatten)]
    pub authorities: AuthorityFlags,
    /// Where contestants see our requests come from, when NAT hides this machine's own addresses. May be repeated.
    #[arg(long, value_name = "ADDR", env = "FLOWTEST_LOADGEN_SOURCE_ADDRESS", value_delimiter = ',')]
    pub source_address: Vec<IpAddr>,
    /// For rehearsals only: this machine's clock is believed to be so many microseconds further off than it is.
    #[arg(
        long,
        hide = true,
        default_value_t = 0,
        allow_negative_numbers = true,
        value_name = "US",
        env = "FLOWTEST_LOADGEN_CLOCK_SHIFT_US"
    )]
    pub clock_shift_us: i64,
    /// Of the newest round; metrics are answered between rounds too.
    #[command(flatten)]
    pub outputs: Outputs,
}

#[derive(Debug, Args)]
pub struct HostsFlags {
    /// Names that are not asked from the system: NAME=ADDR, or a file in the syntax of hosts(5). May be repeated; a name
    /// that is there several times has all its addresses.
    #[arg(long, value_name = "NAME=ADDR|FILE", env = "FLOWTEST_LOADGEN_HOSTS", value_delimiter = ',')]
    hosts: Vec<HostsSource>,
}

impl HostsFlags {
    /// The source of addresses.
    ///
    /// # Errors
    /// [`Failed::Usage`]: what is wrong with a file.
    pub fn names(&self) -> Result<Names, Failed> {
        let hosts = (!self.hosts.is_empty()).then(|| Hosts::of(self.hosts.clone())).transpose();
        hosts.map(Names::system).map_err(|error| Failed::Usage(error.to_string()))
    }
}

#[derive(Debug, Args)]
pub struct CoreFlags {
    /// Cores for workers: auto, or numbers as in 0,1.
    #[arg(long, default_value = "auto", value_name = "LIST", env = "FLOWTEST_LOADGEN_CORES", value_parser = cores)]
    cores: Cores,
}

impl CoreFlags {
    /// The cores that workers run on.
    ///
    /// # Errors
    /// [`RunError::NoSuchCore`] for one that is not ours, and [`RunError::NoCores`].
    pub fn choose(&self) -> Result<Vec<usize>, RunError> {
        choose_cores(match &self.cores {
            Cores::Auto => None,
            Cores::These(cores) => Some(cores),
        })
    }
}

/// The cores that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cores {
    Auto,
    These(Vec<usize>),
}

#[derive(Debug, Args)]
pub struct TraceFlags {
    /// Keep no trace of each exchange: the journal is small, and its sums cannot be proved from single verdicts.
    #[arg(long, env = "FLOWTEST_LOADGEN_NO_TRACE", requires_if("true", "journal"), value_parser = BoolishValueParser::new())]
    no_trace: bool,
}

impl TraceFlags {
    pub fn tracing(&self) -> Tracing {
        if self.no_trace { Tracing::Off } else { Tracing::On }
    }
}

fn cores(text: &str) -> Result<Cores, String> {
    if text == "auto" {
        return Ok(Cores::Auto);
    }
    let mut cores = Vec::new();
    for number in text.split(',') {
        let core = number.trim().parse().map_err(|_| {
            format!(
                "'{number}' is not the number of a core: write auto, or numbers with commas between them, as in 0,1"
            )
        })?;
        if cores.contains(&core) {
            return Err(format!("core {core} is named twice: one worker runs on each core"));
        }
        cores.push(core);
    }
    Ok(Cores::These(cores))
}

/// Digits behind the point of a rate.
const RATE_DIGITS: usize = 3;

/// Requests in 1,000 seconds, or fewer where that is a whole number.
fn rate(text: &str) -> Result<Ramp, String> {
    let number = |text: &str| {
        let wrong = || {
            format!(
                "'{text}' is not a rate: write requests per second with at most {RATE_DIGITS} digits behind the point, as in 1000 \
                 or 0.2, or a ramp, as in 1000..20000"
            )
        };
        let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > RATE_DIGITS {
            return Err(wrong());
        }
        let thousandths: u64 = format!("{part:0<RATE_DIGITS$}").parse().map_err(|_| wrong())?;
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        if whole > RATE_MAX {
            return Err(format!("{whole} requests per second are more than this generator plans ({RATE_MAX})"));
        }
        Ok(whole * 1_000 + thousandths)
    };
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(text)?, number(text)?),
    };
    if from == 0 && to == 0 {
        return Err("a rate of 0 asks for nothing: write requests per second, as in 1000".to_owned());
    }
    let fits = |seconds: &u64| [from, to].iter().all(|end| (end * seconds).is_multiple_of(1_000));
    let seconds = (1..=1_000).find(fits).unwrap_or(1_000);
    let [from, to] = [from, to].map(|end| end * seconds / 1_000);
    Ok(Ramp { from, to, seconds })
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "write a part of all requests in percent, as in 99% or 99.5%".to_owned())
}

/// Longest phase that a flag can ask for.
const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

fn duration_or_none(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a duration with its unit, as in 500ms, 10s or 2m"))?;
    if duration > DURATION_MAX {
        return Err("longer than a week: write a shorter duration".to_owned());
    }
    Ok(duration)
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text)? {
        duration if duration < Duration::from_millis(1) => {
            Err("shorter than a millisecond: write a longer duration, as in 10s".to_owned())
        }
        duration => Ok(duration),
    }
}

fn flip<T: Flip>(text: &str) -> Result<T, String> {
    T::from_wire(text.as_bytes())
        .ok_or_else(|| format!("write {} or {}, byte for byte", T::BEFORE.as_str(), T::AFTER.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn rates_and_cores_are_read_or_explained() {
        assert_eq!(rate("1000"), Ok(Ramp::per_second(1000, 1000)));
        assert_eq!(rate("10..20"), Ok(Ramp::per_second(10, 20)));
        assert_eq!(rate("0.2"), Ok(Ramp { from: 1, to: 1, seconds: 5 }));
        assert_eq!(rate("0.125..2.5"), Ok(Ramp { from: 1, to: 20, seconds: 8 }));
        let bad =
            ["", "0", "0.0", "0..0", "-1", "1e3", "1..2..3", "18446744073709551616", "..", "5..", "0.0001", ".5", "1."];
        for bad in bad {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!((percent("99%"), percent("99.5%"), percent("100%")), (Ok(99.0), Ok(99.5), Ok(100.0)));
        for bad in ["", "99", "0%", "101%", "NaN%", "-1%", "many"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert_eq!(cores("auto"), Ok(Cores::Auto));
        assert_eq!(cores("0,1"), Ok(Cores::These(vec![0, 1])));
        for bad in ["", "0,0", "x", "0,", "-1"] {
            assert!(cores(bad).is_err(), "{bad}");
        }
        assert!(duration("0s").is_err() && duration("5").is_err() && duration("1000000y").is_err());
        assert_eq!(duration_or_none("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn the_usual_p99_of_a_limit_is_no_longer_than_its_timeout() {
        let p99_us = |flags: &[&str]| {
            let command = Limit::augment_args(clap::Command::new("limit"));
            let matches = command.try_get_matches_from(["limit", "127.0.0.1:1"].iter().chain(flags)).expect("flags");
            Limit::from_arg_matches(&matches).expect("flags").pass().p99_us
        };
        assert_eq!(p99_us(&["--timeout", "3s"]), 250_000);
        assert_eq!(p99_us(&["--timeout", "100ms"]), 100_000);
        assert_eq!(p99_us(&["--timeout", "100ms", "--p99", "50ms"]), 50_000);
    }
}
