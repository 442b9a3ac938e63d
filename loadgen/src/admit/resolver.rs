//! The thread that asks for the names of a roster again while a round runs, outside the workers.
//!
//! It owns what is known of each endpoint's addresses and says what changed. It never gives out an address that the
//! policy closes, never waits for one name while it asks for others, and when a name stops resolving
//! the last good addresses stay. What decides is [`AddressBook`], which knows no thread and no clock.

mod book;

pub use book::{AddressBook, Followed, News, Resolved};

use crate::admit::resolve::names::{Answer, Names, STUCK_AFTER};
use crate::admit::resolve::{ResolveError, reachable};
use crate::engine::index::{ContestantIndex, Key};
use flowtest_contest::Policy;
use flowtest_contract::utc_us;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often each name is asked for. Names of balancers live as long or longer.
pub const EVERY: Duration = Duration::from_secs(10);
/// Lookups at once, those that are stuck not counted: more would only queue up at the name server.
const AT_ONCE: usize = 16;

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Resolver {
    inbox: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Answer(String, Answer),
    Follow(ContestantIndex, Followed),
    Forget(ContestantIndex),
    Policy(Policy),
    Stop,
}

impl Resolver {
    /// Follows a roster in its order, beginning with a round of lookups at once. What changed
    /// comes out of the receiver; while nobody reads it, it holds a few words per contestant and round of lookups.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        names: Names,
        policy: Policy,
        roster: Vec<Followed>,
        every: Duration,
    ) -> io::Result<(Resolver, Receiver<News>)> {
        let (inbox, messages) = mpsc::channel();
        let (news, changes) = mpsc::channel();
        let mut book = AddressBook::new(policy);
        for (contestant, followed) in ContestantIndex::all().zip(roster) {
            book.follow(contestant, followed);
        }
        let rounds = Rounds {
            names,
            book,
            every,
            answers: inbox.clone(),
            news,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
        };
        let thread = thread::Builder::new().name("resolver".to_owned()).spawn(move || rounds.run(&messages))?;
        Ok((Resolver { inbox, thread: Some(thread) }, changes))
    }

    /// From now on a contestant has another endpoint, at addresses that were checked, or joins.
    pub fn follow(&self, contestant: ContestantIndex, followed: Followed) {
        self.tell(Message::Follow(contestant, followed));
    }

    /// A contestant has left; its addresses are nobody's.
    pub fn forget(&self, contestant: ContestantIndex) {
        self.tell(Message::Forget(contestant));
    }

    /// From now on by another policy. Each address in use that it closes comes out as [`News::Refused`] at once, and what
    /// is left as [`News::Resolved`]; who has nothing left as [`News::Closed`].
    pub fn set_policy(&self, policy: Policy) {
        self.tell(Message::Policy(policy));
    }

    fn tell(&self, message: Message) {
        // The thread ends only when it is told to.
        let _ = self.inbox.send(message);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tell(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread holds.
struct Rounds {
    names: Names,
    book: AddressBook,
    every: Duration,
    answers: Sender<Message>,
    news: Sender<News>,
    /// Names of this round whose lookup has not begun.
    queue: VecDeque<String>,
    under_way: HashMap<String, Lookup>,
}

struct Lookup {
    since: Instant,
    is_stuck: bool,
}

impl Rounds {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                self.begin_round();
                next = Instant::now() + self.every;
            }
            self.give_up_stuck();
            self.begin_lookups();
            let stuck =
                self.under_way.values().filter(|lookup| !lookup.is_stuck).map(|lookup| lookup.since + STUCK_AFTER);
            let wake = stuck.fold(next, Instant::min);
            match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Message::Answer(host, answer)) => {
                    self.under_way.remove(&host);
                    self.note(&host, &answer.map(reachable));
                }
                Ok(Message::Follow(contestant, followed)) => self.book.follow(contestant, followed),
                Ok(Message::Forget(contestant)) => self.book.forget(contestant),
                Ok(Message::Policy(policy)) => {
                    let news = self.book.set_policy(policy);
                    self.publish(news);
                }
                Ok(Message::Stop) => return,
                // We hold a sender ourselves, so it is never the end of all messages.
                Err(_) => {}
            }
        }
    }

    /// A name that is still being asked for from an earlier round is not asked for again.
    fn begin_round(&mut self) {
        let hosts = self.names.refresh().map_err(|error| error.to_string());
        let news = self.book.on_hosts(hosts);
        self.publish(news);
        for host in self.book.names() {
            if !self.under_way.contains_key(&host) && !self.queue.contains(&host) {
                self.queue.push_back(host);
            }
        }
    }

    /// Whoever waits for a stuck name learns that the last good addresses stay. An answer that comes later still counts.
    fn give_up_stuck(&mut self) {
        let late = |lookup: &Lookup| !lookup.is_stuck && lookup.since.elapsed() >= STUCK_AFTER;
        let stuck: Vec<String> =
            self.under_way.iter().filter(|(_, lookup)| late(lookup)).map(|(host, _)| host.clone()).collect();
        for host in stuck {
            if let Some(lookup) = self.under_way.get_mut(&host) {
                lookup.is_stuck = true;
            }
            self.note(&host, &Err(ResolveError::Stuck { host: host.clone() }));
        }
    }

    fn begin_lookups(&mut self) {
        let mut fresh = self.under_way.values().filter(|lookup| !lookup.is_stuck).count();
        while fresh < AT_ONCE
            && let Some(host) = self.queue.pop_front()
        {
            fresh += 1;
            self.under_way.insert(host.clone(), Lookup { since: Instant::now(), is_stuck: false });
            let (answers, name) = (self.answers.clone(), host.clone());
            // After the end of the thread nobody wants the answer.
            self.names.begin(&host, move |answer| drop(answers.send(Message::Answer(name, answer))));
        }
    }

    fn note(&mut self, host: &str, answer: &Answer) {
        let news = self.book.on_answer(host, answer, utc_us());
        self.publish(news);
    }

    /// Who does not want to know still has the round to end.
    fn publish(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            let _ = self.news.send(news);
        }
    }
}
