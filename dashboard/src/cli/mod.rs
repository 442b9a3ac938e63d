//! The command line: flags here, the commands beside `serve` in [`command`]. Every flag is also an environment variable,
//! `FLOWTEST_DASHBOARD_*`; secrets come from files.

#![expect(rustdoc::bare_urls, reason = "the comments of flags are their help texts, which clap prints as they stand")]

pub mod command;

use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Pages, live scores and control of a Flow Test contest.
#[derive(Debug, Parser)]
#[command(name = "flowtest-dashboard", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the pages until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// People with the role admin.
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Invitations, each good for one account.
    Invite {
        #[command(subcommand)]
        command: InviteCommand,
    },
    /// Write a consistent copy of the database, also while it is served.
    Backup {
        /// Where to; it must not be there yet.
        file: PathBuf,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create an admin. Without a password file a password is drawn and printed once.
    Create {
        /// 3 to 30 letters, digits, `_` and `-`.
        name: String,
        /// A file whose first line is the password.
        #[arg(long, env = "FLOWTEST_DASHBOARD_ADMIN_PASSWORD_FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        database: Database,
    },
    /// Print a link that signs somebody in once, within 15 minutes, whatever others have guessed at the password.
    Link {
        name: String,
        /// What people type into their browsers, such as https://scores.example.org.
        #[arg(long, env = "FLOWTEST_DASHBOARD_PUBLIC_URL", value_name = "URL")]
        public_url: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Set somebody's password anew and end all sessions. Without a password file a password is drawn and printed once.
    Password {
        name: String,
        /// A file whose first line is the password.
        #[arg(long, env = "FLOWTEST_DASHBOARD_ADMIN_PASSWORD_FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Create invitations and print them, one a line.
    Create {
        /// How many.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
        count: u32,
        /// What they are for, shown in the list of invitations.
        #[arg(long, default_value = "")]
        label: String,
        /// How long they are good.
        #[arg(long, default_value = "14d")]
        lifetime: humantime::Duration,
        #[command(flatten)]
        database: Database,
    },
}

/// Where accounts, invitations, rounds and history are kept.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// The SQLite file; created when it is not there.
    #[arg(long, env = "FLOWTEST_DASHBOARD_DATABASE", default_value = "flowtest.db")]
    pub database: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Where pages are served. Port 0 takes a free one and says which.
    #[arg(long, env = "FLOWTEST_DASHBOARD_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub database: Database,
    /// The Redis of the contest.
    #[arg(
        long,
        env = "FLOWTEST_DASHBOARD_REDIS",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL"
    )]
    pub redis: String,
    /// A replica to read scores from, so that many viewers cost the main one nothing.
    #[arg(long, env = "FLOWTEST_DASHBOARD_REDIS_READ", hide_env_values = true, value_name = "URL")]
    pub redis_read: Option<String>,
    /// A file whose first line is the password of Redis.
    #[arg(long, env = "FLOWTEST_DASHBOARD_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// A file of the certificates (PEM) that Redis may show over TLS, instead of those that the system trusts.
    #[arg(long, env = "FLOWTEST_DASHBOARD_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Take a Redis that forgets when it restarts, as ElastiCache does, which has no append-only file: generators publish
    /// again what it has lost, until the round is sealed.
    #[arg(long, env = "FLOWTEST_DASHBOARD_REDIS_VOLATILE", value_parser = clap::builder::BoolishValueParser::new())]
    pub redis_volatile: bool,
    /// The name of the contest: the part in braces of its keys in Redis.
    #[arg(long, env = "FLOWTEST_DASHBOARD_CONTEST", default_value = "contest", value_name = "NAME")]
    pub contest: String,
    /// Where Prometheus reads /metrics; nowhere without it.
    #[arg(long, env = "FLOWTEST_DASHBOARD_METRICS", value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// What people type into their browsers, such as https://scores.example.org. Needed behind a proxy with TLS.
    #[arg(long, env = "FLOWTEST_DASHBOARD_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Where contestants find templates, programs and starters; the page Rules leads there.
    #[arg(long, env = "FLOWTEST_DASHBOARD_KIT_URL", value_name = "URL")]
    pub kit_url: Option<String>,
    /// An address besides those of the generators from which tests and practice come, for contestants who let in addresses by
    /// name; may be given several times.
    #[arg(long, env = "FLOWTEST_DASHBOARD_TEST_SOURCE", value_name = "ADDRESS", value_delimiter = ',')]
    pub test_source: Vec<IpAddr>,
    /// A proxy whose X-Forwarded-For is believed; may be given several times.
    #[arg(long, env = "FLOWTEST_DASHBOARD_PROXY", value_name = "ADDRESS", value_delimiter = ',')]
    pub proxy: Vec<IpAddr>,
    /// The certificate chain (PEM), to speak TLS ourselves. Read again when it changes.
    #[arg(long, env = "FLOWTEST_DASHBOARD_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "FLOWTEST_DASHBOARD_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// WebSockets at most.
    #[arg(long, env = "FLOWTEST_DASHBOARD_VIEWERS_MAX", default_value_t = 2_000, value_name = "COUNT")]
    pub viewers_max: usize,
    /// For rehearsals only: this machine's clock is believed to say so many microseconds more than it does.
    #[arg(
        long,
        hide = true,
        default_value_t = 0,
        allow_negative_numbers = true,
        value_name = "US",
        env = "FLOWTEST_DASHBOARD_CLOCK_SHIFT_US"
    )]
    pub clock_shift_us: i64,
    /// How log lines are written.
    #[arg(long, env = "FLOWTEST_DASHBOARD_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}
