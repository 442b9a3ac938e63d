//! The contest on one page that stands alone: no script, nothing fetched, made to be printed and kept.

use crate::live::Standing;
use crate::views::climb::ClimbCard;
use crate::views::curve::Curves;
use crate::views::format;
use crate::views::strip::{self, Strip};
use flowtest_accounts::Ruling;
use flowtest_contest::{DecidedBy, State};
use flowtest_contract::{RoundValidity, Rules};
use sailfish::TemplateSimple;

/// `GET /report.html`. It carries its own style, so it is answered with [`ReportPage::POLICY`] instead of the site's.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "report.stpl")]
pub struct ReportPage {
    pub title: String,
    pub contest: String,
    pub version: String,
    pub made_at_ms: i64,
    pub rules: Rules,
    /// Numbers of the rounds that count, as columns of the standings.
    pub counted: Vec<u32>,
    /// The number of the one that counts and is not sealed yet: its points are in the standings, and have a column after these.
    pub open: Option<u32>,
    /// The whole contest, by rank.
    pub standings: Vec<ReportLine>,
    /// Somebody holds something: a round had a breakpoint phase.
    pub has_climbs: bool,
    pub curves: Curves,
    pub from_ms: i64,
    pub until_ms: i64,
    pub rounds: Vec<ReportRound>,
    pub adjustments: Vec<ReportAdjustment>,
}

/// One line of the standings, whose points add up.
#[derive(Clone, Debug)]
pub struct ReportLine {
    pub standing: Standing,
    /// Of each round that counts, and of the open one; `None`: it did not play there.
    pub rounds: Vec<Option<i64>>,
    pub adjusted: i64,
}

impl ReportPage {
    /// The content security policy of the report, here and in its head: style of its own, nothing else.
    pub const POLICY: &'static str =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
}

#[derive(Clone, Debug)]
pub struct ReportRound {
    pub number: u32,
    /// `None`: a word that this program does not know.
    pub state: Option<State>,
    pub scored: bool,
    pub start_at_ms: Option<i64>,
    pub end_at_ms: Option<i64>,
    pub sealed_at_ms: Option<i64>,
    /// What changed when, in words with its instant.
    pub deadlines: Vec<(&'static str, i64)>,
    pub phases: Vec<String>,
    /// By points.
    pub teams: Vec<ReportTeam>,
    /// None: nobody knows.
    pub validity: Option<RoundValidity>,
    /// What the platform's own contestant lost; `None` without one.
    pub house_failures: Option<u64>,
    pub ruling: Option<Ruling>,
}

/// A team in one round.
#[derive(Clone, Debug)]
pub struct ReportTeam {
    pub display_name: String,
    pub points: i64,
    /// With all three headers right, at most.
    pub verified: u64,
    /// Well-framed 2xx answers.
    pub answered: u64,
    /// Kinds of failure with their counts, those that came.
    pub failures: Vec<(&'static str, u64)>,
    pub void: u64,
    pub p99_us: Option<u64>,
    /// From the start of the round to its end; `None`: no history of it was kept.
    pub seconds: Option<Strip>,
    /// Where the round had a breakpoint phase.
    pub climb: Option<ClimbCard>,
}

#[derive(Clone, Debug)]
pub struct ReportAdjustment {
    pub at_ms: i64,
    pub display_name: String,
    pub points: i64,
    pub reason: String,
    pub withdrawn: bool,
}
