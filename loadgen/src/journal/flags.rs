//! Flags of the commands that read journals.

use crate::redis_flags::{MaybeRedisFlags, RedisFlags};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use flowtest_contract::StreamId;
use std::path::PathBuf;

/// Which journals: a folder of a whole generator, of a round, or of one stream.
#[derive(Clone, Debug, Args)]
pub struct Journals {
    /// Folders with journals; as many as there were generators.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR", env = "FLOWTEST_LOADGEN_JOURNAL")]
    pub journal: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(mut_arg("redis", |flag| flag.help("Compare with the scores in this Redis (redis://host[:port] or unix:///path)")))]
pub struct Audit {
    #[command(flatten)]
    pub journals: Journals,
    #[command(flatten)]
    pub redis: MaybeRedisFlags,
    /// The contest that the journals must be of.
    #[arg(long, value_name = "NAME", env = "FLOWTEST_LOADGEN_CONTEST")]
    pub contest: Option<String>,
    /// What if: show the points that this contest file's rules and deadlines would give.
    #[arg(long, value_name = "CONTEST.toml", env = "FLOWTEST_LOADGEN_WITH")]
    pub with: Option<PathBuf>,
    /// Write the result as JSON to a file, or with - to standard output instead of the table.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_JSON")]
    pub json: Option<PathBuf>,
    /// No progress and no table; the exit code says it.
    #[arg(long, short = 'q', env = "FLOWTEST_LOADGEN_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(mut_arg("redis", |flag| flag.help("The Redis that lacks scores (redis://host[:port] or unix:///path)")))]
pub struct Rebuild {
    #[command(flatten)]
    pub journals: Journals,
    #[command(flatten)]
    pub redis: RedisFlags,
    /// Afterwards seal each round all of whose streams have ended.
    #[arg(long, env = "FLOWTEST_LOADGEN_SEAL", value_parser = BoolishValueParser::new())]
    pub seal: bool,
    /// A stream whose folder holds nothing at all, and that is known never to have begun: its round is sealed without it. May
    /// be repeated.
    #[arg(long, value_name = "STREAM", value_delimiter = ',', env = "FLOWTEST_LOADGEN_WITHOUT")]
    pub without: Vec<StreamId>,
    /// Only say what would be done.
    #[arg(long, env = "FLOWTEST_LOADGEN_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Write the result as JSON to a file, or with - to standard output instead of sentences.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_JSON")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub journals: Journals,
    /// Which records.
    #[arg(long, value_enum, default_value_t = What::Batches, env = "FLOWTEST_LOADGEN_WHAT")]
    pub what: What,
    /// A table with a header line, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Csv, env = "FLOWTEST_LOADGEN_FORMAT")]
    pub format: Format,
    /// A file, or - for standard output.
    #[arg(long, default_value = "-", value_name = "FILE|-", env = "FLOWTEST_LOADGEN_OUTPUT")]
    pub output: PathBuf,
}

/// Which records are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// What each interval counted for each contestant.
    Batches,
    /// Each exchange.
    Traces,
    /// Failing exchanges with their bytes, as many as were kept.
    Evidence,
    /// Start, changes of the contest, notices and end of each stream.
    Notices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Ndjson,
}

#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    pub journals: Journals,
    /// Write it as JSON to a file, or with - to standard output instead of tables.
    #[arg(long, value_name = "FILE|-", env = "FLOWTEST_LOADGEN_JSON")]
    pub json: Option<PathBuf>,
}
