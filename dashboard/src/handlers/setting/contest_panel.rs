//! The settings on the page, and what saving them would change.

use super::as_sentence;
use crate::control::difference::Changed;
use crate::control::form::{FieldError, SettingsForm};
use crate::views::Field;
use crate::views::setting::{Change, ContestForm};
use flowtest_contest::{Control, State};

pub(super) fn contest_form(form: SettingsForm, errors: &[FieldError], control: Option<&Control>) -> ContestForm {
    let field = |name: &str, value: String| Field {
        value,
        error: errors.iter().find(|error| error.field == name).map(|error| as_sentence(&error.message)),
    };
    let playing = control.filter(|control| !matches!(control.state, State::Draft | State::Sealed | State::Aborted));
    ContestForm {
        title: field("title", form.title),
        version_deadline: field("version_deadline", form.version_deadline),
        from_deadline: field("from_deadline", form.from_deadline),
        timeout: field("timeout", form.timeout),
        grace: field("grace", form.grace),
        token: field("token", form.token),
        version: field("version", form.version),
        from: field("from", form.from),
        token_required: form.token_required,
        plan: field("plan", form.plan),
        allow: field("allow", form.allow),
        deny: field("deny", form.deny),
        allow_shared: form.allow_shared,
        house: field("house", form.house),
        error: match errors.len() {
            0 | 1 => None,
            count => Some(format!("{count} fields need another look. Nothing was saved.")),
        },
        frozen: playing.map(|control| {
            format!(
                "A round is {}. Rules, deadlines and plan that are saved now count from the next one on; networks count \
                 at once. A deadline of this round is moved above.",
                control.state
            )
        }),
    }
}

pub(super) fn change(changed: Changed) -> Change {
    Change {
        what: changed.label.to_owned(),
        before: changed.old,
        after: changed.new,
        effect: Some(changed.consequence),
    }
}
