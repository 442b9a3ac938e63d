//! The split, where no dashboard keeps it: a generator that was named by `--keep` gives the shares of those that die to the
//! others. Only one process does it at a time, who holds the keeper's lease; others listen, so that they can take over at once.

use super::Controller;
use super::home::Home;
use flowtest_contest::lifecycle::change;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Lease, Scoreboard, ScoreboardError, SplitKeeper};

/// What a generator knows as a keeper.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    split_keeper: SplitKeeper,
    /// We hold the lease.
    is_ours: bool,
}

/// What a look at the split came to.
#[derive(Debug)]
struct Kept {
    /// By whomever.
    is_kept: bool,
    /// What we have decided, as a message.
    decided: Option<String>,
}

impl Keeping {
    /// Redis could not be read.
    pub(super) fn lost(&mut self) {
        self.split_keeper.lost();
    }

    /// Another one may take over at once.
    pub(super) fn release(&mut self, home: &Home, scoreboard: &mut Scoreboard) {
        if std::mem::take(&mut self.is_ours) {
            // What cannot be given back ends by itself.
            let _ = scoreboard.release_keeper(&home.contest, home.process);
        }
    }

    /// Does what is to be done. `may_keep`: it may be by us.
    fn look(
        &mut self,
        home: &Home,
        scoreboard: &mut Scoreboard,
        may_keep: bool,
        control: &Control,
        now: UtcUs,
    ) -> Result<Kept, ScoreboardError> {
        let nothing = |is_kept| Kept { is_kept, decided: None };
        if !may_keep {
            self.release(home, scoreboard);
            return Ok(nothing(scoreboard.has_keeper(&home.contest)?));
        }
        self.is_ours = scoreboard.hold_keeper(&home.contest, home.process)? == Lease::Ours;
        let generators = scoreboard.read_generators(&home.contest)?;
        if !self.is_ours {
            self.split_keeper.hear(control, &generators, now);
            return Ok(nothing(true));
        }
        let Some(resplit) = self.split_keeper.look(control, &generators, now) else { return Ok(nothing(true)) };
        let decided = match change(control, resplit.change(), now) {
            Ok(next) if scoreboard.replace_control(control, &next)? => resplit.message(),
            // Somebody else has changed it: the next look sees what is left to do.
            Ok(_) => return Ok(nothing(true)),
            Err(refusal) => format!("the requests cannot be split anew: {refusal}"),
        };
        Ok(Kept { is_kept: true, decided: Some(decided) })
    }
}

impl Controller {
    /// Looks whether somebody keeps the split of a round that is on, and keeps it where that is our part.
    pub(super) fn keep_split(&mut self, control: &Control, now: UtcUs) {
        self.beside.split = None;
        if !self.home.keep && !matches!(control.state, State::Armed | State::Running | State::Paused) {
            return;
        }
        // By a clock that is off a split would come too soon, or late.
        let may_keep = self.home.keep && self.clock.is_some_and(|clock| clock.is_fit());
        match self.keeping.look(&self.home, &mut self.scoreboard, may_keep, control, now) {
            Ok(Kept { is_kept, decided }) => {
                self.is_kept = is_kept;
                if let Some(decided) = decided {
                    eprintln!("flowtest-loadgen: {decided}");
                }
            }
            Err(error) => {
                self.keeping.lost();
                // An outage is told by the look at the document.
                if !error.is_outage() {
                    self.beside.split = Some(error.to_string());
                }
            }
        }
    }
}
