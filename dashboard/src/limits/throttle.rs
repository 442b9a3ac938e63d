//! How often somebody may fail: passwords and invitations are not guessed here.
//!
//! An attempt counts as a failure from its beginning, so that many at one moment are no way around a limit, and is taken
//! back when it was none; a whole room behind one address signs in at once. Who guesses waits by account *and* address,
//! so that it locks out nobody who is elsewhere. Only a crowd of addresses makes an account wait everywhere, and that
//! no longer than the window.

use crate::limits::address::{network, site};
use flowtest_accounts::InviteId;
use flowtest_contract::rules::UtcUs;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

const SECOND_US: u64 = 1_000_000;
/// Keys at most; when there are more, those whose failures are oldest are forgotten first.
const KEYS_MAX: usize = 20_000;
/// What is kept of a key, in bytes: an address and the longest name there can be, and some.
const KEY_BYTES_MAX: usize = 100;
/// How often keys whose failures all lie behind the windows are dropped, in microseconds.
const DROP_EVERY_US: u64 = 60 * SECOND_US;

/// So many failures within so long.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub failures: usize,
    pub within_us: u64,
}

/// For one account from one address: 5 a minute, 20 an hour.
pub const PAIR: &[Limit] =
    &[Limit { failures: 5, within_us: 60 * SECOND_US }, Limit { failures: 20, within_us: 3_600 * SECOND_US }];
/// For one account from a large network, an IPv6 /48, of whose 65,536 parts somebody may have all.
pub const SITE: &[Limit] =
    &[Limit { failures: 20, within_us: 60 * SECOND_US }, Limit { failures: 80, within_us: 3_600 * SECOND_US }];
/// For one account from everywhere: who has many addresses guesses no faster than this, and needs 25 of them to make
/// the account's owner wait.
pub const ACCOUNT: &[Limit] = &[Limit { failures: 500, within_us: 3_600 * SECOND_US }];
/// Right passwords of one account, whatever browsers they come from: each costs a core, a session and a line of the log. Those
/// of browsers that are known and of others are counted apart, and a room that shares an account comes at once.
pub const SIGN_INS: &[Limit] = &[Limit { failures: 60, within_us: 60 * SECOND_US }];
/// Registrations that fail, of one invitation: each scores a password. Whoever corrects a form needs some.
pub const REGISTRATION: &[Limit] = &[Limit { failures: 20, within_us: 60 * SECOND_US }];
/// For one address: generous, because a venue is one, and its whole room may be signing in at this moment.
pub const ADDRESS: &[Limit] = &[Limit { failures: 300, within_us: 60 * SECOND_US }];
/// For one large network, whatever accounts: as much as for four addresses.
pub const LARGE: &[Limit] = &[Limit { failures: 1_200, within_us: 60 * SECOND_US }];
/// Tests of endpoints from one network, whatever accounts it has: each makes a generator ask somebody six times. Three
/// generators have time for more, and a venue with twenty teams has enough.
pub const TESTS: &[Limit] = &[Limit { failures: 60, within_us: 60 * SECOND_US }];

/// Counts failures by key.
#[derive(Debug)]
pub struct Throttle {
    limits: &'static [Limit],
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    failures: HashMap<String, VecDeque<UtcUs>>,
    dropped_at: UtcUs,
}

impl Throttle {
    pub fn new(limits: &'static [Limit]) -> Throttle {
        Throttle { limits, counts: Mutex::default() }
    }

    /// Counts an attempt as failed, or says how many seconds its key has to wait.
    pub fn begin(&self, key: &str, now: UtcUs) -> Result<(), u64> {
        let key = shortened(key);
        let mut counts = self.counts();
        self.drop_old(&mut counts, now);
        let failures = counts.failures.entry(key.to_owned()).or_default();
        if let Some(wait_s) = self.wait_s(failures, now) {
            return Err(wait_s);
        }
        failures.push_back(now);
        while failures.len() > self.keep() {
            failures.pop_front();
        }
        Ok(())
    }

    /// The attempt that began at `at` was no failure.
    pub fn take_back(&self, key: &str, at: UtcUs) {
        let mut counts = self.counts();
        let Some(failures) = counts.failures.get_mut(shortened(key)) else { return };
        if let Some(index) = failures.iter().rposition(|failed_at| *failed_at == at) {
            failures.remove(index);
        }
        if failures.is_empty() {
            counts.failures.remove(shortened(key));
        }
    }

