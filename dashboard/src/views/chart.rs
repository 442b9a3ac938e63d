//! The chart with its standings, and the same for a room: projector, ticker, reveal.

use crate::live::Standing;
use crate::views::qr::Qr;
use crate::views::{Layout, format};
use sailfish::TemplateSimple;

/// Which face of `/chart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartView {
    Page,
    Projector,
    Ticker,
    Reveal,
}

impl ChartView {
    /// The value of `?view=`.
    pub fn name(self) -> &'static str {
        match self {
            ChartView::Page => "page",
            ChartView::Projector => "projector",
            ChartView::Ticker => "ticker",
            ChartView::Reveal => "reveal",
        }
    }
}

/// `GET /chart` for people who are signed in.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "chart.stpl")]
pub struct ChartPage {
    pub layout: Layout,
    /// By rank, as this viewer may see them.
    pub standings: Vec<Standing>,
    /// All that somebody competes in; empty: there are none, and nothing is said of them.
    pub categories: Vec<String>,
    /// The one whose teams are shown.
    pub category: Option<String>,
    /// A WebSocket path of ours, as a rule `/live`.
    pub live: String,
    /// As a rule `/api/history`.
    pub history: String,
}

/// The address of an export, of the category that is shown.
fn export_of(file: &str, category: &Option<String>) -> String {
    let Some(category) = category else { return format!("/export/{file}") };
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("category", category);
    format!("/export/{file}?{}", pairs.finish())
}

/// `GET /chart?view=projector|ticker|reveal`: no menu, large type, what the public may see; the reveal, which an organiser
/// opens, is veiled and has the final standings.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "projector.stpl")]
pub struct ProjectorPage {
    pub layout: Layout,
    pub view: ChartView,
    pub standings: Vec<Standing>,
    /// With the screen's secret where nobody is signed in.
    pub live: String,
    pub history: String,
    /// The address people type, without scheme, and its code to be photographed. Empty where nobody has said it.
    pub site: String,
    pub qr: Option<Qr>,
}
