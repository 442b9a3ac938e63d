//! Which request a contestant was sent, also when its endpoint has moved since.

use crate::engine::http::RequestTemplate;
use crate::engine::index::ContestantIndex;
use crate::engine::plan::Plan;
use crate::engine::trace::Sample;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints of one contestant that are remembered: what is explained was sent at most some timeouts ago.
const FORMER_MAX: usize = 8;

/// The plan that is followed, and the requests of those before it.
#[derive(Debug)]
pub struct Requests {
    plan: Arc<Plan>,
    /// The newest last.
    former: BTreeMap<ContestantIndex, Vec<RequestTemplate>>,
}

impl Requests {
    pub fn new(plan: Arc<Plan>) -> Requests {
        Requests { plan, former: BTreeMap::new() }
    }

    /// Another plan of the same round is followed.
    pub fn follow(&mut self, plan: Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        for index in before.contestants.keys() {
            let was = &before.contestants[index].request;
            if *was != self.plan.contestants[index].request {
                let former = self.former.entry(index).or_default();
                if former.len() == FORMER_MAX {
                    former.remove(0);
                }
                former.push(was.clone());
            }
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes of a sample's request as they were sent; none when it never was, or by an endpoint long ago.
    pub fn sent(&self, sample: &Sample) -> Vec<u8> {
        let Sample { contestant, token, request_mark, never_sent, .. } = sample;
        let now = self.plan.contestants.get(*contestant).map(|contestant| &contestant.request);
        let former = self.former.get(contestant).into_iter().flatten().rev();
        let mut known = now.into_iter().chain(former).filter(|request| !never_sent && request.mark() == *request_mark);
        known.next().map_or_else(Vec::new, |request| request.with(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::{ContestantPlan, TrafficMode};
    use flowtest_contract::Token;

    fn plan(path: &str) -> Arc<Plan> {
        let contestant = ContestantPlan {
            name: "alice".to_owned(),
            endpoint: String::new(),
            addresses: Vec::new(),
            request: RequestTemplate::new(path, "alice.test"),
            tls: None,
            traffic: TrafficMode::Flood,
        };
        Arc::new(Plan { contestants: vec![contestant].into(), ..Plan::default() })
    }

    #[test]
    fn evidence_has_the_request_that_was_sent_after_the_endpoint_has_moved() {
        let mut requests = Requests::new(plan("/old"));
        let token = Token(*b"0123456789abcdef0123456789abcdef");
        let sample = |path: &str| {
            let mut sample = Sample::default();
            sample.token = token;
            sample.request_mark = plan(path).contestants[ContestantIndex::FIRST].request.mark();
            sample
        };
        let sent = |requests: &Requests, path| String::from_utf8(requests.sent(&sample(path))).expect("a text");
        assert!(sent(&requests, "/old").starts_with("GET /old "));
        requests.follow(plan("/new"));
        assert!(sent(&requests, "/old").starts_with("GET /old "), "it was sent before");
        assert!(sent(&requests, "/new").starts_with("GET /new "));
        (0..FORMER_MAX).for_each(|turn| requests.follow(plan(&format!("/{turn}"))));
        assert_eq!(sent(&requests, "/old"), "", "rather nothing than another request");
        assert!(sent(&requests, "/new").starts_with("GET /new "));
        let mut unsent = sample("/new");
        unsent.never_sent = true;
        assert_eq!(requests.sent(&unsent), b"");
    }
}
