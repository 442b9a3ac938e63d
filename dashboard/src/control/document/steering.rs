//! Whose database steers the contest. Two databases behind one contest would each undo what the other's organisers do, so that
//! one of them steers, and a dashboard on another one says so and takes no action.

use super::Document;
use crate::control::error::{ChangeError, OpenError};
use flowtest_accounts::{Accounts, Actor};
use flowtest_contract::StreamId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::Lease;
use flowtest_scoreboard::keys::STEERING_LIFE_SECONDS;
use std::time::Duration;

/// The name of the database's id among its settings.
const SETTING: &str = "database";
/// How long giving the steering back may take at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// The id of a database, drawn when it was first opened. A copy has it too: what either has saved tells the two apart (`publish`).
pub(super) async fn database_id(accounts: &Accounts, now: UtcUs) -> Result<StreamId, OpenError> {
    let wrong = |cause: String| OpenError::Setting { name: SETTING, cause };
    if let Some(setting) = accounts.setting(SETTING).await? {
        let text: String = serde_json::from_str(&setting.text).map_err(|error| wrong(error.to_string()))?;
        return text.parse().map_err(|error| wrong(format!("{error}")));
    }
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| wrong(format!("no random bytes ({error})")))?;
    let id = StreamId::from_bits(u128::from_be_bytes(bits));
    accounts.put_setting(SETTING, None, &format!("\"{id}\""), &Actor::program(), now).await?;
    Ok(id)
}

impl Document {
    /// Takes or keeps the steering, and so learns whether Redis takes writes.
    pub(in crate::control) async fn steer(&self) {
        let (contest, database) = (self.contest.clone(), self.database);
        let held = self.link.call(move |scoreboard| scoreboard.hold_steering(&contest, database)).await;
        let mut known = self.known();
        match held {
            Ok(lease) => {
                known.writing = None;
                let is_others = lease == Lease::Others;
                if is_others && !known.is_others {
                    tracing::warn!("{}", self.others());
                }
                if !is_others && known.is_others {
                    tracing::info!("this dashboard steers {} from now on", self.contest);
                }
                known.is_others = is_others;
            }
            Err(error) => known.writing = Some(error.to_string()),
        }
        let refused = known.writing.clone();
        drop(known);
        self.facts.set_unwritten(refused);
    }

    /// Why nothing is done here, when another dashboard steers.
    pub fn steered_elsewhere(&self) -> Option<String> {
        self.known().is_others.then(|| self.others())
    }

    /// Refuses while another dashboard steers.
    pub(in crate::control) fn check_steering(&self) -> Result<(), ChangeError> {
        self.steered_elsewhere().map_or(Ok(()), |message| Err(ChangeError::Elsewhere(message)))
    }

    /// Refuses while somebody else's document is shown.
    pub(in crate::control) fn check_undisputed(&self) -> Result<(), ChangeError> {
        self.known().check_undisputed()
    }

    /// Gives the steering back: the process ends.
    pub(in crate::control) async fn release(&self) {
        if self.known().is_others {
            return;
        }
        let (contest, database) = (self.contest.clone(), self.database);
        let released = self.link.call(move |scoreboard| scoreboard.release_steering(&contest, database));
        // What is not given back ends by itself.
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, released).await;
    }

    pub(super) fn others(&self) -> String {
        format!(
            "another dashboard, with another database, steers contest {:?} in this Redis: nothing is done from here. End that \
             one, and this one steers {STEERING_LIFE_SECONDS} s later; or give this one another contest by --contest or another \
             Redis by --redis",
            self.contest
        )
    }
}
