//! The contest on one page that stands alone: no script, nothing fetched, made to be printed and kept.

use crate::live::Standing;
use crate::views::curve::Curves;
use crate::views::format;
use flowtest_accounts::Ruling;
use flowtest_contest::{DecidedBy, State};
use flowtest_contract::{RoundValidity, Rules};
use sailfish::TemplateSimple;

/// `GET /report.html`. It carries its own style, so it is answered with [`ReportPage::POLICY`] instead of the site's.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "report.stpl")]
pub struct ReportPage {
    pub contest: String,
    pub version: String,
    pub made_at_ms: i64,
    pub rules: Rules,
    /// The whole contest.
    pub standings: Vec<Standing>,
    pub curves: Curves,
    pub from_ms: i64,
    pub until_ms: i64,
    pub rounds: Vec<ReportRound>,
    pub adjustments: Vec<ReportAdjustment>,
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
    /// Display name and points, by points.
    pub points: Vec<(String, i64)>,
    /// None: nobody knows.
    pub validity: Option<RoundValidity>,
    pub ruling: Option<Ruling>,
}

#[derive(Clone, Debug)]
pub struct ReportAdjustment {
    pub at_ms: i64,
    pub display_name: String,
    pub points: i64,
    pub reason: String,
    pub withdrawn: bool,
}
