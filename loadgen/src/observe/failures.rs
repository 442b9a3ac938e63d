//! Why requests were not right: causes with their counts, and the first exchange of each kind with its bytes. For the
//! summary, the JSON and the report alike. Pure.

use crate::engine::block::Block;
use crate::engine::causes::Cause;
use crate::engine::plan::Plan;
use crate::observe::wording;
use flowtest_contract::Tally;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::Failure;
use serde::Serialize;

/// How often something was wrong with the requests of one contestant. One answer may have several wrong headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseCount {
    pub contestant: String,
    /// As in `failed`: `token`, `status`, ..; `other` where too many causes were there to tell them apart.
    pub kind: &'static str,
    /// `status 503`, or a sentence.
    pub cause: String,
    pub count: u64,
}

/// The first failing exchange of a kind. Bytes are printable: `\n`, `\r`, `\xNN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureSample {
    pub contestant: String,
    pub kind: String,
    /// Why it is wrong.
    pub message: String,
    pub expected: String,
    pub received: String,
    pub request: String,
    pub response: String,
    pub at: UtcUs,
}

/// All causes of what is scored, the most frequent first.
pub fn causes(plan: &Plan, sums: &Block) -> Vec<CauseCount> {
    let mut causes = Vec::new();
    for (contestant, counts) in plan.contestants.iter().zip(&sums.scored) {
        let tally = &counts.row.tally;
        let named = |kind, cause: String, count| CauseCount { contestant: contestant.name.clone(), kind, cause, count };
        let headers = [
            ("token", "the Token is not that of the request", tally.token_wrong),
            ("version", "the Version is missing or wrong", tally.version_wrong),
            ("from", "the From is missing or wrong", tally.from_wrong),
        ];
        causes.extend(headers.map(|(kind, cause, count)| named(kind, cause.to_owned(), count)));
        let plain = plain_failures(tally).map(|(failure, count)| {
            named(failure.name(), wording::failed(failure, None, plan.rules.timeout_us).0, count)
        });
        causes.extend(plain);
    }
    for counted in sums.causes.as_slice() {
        let (failure, cause) = match counted.cause {
            Cause::Status(status) => (Failure::Status, format!("status {status}")),
            Cause::Malformed(why) => (Failure::Malformed, wording::failed(Failure::Malformed, why, 0).0),
            Cause::Tls(Some(why)) => (Failure::Tls, wording::tls(why).0),
            Cause::Tls(None) => (Failure::Tls, wording::failed(Failure::Tls, None, 0).0),
        };
        let contestant = plan.contestants[counted.contestant].name.clone();
        causes.push(CauseCount { contestant, kind: failure.name(), cause, count: counted.count });
    }
    let cause = "status, malformed or tls, of more kinds than are told apart".to_owned();
    causes.push(CauseCount { contestant: String::new(), kind: "other", cause, count: sums.causes.others });
    causes.retain(|cause| cause.count > 0);
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    causes
}

/// Failures of which the tally says all there is to say.
fn plain_failures(tally: &Tally) -> [(Failure, u64); 5] {
    [
        (Failure::Timeout, tally.timeout),
        (Failure::Refused, tally.refused),
        (Failure::Reset, tally.reset),
        (Failure::Missed, tally.missed),
        (Failure::OwnFault, tally.own_fault),
    ]
}

/// The same of all contestants together.
pub fn together(causes: &[CauseCount]) -> Vec<(&str, u64)> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for cause in causes {
        match sums.iter_mut().find(|(known, _)| *known == cause.cause) {
            Some((_, count)) => *count += cause.count,
            None => sums.push((&cause.cause, cause.count)),
        }
    }
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sums
}