    fn wait_s(&self, failures: &VecDeque<UtcUs>, now: UtcUs) -> Option<u64> {
        let wait = |limit: &Limit| {
            // The failure that has to grow old before another try is within the limit.
            let index = failures.len().checked_sub(limit.failures)?;
            let free_at = failures[index] + limit.within_us;
            (free_at > now).then(|| (free_at - now).div_ceil(SECOND_US))
        };
        self.limits.iter().filter_map(wait).max()
    }

    /// Forgets keys whose failures count no more and, when there are too many keys, the older half of them.
    fn drop_old(&self, counts: &mut Counts, now: UtcUs) {
        let is_full = counts.failures.len() >= KEYS_MAX;
        if !is_full && now < counts.dropped_at.saturating_add(DROP_EVERY_US) {
            return;
        }
        counts.dropped_at = now;
        let window = self.limits.iter().map(|limit| limit.within_us).max().unwrap_or(0);
        let newest = |failures: &VecDeque<UtcUs>| failures.back().copied().unwrap_or_default();
        counts.failures.retain(|_, failures| newest(failures) + window > now);
        if counts.failures.len() >= KEYS_MAX {
            let mut ages: Vec<UtcUs> = counts.failures.values().map(newest).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            counts.failures.retain(|_, failures| newest(failures) > middle);
        }
    }

    /// Failures of one key that can matter.
    fn keep(&self) -> usize {
        self.limits.iter().map(|limit| limit.failures).max().unwrap_or(0)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock()
    }
}

/// Keys are typed by strangers. Whatever is longer is the name of nobody.
fn shortened(key: &str) -> &str {
    &key[..key.floor_char_boundary(KEY_BYTES_MAX)]
}

/// All counts that stand between somebody and a password, an invitation, or a generator's time.
#[derive(Debug)]
pub struct Failures {
    pairs: Throttle,
    devices: Throttle,
    sites: Throttle,
    accounts: Throttle,
    addresses: Throttle,
    larges: Throttle,
    sign_ins: Throttle,
    registrations: Throttle,
    tests: Throttle,
}

impl Default for Failures {
    fn default() -> Failures {
        Failures {
            pairs: Throttle::new(PAIR),
            devices: Throttle::new(PAIR),
            sites: Throttle::new(SITE),
            accounts: Throttle::new(ACCOUNT),
            addresses: Throttle::new(ADDRESS),
            larges: Throttle::new(LARGE),
            sign_ins: Throttle::new(SIGN_INS),
            registrations: Throttle::new(REGISTRATION),
            tests: Throttle::new(TESTS),
        }
    }
}

