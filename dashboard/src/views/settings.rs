//! The settings of the contest: rules, deadlines, the traffic plan as rows and as text with its preview, networks.

use crate::views::Layout;
use crate::views::field::Input;
use crate::views::plan::PlanGraph;
use crate::views::setting::{Change, ContestForm};
use crate::views::time;
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "settings.stpl")]
pub struct SettingsPage {
    pub layout: Layout,
    /// Posted back with the form.
    pub revision: u64,
    /// The form as the page showed it, as JSON: what somebody else saves meanwhile is told from it.
    pub base: String,
    pub contest: ContestForm,
    pub plan: PlanEditor,
    /// What saving would change; empty: nothing was posted, or nothing differs.
    pub difference: Vec<Change>,
    /// Fields that somebody else has changed too.
    pub conflicts: Vec<ConflictLine>,
}

/// What of the page follows what is typed: the script posts the form and takes this.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "settings-plan.stpl")]
pub struct PlanFragment {
    pub plan: PlanEditor,
}

/// The plan as it is edited.
#[derive(Clone, Debug, Default)]
pub struct PlanEditor {
    /// As text; the error of its field is the form's.
    pub text: String,
    /// None: only text says it, for it has comments or is no plan at all.
    pub rows: Option<Vec<PlanRowLine>>,
    /// Rows at most: more is for the text.
    pub rows_max: usize,
    pub preview: PlanPreview,
}

/// One row; the last ones are empty, for phases to come.
#[derive(Clone, Debug, Default)]
pub struct PlanRowLine {
    pub length: String,
    pub rate: String,
    pub connections: String,
    pub pipeline: String,
    pub scored: bool,
    /// What no field says, kept as it is.
    pub more: String,
}

/// What a plan comes to.
#[derive(Clone, Debug, Default)]
pub struct PlanPreview {
    /// Of the phases that can be read.
    pub graph: Option<PlanGraph>,
    /// The number of a phase that cannot be read, from 1, and why.
    pub wrong: Vec<(usize, String)>,
    /// What it asks of teams and of the fleet, a sentence each.
    pub totals: Vec<String>,
    /// The fleet cannot carry it, surely.
    pub too_much: Option<String>,
    /// What the deadlines mean on this plan.
    pub deadlines: Vec<String>,
}

/// A field that two have changed.
#[derive(Clone, Debug)]
pub struct ConflictLine {
    /// What people call it.
    pub label: String,
    pub mine: String,
    pub theirs: String,
}
