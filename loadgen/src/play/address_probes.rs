//! Addresses that fell silent while others of their contestant answer: each is asked beside the flood, once a second, until it
//! has given three answers with the right token in a row. These requests cost no points and hold no connection of the flood.
//!
//! Each question has a thread for the time of its answer, and there are few at once.

use crate::admit::probe::{Finding, Terms, probe_once};
use crate::engine::http::RequestTemplate;
use crate::engine::index::ContestantIndex;
use crate::engine::plan::{Plan, TlsServer, TrafficMode};
use crate::play::health_gate::ANSWERS_AGAIN;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Between two questions to one address, of all generators together.
const EVERY: Duration = Duration::from_secs(1);
/// Questions at once.
const AT_ONCE: usize = 16;

/// A contestant and one of its addresses.
type Place = (ContestantIndex, SocketAddr);

/// All silent addresses of a round.
#[derive(Debug)]
pub struct AddressProbes {
    asked: BTreeMap<Place, Asked>,
    /// Questions without an answer yet.
    under_way: usize,
    tell: Sender<Answer>,
    answers: Receiver<Answer>,
}

/// What came of one question.
#[derive(Clone, Copy, Debug)]
struct Answer {
    place: Place,
    is_alive: bool,
}

/// What is known of one address.
#[derive(Debug)]
struct Asked {
    next_at: Instant,
    is_under_way: bool,
    /// Answers with the right token in a row.
    in_a_row: u64,
}

impl Default for AddressProbes {
    fn default() -> AddressProbes {
        let (tell, answers) = mpsc::channel();
        AddressProbes { asked: BTreeMap::new(), under_way: 0, tell, answers }
    }
}

impl AddressProbes {
    /// Asks whoever is due, and says which addresses are alive again. `generators`: how many ask by turns.
    pub fn look(&mut self, plan: &Plan, terms: &Terms, generators: u64) -> Vec<Place> {
        let silent: BTreeSet<Place> = silent(plan).collect();
        self.asked.retain(|place, _| silent.contains(place));
        let now = Instant::now();
        for place in silent {
            self.asked.entry(place).or_insert(Asked { next_at: now, is_under_way: false, in_a_row: 0 });
        }
        let back = self.take_answers();
        let every = EVERY.saturating_mul(u32::try_from(generators.max(1)).unwrap_or(u32::MAX));
        let mut due: Vec<(Instant, Place)> = self
            .asked
            .iter()
            .filter(|(_, asked)| !asked.is_under_way && asked.next_at <= now)
            .map(|(place, asked)| (asked.next_at, *place))
            .collect();
        due.sort_unstable();
        for (_, place) in due.into_iter().take(AT_ONCE.saturating_sub(self.under_way)) {
            let (contestant, _) = place;
            let one = &plan.contestants[contestant];
            if self.ask(place, one.request.clone(), one.tls.clone(), *terms)
                && let Some(asked) = self.asked.get_mut(&place)
            {
                (asked.is_under_way, asked.next_at) = (true, now + every);
            }
        }
        back
    }

    fn take_answers(&mut self) -> Vec<Place> {
        let mut back = Vec::new();
        while let Ok(Answer { place, is_alive }) = self.answers.try_recv() {
            self.under_way -= 1;
            let Some(asked) = self.asked.get_mut(&place) else { continue };
            asked.is_under_way = false;
            asked.in_a_row = if is_alive { asked.in_a_row + 1 } else { 0 };
            if asked.in_a_row >= ANSWERS_AGAIN {
                self.asked.remove(&place);
                back.push(place);
            }
        }
        back
    }

    /// Whether there is a thread that asks.
    fn ask(&mut self, place: Place, request: RequestTemplate, tls: Option<TlsServer>, terms: Terms) -> bool {
        let tell = self.tell.clone();
        let ask = move || {
            let probed = probe_once(place.1, &request, tls.as_ref(), &terms);
            let is_alive = probed.is_ok_and(|exchange| match exchange.finding {
                // Whoever echoes the token is alive, whatever else it says.
                Finding::Answered(headers) => headers[0].right,
                Finding::Failed { .. } => false,
            });
            // After the end of the round nobody wants to know.
            let _ = tell.send(Answer { place, is_alive });
        };
        let is_asked = thread::Builder::new().name("probe".to_owned()).spawn(ask).is_ok();
        self.under_way += usize::from(is_asked);
        is_asked
    }
}

/// The silent addresses of contestants that are flooded at others.
fn silent(plan: &Plan) -> impl Iterator<Item = Place> {
    let flooded = plan.contestants.keys().filter(|index| plan.contestants[*index].traffic == TrafficMode::Flood);
    flooded.flat_map(|index| {
        let silent = plan.contestants[index].addresses.iter().filter(|target| target.is_silent);
        silent.map(move |target| (index, target.address))
    })
}
