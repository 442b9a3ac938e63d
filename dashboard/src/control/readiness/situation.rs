//! Everything that GO or NO-GO looks at, as plain data.

use super::check::Mark;
use flowtest_contest::{Contest, State};
use flowtest_contract::rules::Deadlines;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{MayPlay, ProbeAnswer, SeenGenerator};

/// Everything that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    pub now: UtcUs,
    /// The sentence of what is wrong with Redis, when something is.
    pub redis: Option<String>,
    /// Redis answers and takes no writes: nobody can be heard.
    pub is_unwritten: bool,
    /// Another dashboard steers the contest.
    pub steered_elsewhere: Option<String>,
    pub database: DatabaseHealth,
    /// Why what is shown of a round cannot be read, though Redis answers.
    pub unread: Option<String>,
    /// What is due by itself and cannot be done.
    pub trouble: Option<String>,
    /// What was stopped here without generators being told yet, and why.
    pub untold: Option<String>,
    /// Why nobody plays the round that is on.
    pub unplayed: Option<String>,
    /// Why a round that has ended is not sealed by itself, and whether somebody has to do something about it.
    pub unsealed: Option<(Mark, String)>,
    /// What is in force that the database does not hold yet.
    pub unsaved: Unsaved,
    /// How far this machine's clock is ahead of Redis's, in microseconds.
    pub clock_ahead_us: i64,
    /// What is wrong between our document and the one in Redis.
    pub conflict: Option<String>,
    pub state: State,
    pub halted: bool,
    /// By which a test that is made now is judged.
    pub deadlines: Deadlines,
    /// The next round's contest. Nothing while nobody can play.
    pub contest: Option<Contest>,
    pub house: House,
    pub contestants: Vec<Contestant>,
    pub generators: Vec<SeenGenerator>,
    /// Who is not heard and may play a round that is over here.
    pub may_play: Vec<MayPlay>,
    /// The revision of the document that each generator who plays follows by now, or a newer one; 0 where nothing can be said.
    pub due_revision: u64,
}

/// What is in force and the database does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsaved {
    #[default]
    Nothing,
    /// A stop or a split that Redis holds, or that may be made again.
    Change,
    /// A stop that Redis does not hold either: a restart would lose it.
    UntoldStop,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseHealth {
    /// Why it takes no writes.
    pub trouble: Option<String>,
    /// Room on its disk. None: nobody knows.
    pub free_bytes: Option<u64>,
}

/// The platform's own server.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum House {
    #[default]
    Unset,
    LeftOut(String),
    Set(Option<Tested>),
}

/// A contestant's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contestant {
    pub name: String,
    pub disabled: bool,
    pub disqualified: bool,
    pub parked: bool,
    pub endpoint: Option<String>,
    /// Why it cannot play with that endpoint.
    pub left_out: Option<String>,
    /// The last test of its endpoint.
    pub tested: Option<Tested>,
}

/// A test and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// When it was asked for.
    pub at: UtcUs,
    /// The endpoint as it was then.
    pub endpoint: String,
    /// The deadlines by which it is judged.
    pub deadlines: Deadlines,
    /// Nothing while no generator has answered.
    pub answer: Option<ProbeAnswer>,
}

impl Tested {
    /// Whether the values that were expected of it are those that are expected at an instant by these deadlines: since then none
    /// was reached or moved, and no other round is prepared.
    pub fn expects_as(&self, deadlines: Deadlines, at: UtcUs) -> bool {
        self.deadlines.expected(self.at) == deadlines.expected(at)
    }
}
