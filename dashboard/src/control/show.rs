//! What the public may see: the freeze of the standings, their reveal, and whether the contest is over.

use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

/// The name of the setting in the database.
pub const SETTING: &str = "show";

/// The state of the show. Standings are frozen from `freeze_at` on until they are revealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// From when on the public sees the standings as they were then; it may lie ahead.
    #[serde(default)]
    pub freeze_at: Option<UtcUs>,
    /// Everybody sees everything again.
    #[serde(default)]
    pub revealed: bool,
    /// Since when, by hand or by itself; settings of before 0.3 do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revealed_at: Option<UtcUs>,
    /// The same from this instant on, unless a round puts it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal_at: Option<UtcUs>,
    /// No round will follow.
    #[serde(default)]
    pub over: bool,
    /// Those of before, oldest first: whoever looks back finds the board as it was seen. Settings of before 0.3 forgot them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastFreeze>,
}

/// A freeze that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFreeze {
    pub freeze_at: UtcUs,
    pub revealed_at: UtcUs,
    /// For when its reveal was set, which a round may have put off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal_at: Option<UtcUs>,
}

impl Show {
    /// Reads what [`Show::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Show, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// As it stands in the database.
    pub fn to_text(&self) -> Result<String, String> {
        serde_json::to_value(self).map(|value| value.to_string()).map_err(|error| error.to_string())
    }

    /// The instant that the public sees, when it sees no later one.
    pub fn frozen_at(&self, now: UtcUs) -> Option<UtcUs> {
        self.freeze_at.filter(|at| *at <= now && !self.revealed && self.reveal_at.is_none_or(|at| now < at))
    }

    /// As it counts while what was set to be revealed waits for a round: it is not revealed by itself.
    pub fn waiting(self, waits: bool) -> Show {
        Show { reveal_at: self.reveal_at.filter(|_| !waits), ..self }
    }

    /// Refused while it is frozen: a later instant would show everybody what is hidden.
    pub fn freeze(self, at: UtcUs, now: UtcUs) -> Result<Show, String> {
        match self.frozen_at(now) {
            None => Ok(Show { over: self.over, freeze_at: Some(at), past: self.over_by(now), ..Show::default() }),
            Some(_) => Err("the board is frozen already, and another freeze would show what it hides: reveal or \
                            unfreeze it first"
                .to_owned()),
        }
    }

    /// As if this freeze had never been.
    pub fn unfreeze(self) -> Show {
        Show { over: self.over, past: self.past, ..Show::default() }
    }

    /// All freezes that were and are over. One that was revealed before anybody noted when has shown nothing since.
    fn over_by(self, now: UtcUs) -> Vec<PastFreeze> {
        let shown_at = if self.revealed { self.revealed_at } else { self.reveal_at };
        let begun = self.freeze_at.filter(|at| *at <= now).zip(shown_at);
        let own =
            begun.map(|(freeze_at, revealed_at)| PastFreeze { freeze_at, revealed_at, reveal_at: self.reveal_at });
        self.past.into_iter().chain(own).collect()
    }

    /// The freeze ends for all to see. Nothing to reveal when nothing is frozen.
    pub fn reveal(self, now: UtcUs) -> Result<Show, String> {
        match self.frozen_at(now) {
            Some(_) => Ok(self.revealed_by_itself(now)),
            None => Err("the standings are not frozen, so there is nothing to reveal: freeze them first".to_owned()),
        }
    }

    /// It has ended by itself, as it was set to.
    pub fn revealed_by_itself(self, at: UtcUs) -> Show {
        Show { revealed: true, revealed_at: Some(at), ..self }
    }

