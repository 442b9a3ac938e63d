//! Which generators have a share of the round that is on, and since when: what the document says, held against what they say
//! themselves. Pure.

use super::instant;
use super::readiness::is_heard;
use flowtest_contest::timeline::Split;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, SeenGenerator};
use std::collections::BTreeSet;

/// Generators that are named in one message; the others are counted.
const NAMED_MAX: usize = 3;

/// One generator, heard or named by a split of the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorShare {
    pub id: String,
    pub state: ShareState,
}

/// What it does with a share of the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareState {
    /// It takes every `of`'th request, and is in its place since then.
    Plays { index: usize, of: usize, since: UtcUs },
    /// It will, from then on.
    Begins { index: usize, of: usize, at: UtcUs },
    /// The newest split names it, and it does not play: its share is nobody's at the moment.
    Missing(&'static str),
    /// It played until then.
    Gone { at: UtcUs },
    /// It is heard and plays nothing.
    Idle(String),
}

impl ShareState {
    /// What a page says; [`ShareState::at`] stands behind it.
    pub fn message(&self) -> String {
        match self {
            ShareState::Plays { index, of, .. } => format!("plays {} of {of} since", index + 1),
            ShareState::Begins { index, of, .. } => format!("plays {} of {of} from", index + 1),
            ShareState::Missing(cause) => format!("{cause}: its share is nobody's at the moment"),
            ShareState::Gone { .. } => "played until".to_owned(),
            ShareState::Idle(cause) => format!("plays nothing: {cause}"),
        }
    }

    /// The instant that it is about.
    pub fn at(&self) -> Option<UtcUs> {
        match self {
            ShareState::Plays { since: at, .. } | ShareState::Begins { at, .. } | ShareState::Gone { at } => Some(*at),
            ShareState::Missing(_) | ShareState::Idle(_) => None,
        }
    }
}

/// Everybody, those in the split first, in the order of their shares. Nobody while no round is on.
pub fn shares(control: &Control, generators: &[SeenGenerator], now: UtcUs) -> Vec<GeneratorShare> {
    if !matches!(control.state, State::Armed | State::Running | State::Paused) {
        return Vec::new();
    }
    let splits = &control.timeline.splits;
    let named = control.split.iter().chain(splits.iter().rev().flat_map(|split| &split.generators));
    let heard = generators.iter().filter(|seen| is_heard(seen, now)).map(|seen| &seen.id);
    let mut listed = BTreeSet::new();
    let everybody = named.chain(heard).filter(|id| listed.insert(*id));
    everybody.map(|id| GeneratorShare { id: id.clone(), state: state(control, id, generators, now) }).collect()
}

/// Why nobody plays the round that is armed or running, as far as generators say. None: somebody does, or will.
pub fn unplayed(control: &Control, generators: &[SeenGenerator], now: UtcUs) -> Option<String> {
    let all = shares(control, generators, now);
    let plays = |share: &GeneratorShare| matches!(share.state, ShareState::Plays { .. } | ShareState::Begins { .. });
    if control.state == State::Paused || all.is_empty() || all.iter().any(plays) {
        return None;
    }
    let why = all.iter().take(NAMED_MAX).map(|one| {
        let at = one.state.at().map_or_else(String::new, |at| format!(" {}", instant::rfc3339(at)));
        format!("{} {}{at}", one.id, one.state.message())
    });
    let why: Vec<String> = why.collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let why = why.join("; ");
    Some(format!(
        "No generator is known to play this round ({why}{more}): nothing is sent. One that can play joins by itself: start or mend \
         one, and pause or abort the round until then. With nobody to play it, it is never sealed."
    ))
}

fn state(control: &Control, id: &str, generators: &[SeenGenerator], now: UtcUs) -> ShareState {
    let seen = generators.iter().find(|seen| seen.id == id);
    let health = seen.filter(|seen| is_heard(seen, now)).and_then(|seen| seen.health.as_ref());
    let in_round = health.filter(|health| health.round == control.round);
    let newest = control.timeline.splits.last();
    let place = |generators: &[String]| generators.iter().position(|name| name == id);
    if let Some((split, index)) = newest.and_then(|split| Some((split, place(&split.generators)?))) {
        let of = split.generators.len();
        return match (health, in_round) {
            (None, _) => ShareState::Missing("is not heard"),
            (Some(GeneratorHealth { trouble: Some(trouble), .. }), None) => ShareState::Idle(trouble.clone()),
            (Some(_), None) if now < split.from => ShareState::Begins { index, of, at: split.from },
            (Some(_), None) => ShareState::Missing("is not in the round"),
            // One that is about to leave plays until the next split begins.
            (Some(_), Some(health)) => match plays_since(control, id, health, now) {
                Some(since) => ShareState::Plays { index, of, since },
                None if health.takes_from.is_none_or(|from| from <= split.from) && now < split.from => {
                    ShareState::Begins { index, of, at: split.from }
                }
                None => ShareState::Missing("has begun anew"),
            },
        };
    }
    match health {
        Some(health) => match plays_since(control, id, health, now) {
            // It hands over to the split ahead.
            Some(_) => ShareState::Gone { at: newest.map_or(now, |split| split.from) },
            None => ShareState::Idle(idle(control, health)),
        },
        None => {
            let splits = &control.timeline.splits;
            let last = splits.iter().rposition(|split| place(&split.generators).is_some());
            let ended = last.and_then(|last| splits.get(last + 1)).map_or(now, |split| split.from);
            ShareState::Gone { at: ended }
        }
    }
}

