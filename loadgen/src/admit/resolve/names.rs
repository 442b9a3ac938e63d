//! Lookups of names with a limit on their time, which the system's own have not.
//!
//! Each lookup has a thread of its own, at most one per name however many ask, so that a stuck one stops nobody and
//! threads do not pile up. It knows no policy: what it finds is no permission.

use super::{Hosts, HostsError, ResolveError, listed, reachable};
use flowtest_contest::endpoint::{Endpoint, Host};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// A lookup that takes longer is stuck: nobody waits for it any more. The system's resolver asks its first server for
/// as long before it turns to the second.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Lookups under way at most, stuck ones included: each is a thread.
pub const UNDER_WAY_MAX: usize = 256;

/// The addresses that a name has now.
pub type Answer = Result<Vec<IpAddr>, ResolveError>;
type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
type Tell = Box<dyn FnOnce(Answer) + Send>;

/// The source of addresses. Clones share it.
#[derive(Clone)]
pub struct Names {
    inner: Arc<Inner>,
}

struct Inner {
    lookup: Box<Lookup>,
    hosts: Option<Hosts>,
    under_way: Mutex<HashMap<String, UnderWay>>,
}

struct UnderWay {
    since: Instant,
    waiting: Vec<Tell>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("hosts", &self.inner.hosts).finish_non_exhaustive()
    }
}

impl Names {
    /// Asks the hosts file, if there is one, and else the system.
    pub fn system(hosts: Option<Hosts>) -> Names {
        let lookup = |name: &str| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        Names::new(hosts, lookup)
    }

    /// Asks `lookup` instead of the system. It is called on a thread of its own and may block.
    pub fn new(
        hosts: Option<Hosts>,
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Names {
        let inner = Inner { lookup: Box::new(lookup), hosts, under_way: Mutex::default() };
        Names { inner: Arc::new(inner) }
    }

    /// Reads the hosts file again.
    pub fn refresh(&self) -> Result<(), HostsError> {
        self.inner.hosts.as_ref().map_or(Ok(()), Hosts::refresh)
    }

    /// All addresses of an endpoint, sorted, each once; waits at most for `timeout`.
    pub fn addresses(&self, endpoint: &Endpoint, timeout: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = match &endpoint.host {
            Host::V4(address) => vec![(*address).into()],
            Host::V6(address) => vec![(*address).into()],
            Host::Name(name) => {
                let (sender, receiver) = sync_channel(1);
                // Whoever has stopped waiting misses the answer.
                self.begin(name, move |answer| drop(sender.try_send(answer)));
                receiver.recv_timeout(timeout).unwrap_or_else(|_| Err(ResolveError::Stuck { host: name.clone() }))?
            }
        };
        listed(&endpoint.host.to_string(), reachable(found), endpoint.port)
    }

    /// Begins a lookup and calls `tell` with its answer: at once when that is known, else on another thread. Who asks
    /// while it is under way waits for the same answer; when it is stuck, that is the answer.
    pub fn begin(&self, name: &str, tell: impl FnOnce(Answer) + Send + 'static) {
        if let Some(found) = self.inner.hosts.as_ref().and_then(|hosts| hosts.get(name)) {
            return tell(Ok(found));
        }
        let mut under_way = self.inner.under_way.lock();
        if let Some(lookup) = under_way.get_mut(name) {
            if lookup.since.elapsed() < STUCK_AFTER {
                return lookup.waiting.push(Box::new(tell));
            }
            drop(under_way);
            return tell(Err(ResolveError::Stuck { host: name.to_owned() }));
        }
        if under_way.len() >= UNDER_WAY_MAX {
            drop(under_way);
            return tell(Err(ResolveError::Busy { host: name.to_owned() }));
        }
        under_way.insert(name.to_owned(), UnderWay { since: Instant::now(), waiting: vec![Box::new(tell)] });
        drop(under_way);
        let (inner, host) = (self.inner.clone(), name.to_owned());
        let thread = thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            let answer = (inner.lookup)(&host);
            inner.finish(&host, answer);
        });
        if let Err(error) = thread {
            self.inner.finish(name, Err(error));
        }
    }
}

