//! What a contestant's server must do, by the rules in force.

use crate::views::plan::PlanGraph;
use crate::views::{Layout, format};
use flowtest_contract::Rules;
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "rules.stpl")]
pub struct RulesPage {
    pub layout: Layout,
    pub rules: Rules,
    pub version: Flip,
    pub from: Flip,
    pub plan: Option<PlanGraph>,
    /// Addresses from which the fleet comes.
    pub sources: Vec<String>,
}

/// When a header must have its second value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    FromStart,
    AfterStart { seconds: u64 },
    At { ms: i64 },
}

impl Flip {
    /// Which value is right when, in words.
    pub(crate) fn words(self, first: &str, second: &str) -> String {
        match self {
            Flip::FromStart => format!("{second} from the start"),
            Flip::AfterStart { seconds } => {
                format!("{first} until {} after the start, then {second}", format::duration(seconds))
            }
            Flip::At { ms } => format!("{first} until {}, then {second}", format::utc_clock(ms)),
        }
    }
}

/// One answer of the worked example.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    pub(crate) what: &'static str,
    pub token: i64,
    pub version: i64,
    pub from: i64,
}

impl Example {
    pub(crate) fn sum(&self) -> i64 {
        self.token + self.version + self.from
    }

    /// Four answers that show the rules: all right, an old Version, a wrong Token, none.
    pub(crate) fn all(rules: &Rules) -> [Example; 4] {
        let (token, version, from) = (i64::from(rules.token), i64::from(rules.version), i64::from(rules.from));
        let rest = if rules.token_required { -1 } else { 1 };
        [
            Example { what: "All three right", token, version, from },
            Example { what: "Version still the old one after its deadline", token, version: -version, from },
            Example { what: "Token wrong or missing", token: -token, version: rest * version, from: rest * from },
            Example { what: "No answer within the timeout", token: -token, version: -version, from: -from },
        ]
    }
}