/// Since when the process has a share at an instant: splits that began before it took any were another's.
fn plays_since(control: &Control, id: &str, health: &GeneratorHealth, now: UtcUs) -> Option<UtcUs> {
    let mut timeline = control.timeline.clone();
    let takes_from = health.takes_from.unwrap_or(UtcUs::EPOCH);
    timeline.splits.retain(|split| split.from >= takes_from);
    timeline.plays_since(id, now).map(|(_, since)| since)
}

fn idle(control: &Control, health: &GeneratorHealth) -> String {
    if let Some(trouble) = &health.trouble {
        return trouble.clone();
    }
    if control.left_out.contains(&health.id) {
        return "nobody named it when the round was armed; a pause and its end take in all that are heard".to_owned();
    }
    let in_round = health.round == control.round;
    match health.takes_from {
        Some(from) if in_round && from > UtcUs::EPOCH => match fell_out(control, &health.id) {
            0 | 1 => "it is ready, and gets a share in a moment".to_owned(),
            times => {
                format!("it is ready, has fallen out {times} times, and gets a share within a minute if it stays ready")
            }
        },
        _ if in_round => "it asks the contestants, or leaves".to_owned(),
        _ => "it is not in the round".to_owned(),
    }
}

/// How often a generator had a share and none in the split after it, as far as splits say.
fn fell_out(control: &Control, id: &str) -> usize {
    let has = |split: &Split| split.generators.iter().any(|name| name == id);
    control.timeline.splits.windows(2).filter(|pair| has(&pair[0]) && !has(&pair[1])).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contract::RoundId;
    use flowtest_testkit::documents::generator_health;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);
    const START: UtcUs = NOW.saturating_add(10 * SECOND);

    /// A round of g1, g2 and g3 that lost g3 at 24 s of its clock and got it back at 40 s, g4 left out.
    fn control(second: u64) -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 9\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        )
        .expect("a contest");
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let left_out = Change::LeaveOut { generators: ["g4".to_owned()].into() };
        let round = RoundId::from_bits(7);
        let arm = Change::Arm { round, start_at: START, scored: true, generators: names(&["g1", "g2", "g3"]) };
        let made = [
            (0, left_out),
            (0, arm),
            (22, Change::Split { at: NOW + 24 * SECOND, generators: names(&["g1", "g2"]) }),
            (38, Change::Split { at: NOW + 40 * SECOND, generators: names(&["g1", "g2", "g3"]) }),
        ];
        let so_far = made.into_iter().filter(|(at, _)| *at <= second);
        so_far.fold(Control::new(contest), |control, (at, made)| {
            change(&control, made, NOW + at * SECOND).expect("it is legal")
        })
    }

    fn seen(id: &str, now: UtcUs, takes_from: Option<UtcUs>) -> SeenGenerator {
        let mut health = generator_health(id, now);
        health.takes_from = takes_from;
        health.round = takes_from.map(|_| RoundId::from_bits(7));
        SeenGenerator { id: id.to_owned(), beat: now, health: Some(health), waiting: None }
    }

    #[test]
    fn who_plays_is_told_with_since_when() {
        let plays = |index, of, second| ShareState::Plays { index, of, since: NOW + second * SECOND };
        let at = |second: u64| NOW + second * SECOND;
        let told = |second: u64, generators: &[SeenGenerator]| -> Vec<(String, ShareState)> {
            let shares = shares(&control(second), generators, at(second));
            shares.into_iter().map(|share| (share.id, share.state)).collect()
        };
        let all = |second: u64, third: Option<SeenGenerator>| -> Vec<SeenGenerator> {
            let two = ["g1", "g2"].map(|id| seen(id, at(second), Some(NOW)));
            two.into_iter().chain(third).chain([seen("g4", at(second), None)]).collect()
        };
        let left_out = "nobody named it when the round was armed; a pause and its end take in all that are heard";
        let fourth = ("g4".to_owned(), ShareState::Idle(left_out.to_owned()));
        let first = |of| ("g1".to_owned(), plays(0, of, 10));
        let second = |of| ("g2".to_owned(), plays(1, of, 10));
        let third = |state| ("g3".to_owned(), state);
        // (at which second, what g3 says, what is told of it, of how many)
        let cases = [
            (15, Some(seen("g3", at(15), Some(NOW))), plays(2, 3, 10), 3),
            (21, Some(seen("g3", at(18), Some(NOW))), ShareState::Missing("is not heard"), 3),
            (21, Some(seen("g3", at(21), Some(at(22)))), ShareState::Missing("has begun anew"), 3),
            (23, None, ShareState::Gone { at: at(24) }, 2),
            (30, None, ShareState::Gone { at: at(24) }, 2),
            (
                31,
                Some(seen("g3", at(31), Some(at(32)))),
                ShareState::Idle("it is ready, and gets a share in a moment".into()),
                2,
            ),
            (39, Some(seen("g3", at(39), Some(at(32)))), ShareState::Begins { index: 2, of: 3, at: at(40) }, 3),
            (41, Some(seen("g3", at(41), Some(at(32)))), plays(2, 3, 40), 3),
        ];
        for (now, says, expected, of) in cases {
            let told = told(now, &all(now, says));
            let expected = [first(of), second(of), third(expected), fourth.clone()];
            assert_eq!(told, expected, "at {now}");
        }
        let armed = told(5, &all(5, Some(seen("g3", at(5), Some(at(1))))));
        assert_eq!(armed[0].1, ShareState::Begins { index: 0, of: 3, at: START });
        assert!(shares(&Control { state: State::Sealed, ..control(50) }, &[], at(50)).is_empty());
    }

    #[test]
    fn that_nobody_plays_is_told_with_what_each_lacks() {
        let at = |second: u64| NOW + second * SECOND;
        let told = |second: u64, generators: &[SeenGenerator]| unplayed(&control(second), generators, at(second));
        let plays = |second| seen("g1", at(second), Some(NOW));
        let mut cannot = seen("g2", at(15), None);
        cannot.health.as_mut().expect("it is heard").trouble = Some("no disk".into());
        assert_eq!(told(15, &[plays(15), cannot.clone()]), None);
        let message = told(15, &[cannot]).expect("nobody plays");
        assert!(message.contains("g1 is not heard") && message.contains("g2 plays nothing: no disk"), "{message}");
        let message = told(30, &[]).expect("nobody is there");
        assert!(message.contains(&format!("g3 played until {}", instant::rfc3339(at(24)))), "{message}");
        // Those that are ready before the start will play.
        assert_eq!(told(5, &[seen("g1", at(5), None)]), None);
        assert!(told(5, &[]).expect("nobody is there").contains("g3 is not heard"));
        let paused = Control { state: State::Paused, ..control(15) };
        assert_eq!(unplayed(&paused, &[], at(15)), None, "nothing falls due");
    }

    #[test]
    fn who_fell_out_more_than_once_is_told_to_wait_longer() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let again = change(
            &control(50),
            Change::Split { at: NOW + 52 * SECOND, generators: names(&["g1", "g2"]) },
            NOW + 50 * SECOND,
        );
        let now = NOW + 55 * SECOND;
        let told = shares(&again.expect("it is legal"), &[seen("g3", now, Some(NOW + 53 * SECOND))], now);
        let message = told.iter().find(|share| share.id == "g3").expect("it is listed").state.message();
        assert!(message.contains("has fallen out 2 times, and gets a share within a minute"), "{message}");
    }

    #[test]
    fn why_one_plays_nothing_is_told() {
        let mut health = seen("g3", NOW + 30 * SECOND, None);
        health.health.as_mut().expect("it is heard").trouble = Some("the round cannot be played here: no disk".into());
        let told = shares(&control(30), &[health], NOW + 30 * SECOND);
        let state = &told.iter().find(|share| share.id == "g3").expect("it is listed").state;
        assert_eq!(state.message(), "plays nothing: the round cannot be played here: no disk");
        let mut health = seen("g1", NOW + SECOND, None);
        health.health.as_mut().expect("it is heard").trouble = Some("no disk".into());
        let told = shares(&control(0), &[health], NOW + SECOND);
        assert_eq!(told[0].state, ShareState::Idle("no disk".to_owned()), "also of one that is to play");
    }
}
