//! The load generator: floods contestants, judges every response, tallies, publishes.
//!
//! `config -> Plan -> worker -> tally -> publisher`; no arrow points back. In reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`plan`] | the immutable, already valid plan of a run |
//! | [`course`] | what may change while a round is played: pauses, deadlines, shares |
//! | [`pacer`] | the open-loop schedule, computed, not stored |
//! | [`http`] | requests out, responses in, as bytes |
//! | [`exchange`], [`patience`] | one request until its outcome, and how long it may take |
//! | [`connection`] | one slot without I/O: bytes and the time in, steps out |
//! | [`entrant`] | one contestant in one worker |
//! | [`wheel`] | deadlines, looked at once per turn |
//! | [`ring`] | io_uring and its books; the only `unsafe` |
//! | [`share`], [`order`] | which part of the plan a worker takes, and how it is told to stop |
//! | [`worker`] | the loop that ties these together on one core |
//! | [`trace`] | what a worker notes of single exchanges |
//! | [`block`] | what a worker hands over ten times a second |
//! | [`run`] | workers from start to end |
//! | [`recorder`] | from the workers' blocks to the journal: only what is on disk is published |
//! | [`board`] | what Redis gets to know of a run |
//! | [`wording`] | what is wrong with an answer, as its contestant reads it |
//! | [`resolve`], [`guard`] | from an endpoint to addresses, and which of them a contest may flood |
//! | [`resolver`] | the thread that asks for them again while a round runs |
//! | [`probe`] | a few tokens to an endpoint beside the flood: of one, of a whole roster, on request |
//! | [`interfaces`] | where our requests come from |
//! | [`practice`] | half a minute of load beside all rounds, on request |
//! | [`series`] | the run second by second, for reading |
//! | [`summary`], [`watch`], [`progress`] | what a terminal shows while it runs and afterwards |
//! | [`house`] | what the platform's own contestant lost |
//! | [`report`], [`metrics`] | one page with curves; an endpoint for Prometheus |
//! | [`output`] | all of these behind their flags |
//! | [`health_gate`] | who is worth a flood |
//! | [`cli`], [`stress`], [`contest`], [`serve`] | the commands that flood |
//! | [`folders`], [`audit`], [`rebuild`], [`export`], [`inspect`] | the commands that read journals |

pub mod audit;
pub mod block;
pub mod board;
pub mod cli;
pub mod connection;
pub mod contest;
pub mod course;
pub mod entrant;
pub mod exchange;
pub mod export;
pub mod folders;
pub mod guard;
pub mod health_gate;
pub mod house;
pub mod http;
pub mod inspect;
pub mod interfaces;
pub mod metrics;
pub mod order;
pub mod output;
pub mod pacer;
pub mod patience;
pub mod plan;
pub mod practice;
pub mod probe;
pub mod progress;
pub mod rebuild;
pub mod recorder;
pub mod report;
pub mod resolve;
pub mod resolver;
pub mod ring;
pub mod run;
pub mod series;
pub mod serve;
pub mod share;
pub mod stress;
pub mod summary;
pub mod trace;
pub mod watch;
pub mod wheel;
pub mod wording;
pub mod worker;

#[cfg(test)]
mod virtual_round;
#[cfg(test)]
mod virtual_time;

/// Why a command failed. Each text names the cause and the next step.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// What was asked for is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Message(String),
    #[error(transparent)]
    Journal(#[from] flowtest_journal::JournalError),
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error(transparent)]
    Scoreboard(#[from] flowtest_scoreboard::ScoreboardError),
    #[error(transparent)]
    Resolve(#[from] resolve::ResolveError),
}
