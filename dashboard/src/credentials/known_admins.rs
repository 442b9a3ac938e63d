//! Organisers whose sessions the database has confirmed, for the minutes in which it confirms nothing: traffic can be stopped
//! by them then, and nothing else.

use flowtest_accounts::{SESSION_IDLE_US, SessionId, User, UserId};
use flowtest_contract::rules::UtcUs;
use parking_lot::Mutex;
use std::collections::HashMap;

/// More than any contest has. The one that was seen longest ago goes first.
const ADMINS_MAX: usize = 256;

/// By the text of the cookie, which leaves this process nowhere.
#[derive(Default)]
pub struct KnownAdmins {
    seen: Mutex<HashMap<String, Known>>,
}

struct Known {
    session: SessionId,
    user: User,
    at: UtcUs,
}

impl std::fmt::Debug for KnownAdmins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KnownAdmins({})", self.seen.lock().len())
    }
}

impl KnownAdmins {
    /// The database says that this is an admin's session.
    pub fn note(&self, secret: &str, session: SessionId, user: &User, now: UtcUs) {
        let mut seen = self.seen.lock();
        if seen.len() >= ADMINS_MAX && !seen.contains_key(secret) {
            let oldest = seen.iter().min_by_key(|(_, known)| known.at).map(|(secret, _)| secret.clone());
            oldest.and_then(|oldest| seen.remove(&oldest));
        }
        seen.insert(secret.to_owned(), Known { session, user: user.clone(), at: now });
    }

    /// Whose session it was when the database was last asked. As long as a session lives that nobody uses.
    pub fn find(&self, secret: &str, now: UtcUs) -> Option<(SessionId, User)> {
        let seen = self.seen.lock();
        let known = seen.get(secret).filter(|known| now.saturating_since(known.at) < SESSION_IDLE_US)?;
        Some((known.session, known.user.clone()))
    }

    /// The database says that it is nobody's, or no admin's.
    pub fn forget(&self, secret: &str) {
        self.seen.lock().remove(secret);
    }

    pub fn forget_session(&self, session: SessionId) {
        self.seen.lock().retain(|_, known| known.session != session);
    }

    /// All sessions of somebody, but for one.
    pub fn forget_user(&self, user: UserId, except: Option<SessionId>) {
        self.seen.lock().retain(|_, known| known.user.id != user || Some(known.session) == except);
    }
}
