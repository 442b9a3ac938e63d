//! The organiser's page, and what its forms do. Each does one thing at the control desk and goes back to the page, which
//! says how it went; what was typed wrongly is shown in its field.
//!
//! | module | noun |
//! |---|---|
//! | `page` | everything the page shows |
//! | `contest` | deadlines, rules, plan, policy, house |
//! | `round` | the levers of a round, the red switch among them |
//! | `show` | freeze, reveal, announcements, screens |
//! | `contestant` | what is done to one contestant |
//! | `people` | accounts and backups |

mod contest;
mod contestant;
mod page;
mod people;
mod round;
mod show;

pub use contest::{adopt, save_contest};
pub use contestant::{change_contestant, withdraw_adjustment};
pub(super) use page::invitation_form;
pub use page::show_page;
pub use people::{change_user, make_backup};
pub use round::{
    abort_round, arm_round, halt_traffic, move_deadline, next_round, pause_round, resume_round, seal_round, stop_round,
};
pub use show::{
    end_announcement, end_contest, freeze_board, make_announcement, make_screen, reveal_board, revoke_screen,
    unfreeze_board,
};

use crate::control::{ChangeError, Made};
use crate::error::Failure;
use crate::handlers::frame;
use salvo::prelude::*;

/// Where all forms go back to.
const PATH: &str = "/setting";

/// Goes back and says how a change went.
fn told(depot: &mut Depot, res: &mut Response, outcome: Result<Made, ChangeError>, done: &str) -> Result<(), Failure> {
    match outcome {
        Ok(Made { unpublished: None, .. }) => frame::done(depot, res, PATH, done),
        Ok(Made { unpublished: Some(why), .. }) => {
            let text = format!(
                "{done} Generators do not know of it yet: {why}. It is saved, and told as soon as that is over."
            );
            frame::refused(depot, res, PATH, text)
        }
        Err(error) => declined(depot, res, error),
    }
}

/// Goes back and says why nothing was changed.
fn declined(depot: &mut Depot, res: &mut Response, error: ChangeError) -> Result<(), Failure> {
    match error {
        ChangeError::Accounts(flowtest_accounts::Error::Failed(cause)) => Err(Failure::Internal(cause)),
        error => frame::refused(depot, res, PATH, capital(&error.to_string())),
    }
}

/// A sentence as it stands alone: with a capital and a full stop.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// The revision that the page showed.
async fn revision(req: &mut Request) -> Option<u64> {
    req.form::<u64>("revision").await
}

/// A field that may come several times, with or without brackets behind its name.
pub(super) async fn list(req: &mut Request, name: &str) -> Vec<String> {
    let plain = req.form::<Vec<String>>(name).await.unwrap_or_default();
    let bracketed = req.form::<Vec<String>>(&format!("{name}[]")).await.unwrap_or_default();
    plain.into_iter().chain(bracketed).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

async fn is_ticked(req: &mut Request, name: &str) -> bool {
    matches!(frame::field(req, name).await.as_str(), "yes" | "on" | "true" | "1")
}