impl Failures {
    /// An attempt at an account's password, or how many seconds it has to wait. A `device` in which somebody has signed in
    /// to this account before is counted by itself, so that nobody's guesses keep it out.
    /// Right passwords of one account are counted as well, so that nobody takes everybody's turn by its own.
    pub fn at_password(
        &self,
        name: &str,
        from: IpAddr,
        device: Option<&str>,
        now: UtcUs,
    ) -> Result<PasswordAttempt<'_>, u64> {
        let kind = if device.is_some() { "known" } else { "unknown" };
        let success = Attempt::begin(vec![(&self.sign_ins, format!("{kind} {}", name.to_lowercase()))], now)?;
        match self.at_wrong_password(name, from, device, now) {
            Ok(failure) => Ok(PasswordAttempt { failure: Some(failure), success: Some(success) }),
            Err(wait_s) => {
                success.take_back();
                Err(wait_s)
            }
        }
    }

    fn at_wrong_password(
        &self,
        name: &str,
        from: IpAddr,
        device: Option<&str>,
        now: UtcUs,
    ) -> Result<Attempt<'_>, u64> {
        if let Some(device) = device {
            return Attempt::begin(vec![(&self.devices, device.to_owned())], now);
        }
        let (account, address) = (name.to_lowercase(), network(from).to_string());
        let mut keys = vec![(&self.pairs, format!("{address} {account}"))];
        keys.extend(site(from).map(|site| (&self.sites, format!("{site} {account}"))));
        keys.extend([(&self.accounts, account), (&self.addresses, address)]);
        keys.extend(site(from).map(|site| (&self.larges, site.to_string())));
        Attempt::begin(keys, now)
    }

    /// A wrong link that signs in, or how many seconds the next has to wait: by what no password's guesses touch.
    pub fn at_link(&self, from: IpAddr, now: UtcUs) -> Result<Attempt<'_>, u64> {
        Attempt::begin(by_network("link", from, &self.pairs, &self.sites), now)
    }

    /// A wrong code of a screen, or how many seconds the next wrong one has to wait for a page of its own. It keeps no right one
    /// out: [`ScreenCodes`](crate::credentials::screen_codes::ScreenCodes) are too many to be guessed.
    pub fn at_screen(&self, from: IpAddr, now: UtcUs) -> Result<Attempt<'_>, u64> {
        let mut keys = by_network("screen", from, &self.pairs, &self.sites);
        // No name of an account has a space.
        keys.push((&self.accounts, "a screen".to_owned()));
        Attempt::begin(keys, now)
    }

    /// A wrong invitation, or how many seconds the next wrong one has to wait: by what no password's guesses touch. It keeps no
    /// right one out.
    pub fn at_invitation(&self, from: IpAddr, now: UtcUs) -> Result<Attempt<'_>, u64> {
        Attempt::begin(by_network("invitation", from, &self.addresses, &self.larges), now)
    }

    /// A registration by an invitation that is good, or how many seconds it has to wait: judging a password costs. It is counted
    /// by the invitation, however it was typed, and by where it comes from.
    pub fn at_registration(&self, invitation: InviteId, from: IpAddr, now: UtcUs) -> Result<Attempt<'_>, u64> {
        let mut keys = vec![(&self.registrations, invitation.to_string())];
        keys.extend(by_network("registration", from, &self.addresses, &self.larges));
        Attempt::begin(keys, now)
    }

    /// A test of an endpoint, or how many seconds it has to wait. It is taken back only where no generator was asked.
    pub fn at_test(&self, from: IpAddr, now: UtcUs) -> Result<Attempt<'_>, u64> {
        Attempt::begin(by_network("test", from, &self.tests, &self.tests), now)
    }
}

/// The keys of an address, as a network and, where it has one, as a large network.
fn by_network<'a>(
    what: &str,
    from: IpAddr,
    network_counts: &'a Throttle,
    site_counts: &'a Throttle,
) -> Vec<(&'a Throttle, String)> {
    let mut keys = vec![(network_counts, format!("{what} {}", network(from)))];
    keys.extend(site(from).map(|site| (site_counts, format!("{what} of {site}"))));
    keys
}

/// An attempt at a password. While it is under way it counts as a failure and as a right one; without another word it was a
/// failure.
#[derive(Debug)]
pub struct PasswordAttempt<'a> {
    failure: Option<Attempt<'a>>,
    success: Option<Attempt<'a>>,
}

impl PasswordAttempt<'_> {
    /// The password was right.
    pub fn on_right(mut self) {
        self.success = None;
        self.failure.take().into_iter().for_each(Attempt::take_back);
    }

    /// Nobody has looked at it.
    pub fn take_back(mut self) {
        self.failure.take().into_iter().for_each(Attempt::take_back);
    }
}

impl Drop for PasswordAttempt<'_> {
    fn drop(&mut self) {
        self.success.take().into_iter().for_each(Attempt::take_back);
    }
}

/// One attempt, which has failed unless it is taken back.
#[derive(Debug)]
pub struct Attempt<'a> {
    keys: Vec<(&'a Throttle, String)>,
    at: UtcUs,
}

