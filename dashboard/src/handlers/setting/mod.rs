//! The organiser's page, and what its forms do. Each does one thing at the controller and goes back to the page, which
//! says how it went; what was typed wrongly is shown in its field.
//!
//! | module | noun |
//! |---|---|
//! | `page` | everything the page shows |
//! | `ready_panel`, `round_panel`, `team_panel`, `people_panel`, `guide` | its parts, filled |
//! | `contest` | the page of the settings: deadlines, rules, plan, policy, house |
//! | `contest_panel`, `plan_panel` | its parts, filled |
//! | `round` | the levers of a round, the red switch among them |
//! | `show` | freeze, reveal, announcements, screens |
//! | `contestant` | what is done to one contestant |
//! | `people` | accounts and backups |

mod contest;
mod contest_panel;
mod contestant;
mod guide;
mod page;
mod people;
mod people_panel;
mod plan_panel;
mod ready_panel;
mod round;
mod round_panel;
mod show;
mod team_panel;

pub use contest::{adopt, preview_contest, save_contest, show_contest};
pub use contestant::{change_contestant, withdraw_adjustment};
pub use page::{show_live, show_page, show_team};
pub use people::{change_user, make_backup};
pub use round::{
    abort_round, arm_round, halt_traffic, move_deadline, next_round, pause_round, remind, resume_round, rule_round,
    seal_round, stop_round, test_all,
};
pub use show::{
    end_announcement, end_contest, freeze_board, make_announcement, make_screen, reveal_board, revoke_screen,
    time_reveal, unfreeze_board,
};

use crate::control::{ChangeError, Made};
use crate::error::RequestError;
use crate::handlers::frame;
use crate::views::format::as_message;
use salvo::prelude::*;

/// Where all forms go back to.
const PATH: &str = "/setting";

/// Goes back and says how a change went.
fn told(
    depot: &mut Depot,
    res: &mut Response,
    outcome: Result<Made, ChangeError>,
    done: &str,
) -> Result<(), RequestError> {
    told_at(depot, res, PATH, outcome, done)
}

/// The same at another place.
fn told_at(
    depot: &mut Depot,
    res: &mut Response,
    path: &str,
    outcome: Result<Made, ChangeError>,
    done: &str,
) -> Result<(), RequestError> {
    match outcome {
        Ok(Made { unpublished: None, unsaved: None, .. }) => frame::done(depot, res, path, done),
        Ok(made) => frame::refused(depot, res, path, format!("{done} {}", how_it_went(&made))),
        Err(error) => frame::refused(depot, res, path, as_message(&error.to_string())),
    }
}

/// Who does not know of a change yet.
fn how_it_went(made: &Made) -> String {
    let told = match (&made.unpublished, &made.unsaved) {
        (None, _) => "Generators know of it.".to_owned(),
        (Some(why), None) => {
            format!("Generators do not know of it yet: {why}. It is saved, and told as soon as that is over.")
        }
        (Some(why), Some(_)) => {
            format!(
                "Generators do not know of it yet: {why}. They are told as soon as that is over; a restart of this dashboard \
                 before that would lose it."
            )
        }
    };
    match &made.unsaved {
        None => told,
        Some(why) => format!(
            "{told} It is not saved yet: {} It holds all the same, and is saved as soon as that is over.",
            as_message(why)
        ),
    }
}

/// Goes back and says why nothing was changed.
fn declined(depot: &mut Depot, res: &mut Response, error: &ChangeError) -> Result<(), RequestError> {
    frame::refused(depot, res, PATH, as_message(&error.to_string()))
}
