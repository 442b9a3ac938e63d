//! The settings on their page, and what saving them would change.

use super::as_message;
use crate::control::difference::Changed;
use crate::control::form::{FieldError, SettingsForm};
use crate::control::merge::Conflict;
use crate::views::Field;
use crate::views::setting::{Change, ContestForm};
use crate::views::settings::ConflictLine;
use crate::views::time::Words;
use flowtest_contest::{Control, State};

/// `from_round`: while a round is on, the number of the next one.
pub(super) fn contest_form(
    form: SettingsForm,
    errors: &[FieldError],
    control: Option<&Control>,
    from_round: Option<u32>,
) -> ContestForm {
    let field = |name: &str, value: String| Field {
        value,
        error: errors.iter().find(|error| error.field == name).map(|error| as_message(&error.message)),
    };
    let playing = control.filter(|control| !matches!(control.state, State::Draft | State::Sealed | State::Aborted));
    ContestForm {
        title: field("title", form.title),
        version_deadline: field("version_deadline", form.version_deadline),
        from_deadline: field("from_deadline", form.from_deadline),
        zone: form.zone,
        timeout: field("timeout", form.timeout),
        grace: field("grace", form.grace),
        token: field("token", form.token),
        version: field("version", form.version),
        from: field("from", form.from),
        token_required: form.token_required,
        absent_free: form.absent_free,
        holds_first: form.holds_first,
        breakpoint_points: field("breakpoint_points", form.breakpoint_points),
        plan: field("plan", form.plan),
        allow: field("allow", form.allow),
        deny: field("deny", form.deny),
        allow_shared: form.allow_shared,
        ownership: form.ownership,
        tls_any: form.tls_any,
        house: field("house", form.house),
        error: match errors.len() {
            0 | 1 => None,
            count => Some(format!("{count} fields need another look. Nothing was saved.")),
        },
        frozen: playing.map(|control| {
            let next = from_round.map_or("the next one".to_owned(), |round| format!("round {round}"));
            format!(
                "A round is {}. Rules, deadlines and plan that are saved now count from {next} on; networks count at once. A \
                 deadline of this round is moved on Control.",
                control.state
            )
        }),
    }
}

/// `from_round` as above.
pub(super) fn change(changed: Changed, from_round: Option<u32>) -> Change {
    let from = from_round.filter(|_| !changed.counts_at_once());
    let from = from.map_or_else(String::new, |round| format!(" Counts from round {round} on."));
    // A deadline stands there as we write it, all else as it was typed.
    let words = if changed.is_deadline() { Words::Ours } else { Words::Typed };
    Change {
        what: changed.label.to_owned(),
        before: words(changed.old),
        after: words(changed.new),
        effect: Some(changed.consequence + &from),
    }
}

pub(super) fn conflict(conflict: Conflict) -> ConflictLine {
    let Conflict { field, mine, theirs } = conflict;
    ConflictLine { label: as_message(&field.replace('_', " ")).trim_end_matches('.').to_owned(), mine, theirs }
}