impl<'a> Attempt<'a> {
    fn begin(keys: Vec<(&'a Throttle, String)>, now: UtcUs) -> Result<Attempt<'a>, u64> {
        let mut begun = Attempt { keys: Vec::with_capacity(keys.len()), at: now };
        for (throttle, key) in keys {
            if let Err(wait_s) = throttle.begin(&key, now) {
                begun.take_back();
                return Err(wait_s);
            }
            begun.keys.push((throttle, key));
        }
        Ok(begun)
    }

    /// It was no failure.
    pub fn take_back(self) {
        for (throttle, key) in self.keys {
            throttle.take_back(&key, self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcUs = UtcUs(1_000_000 * SECOND_US);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn five_failures_in_a_minute_make_an_account_wait_until_the_first_is_a_minute_old() {
        let throttle = Throttle::new(PAIR);
        for second in 0..5 {
            assert_eq!(throttle.begin("alice", NOW + second * SECOND_US), Ok(()));
        }
        assert_eq!(throttle.begin("alice", NOW + 5 * SECOND_US), Err(55));
        assert_eq!(throttle.begin("bob", NOW + 5 * SECOND_US), Ok(()));
        assert_eq!(throttle.begin("alice", NOW + 60 * SECOND_US), Ok(()), "a refusal is no failure");
    }

    #[test]
    fn an_attempt_that_is_taken_back_was_none() {
        let throttle = Throttle::new(PAIR);
        for second in 0..100 {
            throttle.begin("alice", NOW + second).expect("it may");
            throttle.take_back("alice", NOW + second);
        }
        assert!(throttle.counts().failures.is_empty());
    }

    #[test]
    fn twenty_failures_in_an_hour_make_it_wait_longer() {
        let throttle = Throttle::new(PAIR);
        for minute in 0..20 {
            throttle.begin("alice", NOW + minute * 60 * SECOND_US).expect("four a minute are fine");
        }
        assert_eq!(throttle.begin("alice", NOW + 20 * 60 * SECOND_US), Err(40 * 60));
        assert_eq!(throttle.begin("alice", NOW + 60 * 60 * SECOND_US), Ok(()));
    }

    #[test]
    fn who_guesses_locks_out_its_own_address_and_only_a_crowd_of_addresses_everybody() {
        let failures = Failures::default();
        for _ in 0..5 {
            failures.at_password("boss", ip("192.0.2.1"), None, NOW).expect("a guess");
        }
        assert!(failures.at_password("BOSS", ip("192.0.2.1"), None, NOW).is_err());
        failures.at_password("boss", ip("192.0.2.2"), None, NOW).expect("the owner is elsewhere").take_back();
        for address in 0..99_u32 {
            for _ in 0..5 {
                let from = IpAddr::from((0x0a00_0000 + address).to_be_bytes());
                failures.at_password("boss", from, None, NOW).expect("a guess");
            }
        }
        assert_eq!(failures.at_password("boss", ip("192.0.2.2"), None, NOW).err(), Some(3_600));
    }

    #[test]
    fn a_network_of_the_new_kind_is_one_address() {
        let failures = Failures::default();
        for host in 1..=5 {
            failures.at_password("boss", ip(&format!("2001:db8::{host}")), None, NOW).expect("a guess");
        }
        assert!(failures.at_password("boss", ip("2001:db8::6"), None, NOW).is_err());
        assert!(failures.at_password("boss", ip("2001:db8:0:1::6"), None, NOW).is_ok());
    }

    #[test]
    fn a_browser_that_has_signed_in_before_waits_for_nobody_elses_guesses() {
        let failures = Failures::default();
        for address in 0..200_u32 {
            for _ in 0..5 {
                let from = IpAddr::from((0x0a00_0000 + address).to_be_bytes());
                let _ = failures.at_password("boss", from, None, NOW);
            }
        }
        // Everywhere, and from its very address.
        let owner = ip("10.0.0.1");
        assert!(failures.at_password("boss", owner, None, NOW).is_err());
        for _ in 0..5 {
            failures.at_password("boss", owner, Some("its browser"), NOW).expect("it is known");
        }
        // Whoever has stolen the cookie guesses no faster than anybody else.
        assert_eq!(failures.at_password("boss", owner, Some("its browser"), NOW).err(), Some(60));
        failures.at_link(owner, NOW).expect("the other way in is open");
    }

    #[test]
    fn right_passwords_of_one_account_count_whatever_browsers_they_come_from() {
        let failures = Failures::default();
        let right = |device: Option<String>| {
            let attempt = failures.at_password("alice", ip("192.0.2.1"), device.as_deref(), NOW);
            attempt.map(PasswordAttempt::on_right).is_ok()
        };
        assert_eq!((0..200).filter(|browser| right(Some(browser.to_string()))).count(), 60);
        assert_eq!((0..200).filter(|_| right(None)).count(), 60, "strangers take none of those of her browsers");
        failures.at_password("boss", ip("192.0.2.1"), None, NOW).expect("another account").on_right();
        // What was wrong is none, however often.
        for minute in 1..=100 {
            let at = NOW + minute * 60 * SECOND_US;
            let _ = failures.at_password("alice", ip(&format!("192.0.2.{minute}")), None, at).expect("a guess");
        }
    }

    #[test]
    fn an_invitation_is_tried_so_often_a_minute() {
        let failures = Failures::default();
        let tried = |id: i64, from: &str| failures.at_registration(InviteId(id), ip(from), NOW).is_ok();
        assert_eq!((0..100).filter(|_| tried(1, "192.0.2.1")).count(), 20);
        assert!(!tried(1, "192.0.2.2") && tried(2, "192.0.2.1"));
        // Whoever has many slips, and an address or a large network.
        assert_eq!((0..600).filter(|id| tried(10 + id, "192.0.2.3")).count(), 300);
        assert_eq!((0..2_000).filter(|id| tried(1_000 + id, &format!("2001:db8:7:{id:x}::1"))).count(), 1_200);
    }

    #[test]
    fn whoever_has_a_large_network_has_no_more_guesses_in_each_part_of_it() {
        let failures = Failures::default();
        let guesses = (0..100)
            .filter(|part| failures.at_password("boss", ip(&format!("2001:db8:7:{part:x}::1")), None, NOW).is_ok());
        assert_eq!(guesses.count(), 20);
        assert!(failures.at_password("boss", ip("2001:db8:8::1"), None, NOW).is_ok());
    }

    #[test]
    fn the_parts_of_a_large_network_are_counted_together_at_every_door() {
        let failures = Failures::default();
        let from = |part: u32| ip(&format!("2001:db8:7:{part:x}::1"));
        let let_in = |may: &dyn Fn(u32) -> bool| (0..3_000).filter(|part| may(*part)).count();
        // Whatever accounts it guesses at.
        let guesses = let_in(&|part| failures.at_password(&format!("nobody{part}"), from(part), None, NOW).is_ok());
        assert_eq!(guesses, 1_200);
        assert_eq!(let_in(&|part| failures.at_invitation(from(part), NOW).is_ok()), 1_200);
        assert_eq!(let_in(&|part| failures.at_link(from(part), NOW).is_ok()), 20);
        assert_eq!(let_in(&|part| failures.at_screen(from(part), NOW).is_ok()), 20);
        let elsewhere = ip("2001:db8:8::1");
        assert!(failures.at_password("boss", elsewhere, None, NOW).is_ok());
        assert!(failures.at_link(elsewhere, NOW).is_ok() && failures.at_screen(elsewhere, NOW).is_ok());
    }

    #[test]
    fn a_network_tests_so_often_whatever_accounts_it_has() {
        let failures = Failures::default();
        for _ in 0..60 {
            failures.at_test(ip("192.0.2.1"), NOW).expect("a test");
        }
        assert_eq!(failures.at_test(ip("192.0.2.1"), NOW).err(), Some(60));
        failures.at_test(ip("192.0.2.2"), NOW).expect("elsewhere").take_back();
        // Whoever has a large network has no more of them in each part of it.
        let tests = (0..100).filter(|part| failures.at_test(ip(&format!("2001:db8:7:{part:x}::1")), NOW).is_ok());
        assert_eq!(tests.count(), 60);
    }

    #[test]
    fn a_refused_attempt_counts_nowhere() {
        let failures = Failures::default();
        for _ in 0..400 {
            let _ = failures.at_password("boss", ip("192.0.2.1"), None, NOW);
        }
        assert!(failures.at_invitation(ip("192.0.2.1"), NOW).is_ok(), "the address has five failures");
    }

    #[test]
    fn many_keys_cost_bounded_memory_and_push_out_the_oldest() {
        let throttle = Throttle::new(ADDRESS);
        for key in 0..KEYS_MAX as u64 * 2 {
            throttle.begin(&key.to_string(), NOW + key).expect("its first");
        }
        let counts = throttle.counts();
        assert!(counts.failures.len() <= KEYS_MAX, "{}", counts.failures.len());
        assert!(counts.failures.contains_key(&(KEYS_MAX * 2 - 1).to_string()));
    }

    #[test]
    fn long_keys_are_cut_and_old_ones_dropped() {
        let throttle = Throttle::new(ADDRESS);
        throttle.begin(&"ü".repeat(30_000), NOW).expect("its first");
        assert!(throttle.counts().failures.keys().all(|key| key.len() <= KEY_BYTES_MAX));
        throttle.begin("alice", NOW + DROP_EVERY_US + SECOND_US).expect("its first");
        assert_eq!(throttle.counts().failures.len(), 1, "what lies behind the window is forgotten");
    }
}