impl Inner {
    fn finish(&self, host: &str, answer: io::Result<Vec<IpAddr>>) {
        let answer = answer.map_err(|error| ResolveError::Unknown { host: host.to_owned(), error: error.to_string() });
        let finished = self.under_way.lock().remove(host);
        for tell in finished.into_iter().flat_map(|lookup| lookup.waiting) {
            tell(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn who_asks_for_one_name_at_once_shares_one_lookup() {
        let (go, wait) = channel::<()>();
        let (asked, wait) = (Arc::new(AtomicUsize::new(0)), Mutex::new(wait));
        let count = asked.clone();
        let names = Names::new(None, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            wait.lock().recv().map_err(io::Error::other)?;
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let (sender, answers) = channel();
        for _ in 0..3 {
            let sender = sender.clone();
            names.begin("alice.test", move |answer| sender.send(answer).expect("somebody listens"));
        }
        go.send(()).expect("the lookup waits");
        for _ in 0..3 {
            let answer = answers.recv().expect("an answer").expect("addresses");
            assert_eq!(answer, [IpAddr::from([10, 0, 0, 1])]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_name_that_does_not_exist_is_named_and_addresses_need_no_resolver() {
        let of = |endpoint: &str| {
            let endpoint = endpoint.parse().expect("an endpoint");
            Names::system(None).addresses(&endpoint, Duration::from_secs(60))
        };
        let error = of("no-such-host.invalid").expect_err("unknown").to_string();
        assert!(error.starts_with("no-such-host.invalid: "), "{error}");
        for (endpoint, address) in [("[::1]:81", "[::1]:81"), ("127.0.0.1", "127.0.0.1:80")] {
            assert_eq!(of(endpoint).expect("an address"), [address.parse::<SocketAddr>().expect("one")]);
        }
        let local = of("localhost:8080").expect("it is there");
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 8080));
    }

    #[test]
    fn a_lookup_that_hangs_is_given_up_and_the_next_name_is_found() {
        let (_go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let names = Names::new(None, move |name| {
            if name == "stuck.test" {
                let _ = wait.lock().recv();
            }
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        });
        let stuck: Endpoint = "stuck.test:8080".parse().expect("an endpoint");
        for _ in 0..3 {
            let error = names.addresses(&stuck, Duration::from_millis(10)).expect_err("it hangs").to_string();
            assert!(error.contains("no answer"), "{error}");
        }
        assert_eq!(names.inner.under_way.lock().len(), 1, "one thread for the stuck name");
        let fine: Endpoint = "fine.test:8080".parse().expect("an endpoint");
        let found = names.addresses(&fine, Duration::from_secs(60)).expect("found");
        assert_eq!(found, ["127.0.0.1:8080".parse::<SocketAddr>().expect("an address")]);
    }

    #[test]
    fn a_name_of_the_hosts_file_is_not_asked_from_the_system() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        std::fs::write(&path, "127.0.0.3 a.test\n127.0.0.2 a.test\n127.0.0.3 a.test\n").expect("written");
        let names =
            Names::new(Some(Hosts::open(&path).expect("read")), |_| Err(io::Error::other("nobody is to be asked")));
        let a: Endpoint = "a.test:81".parse().expect("an endpoint");
        let found = names.addresses(&a, Duration::ZERO).expect("found at once");
        assert_eq!(found.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), ["127.0.0.2:81", "127.0.0.3:81"]);
        let b: Endpoint = "b.test".parse().expect("an endpoint");
        let error = names.addresses(&b, Duration::from_secs(60)).expect_err("unknown").to_string();
        assert!(error.contains("nobody is to be asked"), "{error}");
        std::fs::write(&path, "127.0.0.4 a.test\n").expect("written");
        names.refresh().expect("read again");
        assert_eq!(names.addresses(&a, Duration::ZERO).expect("found").len(), 1);
    }
}