    /// The same at an instant that lies ahead; without one, not by itself.
    pub fn reveal_later(self, at: Option<UtcUs>, now: UtcUs) -> Result<Show, String> {
        let frozen = self.freeze_at.filter(|_| !self.revealed);
        match (frozen, at) {
            (None, _) => Err("no freeze is set, so there is nothing to reveal: freeze the board first".to_owned()),
            (Some(freeze), Some(at)) if at <= freeze.max(now) => {
                Err("the reveal comes after the freeze and after now: choose a later instant".to_owned())
            }
            (Some(_), at) => Ok(Show { reveal_at: at, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_may_lie_ahead_and_a_reveal_ends_it() {
        let show = Show::default().freeze(UtcUs(100), UtcUs(50)).expect("nothing is frozen");
        assert_eq!((show.frozen_at(UtcUs(99)), show.frozen_at(UtcUs(100))), (None, Some(UtcUs(100))));
        assert!(show.clone().reveal(UtcUs(99)).is_err());
        let revealed = show.reveal(UtcUs(150)).expect("it is frozen");
        assert_eq!(revealed.frozen_at(UtcUs(200)), None);
        assert_eq!(revealed.clone().unfreeze(), Show::default());
        assert_eq!(
            revealed.freeze(UtcUs(300), UtcUs(250)).expect("it is revealed").frozen_at(UtcUs(300)),
            Some(UtcUs(300))
        );
    }

    #[test]
    fn a_reveal_may_be_timed_and_taken_back() {
        let show = Show::default().freeze(UtcUs(100), UtcUs(50)).expect("nothing is frozen");
        assert!(
            show.clone().reveal_later(Some(UtcUs(100)), UtcUs(60)).is_err()
                && Show::default().reveal_later(Some(UtcUs(9)), UtcUs(1)).is_err()
        );
        let timed = show.reveal_later(Some(UtcUs(200)), UtcUs(120)).expect("it lies ahead");
        assert_eq!((timed.frozen_at(UtcUs(199)), timed.frozen_at(UtcUs(200))), (Some(UtcUs(100)), None));
        assert_eq!(Show::from_text(&timed.to_text().expect("JSON")), Ok(timed.clone()));
        assert_eq!(timed.reveal_later(None, UtcUs(150)).expect("taken back").frozen_at(UtcUs(200)), Some(UtcUs(100)));
    }

    #[test]
    fn a_freeze_that_holds_is_never_moved_and_one_that_lies_ahead_may_be() {
        let planned = || Show::default().freeze(UtcUs(100), UtcUs(50)).expect("nothing is frozen");
        let moved = planned().freeze(UtcUs(80), UtcUs(60)).expect("it lies ahead");
        assert_eq!((moved.frozen_at(UtcUs(90)), moved.past), (Some(UtcUs(80)), vec![]), "what never was is not kept");
        let error = planned().freeze(UtcUs(200), UtcUs(100)).expect_err("it holds");
        assert!(error.contains("frozen already"), "{error}");
    }

    #[test]
    fn the_freezes_of_before_are_kept_with_when_they_were_shown() {
        let one = |freeze_at, revealed_at, reveal_at: Option<u64>| PastFreeze {
            freeze_at: UtcUs(freeze_at),
            revealed_at: UtcUs(revealed_at),
            reveal_at: reveal_at.map(UtcUs),
        };
        let freeze = |show: Show, at| show.freeze(UtcUs(at), UtcUs(at)).expect("nothing is frozen");
        let first = freeze(Show::default(), 100).reveal(UtcUs(150)).expect("it is frozen");
        let second = freeze(first, 200).reveal_later(Some(UtcUs(250)), UtcUs(200)).expect("it lies ahead");
        // Also where nobody has noted yet that it has ended by itself; and one that is taken back was none.
        let third = freeze(second.clone(), 300);
        assert_eq!(third.past, [one(100, 150, None), one(200, 250, Some(250))]);
        assert_eq!(freeze(second.revealed_by_itself(UtcUs(280)), 300).past[1], one(200, 280, Some(250)), "it waited");
        assert_eq!((third.clone().unfreeze().past, third.clone().unfreeze().freeze_at), (third.past.clone(), None));
        assert_eq!(Show::from_text(&third.to_text().expect("JSON")), Ok(third));
    }

    #[test]
    fn a_setting_of_before_is_read_and_what_was_not_noted_is_not_kept() {
        let shown = r#"{"freeze_at":100,"over":true,"revealed":true}"#;
        let noted = r#"{"freeze_at":100,"revealed":true,"revealed_at":150,"reveal_at":140,"over":false}"#;
        let read = |text| Show::from_text(text).expect("a setting of before");
        assert_eq!(read(shown), Show { freeze_at: Some(UtcUs(100)), revealed: true, over: true, ..Show::default() });
        let freeze = |text| read(text).freeze(UtcUs(300), UtcUs(200)).expect("it is revealed").past;
        let past = PastFreeze { freeze_at: UtcUs(100), revealed_at: UtcUs(150), reveal_at: Some(UtcUs(140)) };
        assert_eq!((freeze(shown), freeze(noted)), (vec![], vec![past]));
        // Without anything to keep it is written as it was.
        assert_eq!(read(noted).to_text().expect("JSON"), noted);
    }
}
