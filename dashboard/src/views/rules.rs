//! What a contestant's server must do, by the rules in force.

use crate::views::plan::PlanGraph;
use crate::views::{Layout, format, time};
use flowtest_contest::contest::{Absent, RankBy};
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::Rules;
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "rules.stpl")]
pub struct RulesPage {
    pub layout: Layout,
    pub rules: Rules,
    pub absent: Absent,
    pub rank_by: RankBy,
    /// For each request a second that is held in a breakpoint phase.
    pub breakpoint_points: u32,
    pub version: Flip,
    pub from: Flip,
    pub plan: Option<PlanGraph>,
    /// Addresses from which the fleet comes.
    pub sources: Vec<String>,
    /// Addresses besides, from which tests and practice come.
    pub test_sources: Vec<String>,
    /// Where contestants find templates, programs and starters.
    pub kit_url: Option<String>,
    /// Each answer has to say whose server it is.
    pub ownership: bool,
    /// Whose certificates are taken over https.
    pub tls: TlsTrust,
    /// What was announced and changed, newest first.
    pub changes: Vec<ChangeLine>,
}

/// One line of the log of changes.
#[derive(Clone, Debug)]
pub struct ChangeLine {
    pub at_ms: i64,
    pub text: String,
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
            Flip::At { ms } => format!("{first} until {}, then {second}", format::utc(ms)),
        }
    }

    /// The value that is right when this deadline passes, of a header with another deadline; none while nobody can tell which of
    /// the two comes first.
    pub(crate) fn value_of(self, other: Flip, first: &'static str, second: &'static str) -> Option<&'static str> {
        let has_flipped = match (self, other) {
            (_, Flip::FromStart) => true,
            (Flip::FromStart, Flip::AfterStart { seconds }) => seconds == 0,
            (Flip::AfterStart { seconds: here }, Flip::AfterStart { seconds }) => seconds <= here,
            (Flip::At { ms: here }, Flip::At { ms }) => ms <= here,
            (Flip::FromStart | Flip::AfterStart { .. }, Flip::At { .. })
            | (Flip::At { .. }, Flip::AfterStart { .. }) => {
                return None;
            }
        };
        Some(if has_flipped { second } else { first })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_due_when_the_platform_flips_is_told_where_it_is_known() {
        let (early, late) = (Flip::AfterStart { seconds: 1_200 }, Flip::AfterStart { seconds: 2_700 });
        let cases = [
            (late, early, Some("v2")),
            (late, late, Some("v2")),
            (early, late, Some("v1")),
            (Flip::At { ms: 2 }, Flip::At { ms: 1 }, Some("v2")),
            (Flip::At { ms: 1 }, Flip::At { ms: 2 }, Some("v1")),
            (late, Flip::FromStart, Some("v2")),
            (Flip::FromStart, early, Some("v1")),
            // Nobody knows yet when the round starts.
            (late, Flip::At { ms: 1 }, None),
            (Flip::At { ms: 1 }, early, None),
        ];
        for (from, version, expected) in cases {
            assert_eq!(from.value_of(version, "v1", "v2"), expected, "{from:?} {version:?}");
        }
    }
}
