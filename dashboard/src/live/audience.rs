//! Who may see what of the scores. Everything that shows scores asks [`visibility`]: frames, history, `/api/standings`,
//! exports, reports, pages. It knows no score itself and never reads a clock.
//!
//! The public sees what there was up to the freeze, and no hidden contestant. An owner sees the same, and its own points
//! as they are, yet no rank or gap that would tell how the others fare. The admin sees all.

use super::facts::{Contestant, Freeze, UserKey};
use flowtest_contract::rules::UtcUs;

/// For whom an output is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// Anybody, with or without an account: the room, rivals, the projector.
    Public,
    /// The contestant itself.
    Owner(UserKey),
    Admin,
}

/// What an audience may see at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visibility {
    /// Scores of later instants are not for this audience; nothing: it sees up to now.
    until: Option<UtcUs>,
    hidden: bool,
    own: Option<UserKey>,
}

/// The one decision. `now` is the instant of the output, not of the data.
pub fn visibility(audience: &Audience, freeze: &Freeze, now: UtcUs) -> Visibility {
    let until = freeze.holds(now);
    match audience {
        Audience::Admin => Visibility { until: None, hidden: true, own: None },
        Audience::Public => Visibility { until, hidden: false, own: None },
        Audience::Owner(user) => Visibility { until, hidden: false, own: Some(user.clone()) },
    }
}

impl Visibility {
    /// The instant whose standings are shown. `None`: the newest.
    pub fn until(&self) -> Option<UtcUs> {
        self.until
    }

    /// Whether there is such a contestant for this audience.
    pub fn sees(&self, contestant: &Contestant) -> bool {
        self.hidden || !contestant.hidden || self.owns(&contestant.id)
    }

    /// Whether the points that this contestant had at an instant are for this audience.
    pub fn sees_at(&self, contestant: &Contestant, at: UtcUs) -> bool {
        self.sees(contestant) && (self.until.is_none_or(|until| at <= until) || self.owns(&contestant.id))
    }

    /// Whether this is the audience's own line, which it sees without rank while all others are frozen.
    pub fn owns(&self, user: &UserKey) -> bool {
        self.own.as_ref() == Some(user)
    }

    /// Whether an owner sees more than the public does, so that the public's prepared bytes will not do.
    pub fn is_public(&self, contestant: Option<&Contestant>) -> bool {
        !self.hidden
            && (self.own.is_none() || (self.until.is_none() && contestant.is_none_or(|contestant| !contestant.hidden)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contestant(key: &str, hidden: bool) -> Contestant {
        Contestant {
            id: key.into(),
            name: key.into(),
            display_name: key.into(),
            category: None,
            hidden,
            disqualified: false,
            absent: false,
        }
    }

    #[test]
    fn each_audience_sees_its_part() {
        let frozen = Freeze { at: Some(UtcUs(100)), ..Freeze::default() };
        let (alice, ghost) = (contestant("u1", false), contestant("u2", true));
        // (audience, now, sees alice at 99, at 101, sees the hidden one at 99, at 101)
        let cases = [
            (Audience::Public, 200, [true, false, false, false]),
            (Audience::Owner("u1".into()), 200, [true, true, false, false]),
            (Audience::Owner("u2".into()), 200, [true, false, true, true]),
            (Audience::Admin, 200, [true, true, true, true]),
            // the freeze lies ahead
            (Audience::Public, 99, [true, true, false, false]),
            // its first instant
            (Audience::Public, 100, [true, false, false, false]),
        ];
        for (audience, now, expected) in cases {
            let visibility = visibility(&audience, &frozen, UtcUs(now));
            let found = [
                visibility.sees_at(&alice, UtcUs(99)),
                visibility.sees_at(&alice, UtcUs(101)),
                visibility.sees_at(&ghost, UtcUs(99)),
                visibility.sees_at(&ghost, UtcUs(101)),
            ];
            assert_eq!(found, expected, "{audience:?} at {now}");
        }
    }

    #[test]
    fn what_was_revealed_is_for_everybody() {
        let visibility = visibility(
            &Audience::Public,
            &Freeze { at: Some(UtcUs(100)), revealed: true, ..Freeze::default() },
            UtcUs(200),
        );
        assert_eq!(visibility.until(), None);
        assert!(visibility.sees_at(&contestant("u1", false), UtcUs(150)) && !visibility.sees(&contestant("u2", true)));
    }

    #[test]
    fn a_reveal_that_is_timed_is_for_everybody_from_its_instant_on() {
        let freeze = Freeze { at: Some(UtcUs(100)), reveal_at: Some(UtcUs(200)), ..Freeze::default() };
        assert_eq!(visibility(&Audience::Public, &freeze, UtcUs(199)).until(), Some(UtcUs(100)));
        assert_eq!(visibility(&Audience::Public, &freeze, UtcUs(200)).until(), None);
    }

    #[test]
    fn an_owner_shares_the_publics_bytes_unless_it_sees_more() {
        let owner =
            |frozen| visibility(&Audience::Owner("u1".into()), &Freeze { at: frozen, ..Freeze::default() }, UtcUs(200));
        assert!(owner(None).is_public(Some(&contestant("u1", false))));
        assert!(!owner(None).is_public(Some(&contestant("u1", true))));
        assert!(!owner(Some(UtcUs(100))).is_public(Some(&contestant("u1", false))));
    }
}
