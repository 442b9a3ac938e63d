//! What a rebuild did, as JSON and for people.
//!
//! ```text
//! complete     Redis has everything that these journals hold
//! streams[]    round, stream, contest, action, journal_seq, redis_seq (before; null if unknown), closed (its end marker
//!              was written now), text
//! rounds[]     round, contest, sealed, text
//! decisions[]  round, contest, put_back (steps of which Redis lacked the decision), refused (why)
//! unlisted[]   why folders of rounds could not be listed: what they hold is missing
//! ```

use serde::Serialize;
use std::fmt;

#[derive(Debug, Default, Serialize)]
pub struct RebuildReport {
    pub complete: bool,
    pub streams: Vec<StreamReport>,
    pub rounds: Vec<RoundReport>,
    pub decisions: Vec<DecisionsReport>,
    pub unlisted: Vec<String>,
}

/// What was decided of the steps of a round's breakpoint phases.
#[derive(Debug, Serialize)]
pub struct DecisionsReport {
    pub round: String,
    pub contest: String,
    pub put_back: usize,
    /// Why they could not be put back; null where all stand.
    pub refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct StreamReport {
    pub round: String,
    pub stream: String,
    pub contest: Option<String>,
    pub action: Action,
    pub journal_seq: u64,
    pub redis_seq: Option<u64>,
    pub closed: bool,
    pub text: String,
}

/// What was done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Redis had all of it.
    None,
    /// Redis has it now.
    Published,
    /// What a run without `--dry-run` would publish.
    Missing,
    /// Left alone: its generator lives and publishes it, or it never began, or only `rebuild` may bring its round back.
    Skipped,
    /// Could not be published; the text says why.
    Refused,
}

#[derive(Debug, Serialize)]
pub struct RoundReport {
    pub round: String,
    pub contest: String,
    pub sealed: bool,
    pub text: String,
}

impl RebuildReport {
    /// The same where some folders could not be listed.
    pub fn with_unlisted(self, unlisted: Vec<String>) -> RebuildReport {
        RebuildReport { complete: self.complete && unlisted.is_empty(), unlisted, ..self }
    }

    pub fn count(&self, action: Action) -> usize {
        self.streams.iter().filter(|stream| stream.action == action).count()
    }
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stream in &self.streams {
            writeln!(f, "  stream {}: {}", stream.stream, stream.text)?;
        }
        for DecisionsReport { round, put_back, refused, .. } in &self.decisions {
            match refused {
                Some(text) => writeln!(f, "  round {round}: what was decided of its steps was not put back: {text}")?,
                None => writeln!(f, "  round {round}: what was decided of {put_back} steps was put back")?,
            }
        }
        for round in &self.rounds {
            writeln!(f, "  round {}: {}", round.round, round.text)?;
        }
        for why in &self.unlisted {
            writeln!(f, "  left out: {why}")?;
        }
        let [published, missing, refused] =
            [Action::Published, Action::Missing, Action::Refused].map(|a| self.count(a));
        let all = self.streams.len();
        match (published, missing, refused) {
            (_, 0, 0) if !self.unlisted.is_empty() => {
                write!(f, "published {published} of {all} streams; what could not be listed is missing")
            }
            (0, 0, 0) => write!(f, "nothing was missing"),
            (_, 0, 0) => write!(f, "published {published} of {all} streams; Redis has everything now"),
            (_, _, 0) => write!(f, "{missing} of {all} streams are missing in Redis; nothing was changed"),
            _ => write!(f, "{refused} of {all} streams were refused, {published} were published"),
        }
    }
}
