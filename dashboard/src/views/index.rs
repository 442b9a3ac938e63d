//! A contestant's own page: endpoint, score, what is required now, what went wrong.

use crate::views::advice::Advice;
use crate::views::climb::ClimbCard;
use crate::views::field::Input;
use crate::views::health::Health;
use crate::views::ledger::{HELD, Ledger};
use crate::views::{Field, Layout, format, time};
use sailfish::TemplateSimple;
use serde::Serialize;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "index.stpl")]
pub struct IndexPage {
    pub layout: Layout,
    /// Whose page it is: `u3`, and what the board calls it.
    pub id: String,
    pub display_name: String,
    /// An admin looks: everything is read only, and others can be chosen. Else empty.
    pub view_as: Vec<ViewAs>,
    pub health: Health,
    pub endpoint: EndpointCard,
    pub score: ScoreCard,
    /// How it fares in a breakpoint phase, or fared in the last one.
    pub climb: Option<ClimbCard>,
    /// Token, Version, From.
    pub headers: Vec<HeaderCount>,
    pub ledger: Ledger,
    /// Others to be compared with: `u7` and what the board calls it.
    pub rivals: Vec<(String, String)>,
    /// Newest first; `None`: nobody knows right now.
    pub errors: Option<Vec<Failure>>,
    pub probe: Option<Probe>,
    /// A test that was asked for and has no answer yet.
    pub probe_id: Option<String>,
    pub practice: PracticeCard,
    /// Addresses from which the fleet comes, to be let through firewalls.
    pub sources: Vec<String>,
    pub advice: Vec<Advice>,
}

#[derive(Clone, Debug)]
pub struct ViewAs {
    pub user: i64,
    pub display_name: String,
    pub chosen: bool,
}

#[derive(Clone, Debug, Default)]
pub struct EndpointCard {
    /// Normalised; `None` when none is set.
    pub current: Option<String>,
    pub set_at_ms: Option<i64>,
    /// When traffic comes, when that is not now: a sentence.
    pub coming: Option<String>,
    pub form: Field,
}

#[derive(Clone, Debug, Default)]
pub struct ScoreCard {
    pub points: i64,
    /// `None` before the first points, and while the board is frozen.
    pub rank: Option<u32>,
    /// How many play.
    pub of: u32,
    /// Ranks gained over the last minute; below 0: lost.
    pub rank_change: i64,
    pub gap_ahead: Option<i64>,
    pub gap_behind: Option<i64>,
    pub frozen: bool,
    /// What the contest stands at while `points` are those of a practice for all.
    pub beside_practice: Option<i64>,
}

impl ScoreCard {
    /// What the points are.
    pub fn unit(&self) -> String {
        match self.beside_practice {
            Some(contest) => format!("points of this practice; the contest stands at {}", format::points(contest)),
            None => "points".to_owned(),
        }
    }
}

/// One header's right and wrong answers.
#[derive(Clone, Debug, Serialize)]
pub struct HeaderCount {
    /// `token`, `version`, `from`
    #[serde(skip)]
    pub name: &'static str,
    pub right: u64,
    pub wrong: u64,
    pub points: i64,
}

impl HeaderCount {
    /// Right answers in thousandths of all; `None` without answers.
    pub fn permille(&self) -> Option<u16> {
        let all = self.right.saturating_add(self.wrong);
        (all > 0).then(|| (u128::from(self.right) * 1_000 / u128::from(all)) as u16)
    }
}

#[derive(Clone, Debug)]
pub struct FailureCount {
    /// `timeout`, `refused`, ... as in the tally.
    pub kind: String,
    pub count: u64,
    pub points: i64,
}

/// A failure with its explanation. What the network sent has been made printable.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at_ms: i64,
    pub kind: String,
    pub message: String,
    pub expected: String,
    pub received: String,
    pub request: String,
    pub response: String,
    /// How often the same was seen among the failures kept.
    pub count: u64,
}

/// What "test now" found.
#[derive(Clone, Debug)]
pub struct Probe {
    pub at_ms: i64,
    pub generator: String,
    pub endpoint: String,
    pub address: Option<String>,
    /// Token, Version, From; `None` when no answer came.
    pub verdicts: Option<[bool; 3]>,
    pub latency_us: Option<u64>,
    pub message: String,
    /// The response's head, at most 1 KiB.
    pub head: String,
}

#[derive(Clone, Debug, Default)]
pub struct PracticeCard {
    pub refused: Option<PracticeRefused>,
    pub rate: Field,
    pub seconds: Field,
    /// What is said to who waits in the queue.
    pub waits: Option<String>,
    /// The highest rate of a climb.
    pub most: Field,
    /// One that runs now: the script asks how it goes.
    pub running: Option<String>,
    pub last: Option<PracticeResult>,
}

/// Why no practice may be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PracticeRefused {
    pub message: &'static str,
    /// When the next one may start, when that is the reason.
    pub again_at_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct PracticeResult {
    pub at_ms: i64,
    pub message: String,
    pub points: i64,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// Where it was a climb.
    pub climb: Option<ClimbCard>,
}
