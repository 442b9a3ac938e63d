//! Every rule of the lifecycle once by a script, and all of them together by random changes.

use super::*;
use crate::contest::Contestant;
use crate::control::EarlierRound;
use crate::timeline::Timeline;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
/// 2026-12-01T10:00:00Z
const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);

fn contest() -> Contest {
    Contest::from_toml(
        "name = \"cup\"\n[deadlines]\nversion = \"+20s\"\nfrom = \"+40s\"\n[[phase]]\nfor = \"60s\"\nrate = 5\n\
         connections = 1\n[policy]\nallow = [\"10.0.0.0/8\"]\n[[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n\
         [[contestant]]\nname = \"bob\"\nendpoint = \"10.0.0.2\"\n",
    )
    .expect("a contest")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn arm_at(start_at: UtcUs) -> Change {
    Change::Arm { round: RoundId::from_bits(7), start_at, scored: true, generators: names(&["g1", "g2"]) }
}

fn resume_at(at: UtcUs) -> Change {
    Change::Resume { at, generators: names(&["g1"]) }
}

fn split_at(at: UtcUs, generators: &[&str]) -> Change {
    Change::Split { at, generators: names(generators) }
}

fn deadline(deadline: DeadlineName, to: UtcUs) -> Change {
    Change::MoveDeadline { deadline, to }
}

/// A round that runs since `NOW + 10 s`, seen at that instant.
fn running() -> Control {
    let control = change(&Control::new(contest()), arm_at(NOW + 10 * SECOND), NOW).expect("armed");
    change(&control, Change::Begin, NOW + 10 * SECOND).expect("running")
}

fn refused(control: &Control, wanted: Change, at: UtcUs) -> String {
    change(control, wanted, at).expect_err("it is refused").to_string()
}

#[test]
fn a_round_goes_from_draft_to_sealed_and_to_the_next() {
    let mut control = running();
    let start = NOW + 10 * SECOND;
    control = change(&control, Change::Pause, start + 9 * SECOND).expect("paused");
    control = change(&control, resume_at(start + 20 * SECOND), start + 15 * SECOND).expect("running");
    assert_eq!(control.timeline.pauses, [Pause { from: start + 10 * SECOND, to: Some(start + 20 * SECOND) }]);
    let end = start + 70 * SECOND;
    assert_eq!(control.timeline.end_at(&control.contest), Some(end));
    assert!(refused(&control, Change::Drain, end - 1).contains("wait until then"));
    control = change(&control, Change::Drain, end).expect("draining");
    control = change(&control, Change::Seal, end).expect("sealed");
    control = change(&control, Change::Draft, end).expect("the next one");
    assert_eq!(control.timeline, Timeline::default());
    let again = refused(&control, arm_at(end + 9 * SECOND), end);
    assert!(again.contains("has been played: draw a new id"), "{again}");
    assert_eq!(control.revision, 8);
}

#[test]
fn a_draft_remembers_the_rounds_that_were_left_before_their_time() {
    let at = |second: u64| NOW + second * SECOND;
    let make = |control: &Control, made: &[(u64, Change)]| {
        made.iter().fold(control.clone(), |control, (second, made)| {
            change(&control, made.clone(), at(*second)).expect("it is made")
        })
    };
    let split = (15, split_at(at(20), &["g1", "g3"]));
    let aborted = make(&running(), &[split, (30, Change::Abort)]);
    let draft = make(&aborted, &[(31, Change::Draft)]);
    let of = |round: u128, until: u64, generators: &[&str]| EarlierRound {
        round: RoundId::from_bits(round),
        until: at(until),
        generators: names(generators),
    };
    let first = of(7, 70, &["g1", "g2", "g3"]);
    assert_eq!((&draft.earlier[..], draft.state), (&[first.clone()][..], State::Draft));
    assert_eq!((follows(&aborted, &draft), Control::from_json(&draft.to_json())), (Ok(()), Ok(draft.clone())));
    // The next one is ended early, in a pause that lasts: who has not heard of either plays it to the end of its plan.
    let generators = names(&["g1"]);
    let arm = Change::Arm { round: RoundId::from_bits(8), start_at: at(40), scored: true, generators };
    let played = [(32, arm), (40, Change::Begin), (45, Change::Pause), (47, Change::Stop), (50, Change::Seal)];
    let sealed = make(&draft, &played);
    assert_eq!(sealed.earlier, draft.earlier, "while it is played, too");
    let second = of(8, 100, &["g1"]);
    assert_eq!(make(&sealed, &[(51, Change::Draft)]).earlier, [first, second.clone()]);
    assert_eq!(make(&sealed, &[(70, Change::Draft)]).earlier, [second], "the first one is over by its plan");
    assert_eq!(make(&sealed, &[(100, Change::Draft)]).earlier, []);
}

#[test]
fn who_named_its_server_first_stays_first_until_it_names_another() {
    let at = |second: u64| NOW + second * SECOND;
    let endpoint =
        |name: &str, text: &str| Change::Endpoint { contestant: name.into(), endpoint: text.parse().expect("one") };
    let before = Control::new(contest());
    assert_eq!(before.precedence(), [0, 1], "the roster's order where nothing is known");
    let moved = change(&before, endpoint("alice", "10.0.0.3"), at(1)).expect("it moves");
    assert_eq!((&moved.since, moved.precedence()), (&[("alice".to_owned(), at(1))].into(), vec![1, 0]));
    // Another path, or another form of the address, is the same server.
    let same = change(&moved, endpoint("alice", "10.0.0.3/shop"), at(2)).expect("it is elsewhere on it");
    assert_eq!(same.since, moved.since);
    // An edit keeps who stays and takes in who comes.
    let mut wanted = same.contest.clone();
    wanted.contestants[1].endpoint = "10.0.0.4".parse().expect("an endpoint");
    wanted.contestants.push(Contestant { name: "house".into(), endpoint: "10.0.0.9".parse().expect("an endpoint") });
    let edit = Change::Edit { contest: Box::new(wanted), ids: BTreeMap::new(), since: BTreeMap::new() };
    let edited = change(&same, edit, at(3)).expect("it is edited");
    let since = [("alice", 1), ("bob", 3), ("house", 3)].map(|(name, second)| (name.to_owned(), at(second)));
    assert_eq!((&edited.since, edited.precedence()), (&since.into(), vec![2, 0, 1]));
    assert_eq!(Control::from_json(&edited.to_json()), Ok(edited.clone()));
    // Who was left out for a while comes back with the instant at which it typed it; where nobody knows that, it is new.
    let alone = Contest { contestants: edited.contest.contestants[..1].to_vec(), ..edited.contest.clone() };
    let edit = |contest: &Contest, since: &[(&str, UtcUs)]| Change::Edit {
        contest: Box::new(contest.clone()),
        ids: BTreeMap::new(),
        since: since.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
    };
    let left = change(&edited, edit(&alone, &[]), at(4)).expect("it is edited");
    assert_eq!(left.since.keys().collect::<Vec<_>>(), ["alice"]);
    let back = change(&left, edit(&edited.contest, &[("alice", at(2)), ("bob", at(3))]), at(5)).expect("it is edited");
    let since = [("alice", 1), ("bob", 3), ("house", 5)].map(|(name, second)| (name.to_owned(), at(second)));
    assert_eq!(back.since, since.into());
    // No clock of the future makes anybody older or younger than now.
    let ahead = change(&left, edit(&edited.contest, &[("bob", at(99))]), at(5)).expect("it is edited");
    assert_eq!(ahead.since["bob"], at(5));
}

#[test]
fn a_file_that_is_run_and_a_document_that_is_served_accept_the_same() {
    // (what the policy says, whether two may name one server)
    let cases = [("", false), ("allow_shared = true\n", true), ("ownership = \"header\"\n", true)];
    for (setting, may) in cases {
        let text = |bobs: &str| {
            format!(
                "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\n\
                 allow = [\"10.0.0.0/8\"]\n{setting}[[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n\
                 [[contestant]]\nname = \"bob\"\nendpoint = \"{bobs}\"\n"
            )
        };
        let contest = Contest::from_toml(&text("10.0.0.2")).expect("a contest");
        let file = Contest::from_toml(&text("10.0.0.1")).is_ok();
        // Where a name leads is known only at the start.
        let server = ["10.0.0.1:80".parse().expect("an address")];
        let at_its_start = contest.policy.judge_shared([("alice", &server[..]), ("bob", &server[..])]).is_ok();
        let endpoint =
            Change::Endpoint { contestant: "bob".into(), endpoint: "10.0.0.1".parse().expect("an endpoint") };
        let document = change(&Control::new(contest), endpoint, NOW).is_ok();
        assert_eq!((file, at_its_start, document), (may, may, may), "{setting}");
    }
}

#[test]
fn each_refusal_names_cause_and_next_step() {
    let (draft, run) = (Control::new(contest()), running());
    let start = NOW + 10 * SECOND;
    let paused = change(&run, Change::Pause, start).expect("paused");
    let resuming = change(&paused, resume_at(start + 9 * SECOND), start).expect("running again");
    let endpoint =
        |text: &str| Change::Endpoint { contestant: "bob".into(), endpoint: text.parse().expect("an endpoint") };
    let generators = |start_at, list: &[&str]| Change::Arm {
        round: RoundId::from_bits(9),
        start_at,
        scored: true,
        generators: names(list),
    };
    let mut other = contest();
    other.name = "other".into();
    let edit = |contest: Contest, ids: &[(&str, &str)]| Change::Edit {
        contest: Box::new(contest),
        ids: ids.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect(),
        since: BTreeMap::new(),
    };
    // (what is changed, how, when, words of the sentence)
    let cases: Vec<(&Control, Change, UtcUs, &[&str])> = vec![
        (&draft, Change::Pause, NOW, &["a round that is draft cannot be paused", "arm it first"]),
        (
            &draft,
            arm_at(NOW + LEAD_US - 1),
            NOW,
            &["the start is at 2026-12-01T10:00:04.999999Z", "set it to 2026-12-01T10:00:05Z"],
        ),
        (&draft, arm_at(INSTANT_MAX + 1), NOW, &["beyond the year 2255"]),
        (&draft, generators(start, &[]), NOW, &["no generator is named"]),
        (&draft, generators(start, &["g", "g"]), NOW, &["\"g\" is named twice"]),
        (&draft, edit(other, &[]), NOW, &["\"cup\" and not \"other\""]),
        (&draft, edit(contest(), &[("carol", "u1")]), NOW, &["nobody is called \"carol\""]),
        (&draft, edit(contest(), &[("alice", "u1"), ("bob", "u1")]), NOW, &["two contestants have one id"]),
        (&run, edit(contest(), &[]), start, &["running cannot be edited", "pause, stop or abort"]),
        (&run, arm_at(start + 9 * SECOND), start, &["running cannot be armed"]),
        (&run, Change::Seal, start, &["running cannot be sealed"]),
        (&run, Change::Pause, start + 59 * SECOND, &["ends at", "let it drain"]),
        (&run, resume_at(start + 9 * SECOND), start, &["running cannot be resumed"]),
        (&run, split_at(start + SPLIT_LEAD_US - 1, &["g1"]), start, &["the split is at", "too soon"]),
        (&run, split_at(start + 60 * SECOND, &["g1"]), start, &["ends at", "let it drain"]),
        (&run, split_at(start + 9 * SECOND, &[]), start, &["no generator is named"]),
        (&paused, split_at(start + 9 * SECOND, &["g1"]), start, &["paused cannot be split anew", "resume or stop"]),
        (&resuming, split_at(start + 8 * SECOND, &["g1"]), start + 2 * SECOND, &["set this machine's clock"]),
        (&run, deadline(DeadlineName::Version, start + LEAD_US - 1), start, &["moved deadline", "too soon"]),
        (
            &run,
            deadline(DeadlineName::Version, start + 50 * SECOND),
            start + 19 * SECOND,
            &["version deadline of 2026-12-01T10:00:30Z has passed", "what has passed stays"],
        ),
        (&run, endpoint("10.0.0.1:80"), start, &["host and port of \"alice\"", "allow_shared"]),
        (&run, endpoint("127.0.0.1:8080"), start, &["\"bob\" cannot be there", "127.0.0.0/8"]),
        (&run, endpoint("10.0.0.2:6379"), start, &["Redis"]),
        (&run, Change::Park { contestant: "carol".into(), parked: true }, start, &["nobody is called \"carol\""]),
        (&paused, Change::Pause, start, &["paused cannot be paused", "resume or stop"]),
        (&paused, resume_at(start + LEAD_US - 1), start, &["end of the pause", "too soon"]),
        (
            &paused,
            deadline(DeadlineName::From, start + 50 * SECOND),
            start,
            &["paused cannot have its deadlines moved"],
        ),
        (&resuming, Change::Pause, start + 2 * SECOND, &["goes on at 2026-12-01T10:00:19Z", "after that"]),
        (&resuming, deadline(DeadlineName::From, start + 50 * SECOND), start - SECOND, &["set this machine's clock"]),
    ];
    for (control, wanted, at, words) in cases {
        let shown = format!("{wanted:?}");
        let text = refused(control, wanted, at);
        for word in words {
            assert!(text.contains(word), "{shown}: {word:?} is not in: {text}");
        }
        assert!(text.contains(": "), "no next step in: {text}");
    }
    let armed = change(&draft, arm_at(start), NOW).expect("armed");
    assert!(refused(&armed, Change::Begin, start - 1).contains("the start of the round comes at"));
    assert!(refused(&armed, Change::Stop, NOW).contains("or abort it"));
    let halted = change(&draft, Change::Halt { halted: true }, NOW).expect("halted");
    assert!(refused(&halted, arm_at(start), NOW).contains("release it"));
    let mut closed = draft.clone();
    closed.contest.policy.allow.clear();
    assert!(refused(&closed, arm_at(start), NOW).contains("\"alice\" cannot be there: 10.0.0.1 is private"));
}

#[test]
fn endpoints_kill_switches_and_policy_change_at_any_time() {
    let mut control = running();
    let start = NOW + 10 * SECOND;
    let endpoint: Endpoint = "10.9.9.9:8080/new".parse().expect("an endpoint");
    control = change(&control, Change::Endpoint { contestant: "bob".into(), endpoint: endpoint.clone() }, start)
        .expect("moved");
    control = change(&control, Change::Park { contestant: "bob".into(), parked: true }, start).expect("parked");
    control = change(&control, Change::Halt { halted: true }, start).expect("halted");
    control = change(&control, Change::Policy(Policy::default()), start).expect("narrower");
    assert_eq!(control.contest.contestants[1].endpoint, endpoint);
    assert!(control.parked.contains("bob") && control.halted);
    assert_eq!(follows(&running(), &control), Ok(()));
    assert_eq!(Control::from_json(&control.to_json()), Ok(control));
}

#[test]
fn a_round_is_split_anew_without_a_pause() {
    let start = NOW + 10 * SECOND;
    let (armed, run) = (change(&Control::new(contest()), arm_at(start), NOW).expect("armed"), running());
    let made = change(&run, split_at(start + 3 * SECOND, &["g2"]), start + SECOND).expect("split");
    assert_eq!((made.split.as_slice(), made.timeline.splits.len()), (&names(&["g2"])[..], 2));
    assert_eq!(follows(&run, &made), Ok(()));
    assert_eq!(Control::from_json(&made.to_json()), Ok(made.clone()));
    // A pause that begins before it, and its end with a split of its own.
    let paused = change(&made, Change::Pause, start + SECOND + 1).expect("paused");
    let resumed = change(&paused, resume_at(start + 20 * SECOND), start + 9 * SECOND).expect("running");
    assert_eq!(resumed.check(), Ok(()));
    // Before the start it takes the place of the first one.
    let early = change(&armed, split_at(start, &["g2", "g3"]), NOW + SECOND).expect("split");
    assert_eq!(early.timeline.split_at(start).map(|split| &split.generators), Some(&names(&["g2", "g3"])));
    assert_eq!(follows(&armed, &early), Ok(()));
    let left_out = Change::LeaveOut { generators: names(&["g9"]).into_iter().collect() };
    let left_out = change(&early, left_out, NOW + SECOND).expect("left out");
    assert_eq!(Control::from_json(&left_out.to_json()), Ok(left_out));
}

#[test]
fn a_stop_counts_from_its_notice_and_the_round_still_counts() {
    let start = NOW + 10 * SECOND;
    let control = change(&running(), Change::Stop, start + 5 * SECOND).expect("stopped");
    assert_eq!(control.timeline.end_at(&control.contest), Some(start + 6 * SECOND));
    assert!(!control.timeline.is_playing(&control.contest, start + 6 * SECOND));
    assert!(change(&control, Change::Seal, start + 6 * SECOND).is_ok());
    let late = change(&running(), Change::Stop, start + 60 * SECOND).expect("nothing left to stop");
    assert_eq!(late.timeline.stopped_at, None);
}

#[test]
fn a_document_that_breaks_what_was_fixed_is_not_obeyed() {
    let older = change(&running(), Change::Pause, NOW + 15 * SECOND).expect("paused");
    let older = change(&older, resume_at(NOW + 22 * SECOND), NOW + 16 * SECOND).expect("running");
    let older = change(&older, deadline(DeadlineName::From, NOW + 90 * SECOND), NOW + 23 * SECOND).expect("moved");
    // (what somebody does to the document, words of the sentence)
    type Break = fn(&mut Control);
    let cases: &[(Break, &str)] = &[
        (|new| new.revision = 1, "does not follow revision 6"),
        (|new| new.contest.name = "x".into(), "and not \"x\""),
        (|new| new.contest.rules.timeout_us += 1, "the rules, which was fixed"),
        (|new| new.contest.phases[0].connections = 2, "the phases"),
        (|new| new.contest.deadlines.version = None, "the deadlines of the plan"),
        (|new| drop(new.contest.contestants.pop()), "the roster"),
        (|new| new.contest.contestants.reverse(), "the roster"),
        (|new| drop(new.ids.insert("alice".into(), "u1".into())), "the ids"),
        (|new| new.scored = false, "whether the round counts"),
        (|new| new.round = None, "it has a start and no round"),
        (|new| new.state = State::Armed, "paused before its start"),
        (|new| new.state = State::Paused, "without a pause that lasts"),
        (|new| new.timeline.start_at = None, "a clock without a start"),
        (|new| new.timeline = Timeline::default(), "the round has no start"),
        (|new| new.timeline.pauses.clear(), "a pause of the past"),
        (|new| new.timeline.pauses[0].from += 1, "a pause of the past"),
        (|new| new.timeline.pauses[0].from = UtcUs::EPOCH, "out of order"),
        (|new| new.timeline.pauses[0].to = None, "in a pause that lasts"),
        (|new| new.timeline.moved.clear(), "a deadline that was moved before"),
        (|new| new.timeline.moved[0].to = UtcUs(1), "out of order or too soon"),
        (|new| new.timeline.splits[0].generators.reverse(), "a split of the past"),
        (|new| drop(new.timeline.splits.pop()), "no split for"),
        (|new| new.timeline.splits.swap(0, 1), "splits are out of order"),
        (|new| new.split.push("g9".into()), "`split` is not the last"),
        (|new| new.timeline.stopped_at = Some(NOW + 30 * SECOND), "is stopped and goes on"),
    ];
    for (change, words) in cases {
        let mut newer = older.clone();
        newer.revision += 1;
        change(&mut newer);
        let error = follows(&older, &newer).expect_err(words).to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
    let sealed =
        change(&older, Change::Stop, NOW + 30 * SECOND).and_then(|next| change(&next, Change::Seal, NOW + 40 * SECOND));
    let sealed = sealed.expect("sealed");
    let mut back = older.clone();
    back.revision = sealed.revision + 1;
    let error = follows(&sealed, &back).expect_err("sealed is sealed").to_string();
    assert!(error.contains("which was sealed, running"), "{error}");
}

fn wanted(kind: u8, at: UtcUs, round: u128) -> Change {
    match kind {
        0 => Change::Arm {
            round: RoundId::from_bits(round),
            start_at: at,
            scored: true,
            generators: names(&["g1", "g2", "g3"]),
        },
        1 => Change::Begin,
        2 | 3 => Change::Pause,
        4 | 5 => Change::Resume { at, generators: names(&["g2", "g3"]) },
        6 | 7 => deadline(DeadlineName::Version, at),
        8 | 9 => deadline(DeadlineName::From, at),
        10 => Change::Stop,
        11 | 12 => Change::Drain,
        13 => Change::Seal,
        14 => Change::Abort,
        15 => Change::Draft,
        18..22 => Change::Begin,
        17 => Change::Park { contestant: "alice".into(), parked: at.0.is_multiple_of(2) },
        24..27 => Change::Split { at, generators: names(&["g3", "g1"]) },
        27 => Change::LeaveOut { generators: names(&["g4"]).into_iter().collect() },
        16 => Change::Endpoint { contestant: "bob".into(), endpoint: "10.0.0.9:8080".parse().expect("an endpoint") },
        _ => Change::Edit { contest: Box::new(contest()), ids: BTreeMap::new(), since: BTreeMap::new() },
    }
}

/// The same by adding up as things happen, without looking back.
#[derive(Debug, Default)]
struct Model {
    version: UtcUs,
    from: UtcUs,
    end: UtcUs,
}

impl Model {
    fn on(&mut self, made: &Change, after: &Control) {
        let timeline = &after.timeline;
        match made {
            Change::Arm { start_at, .. } => {
                (self.version, self.from, self.end) =
                    (*start_at + 20 * SECOND, *start_at + 40 * SECOND, *start_at + 60 * SECOND);
            }
            Change::MoveDeadline { deadline: DeadlineName::Version, to } => self.version = *to,
            Change::MoveDeadline { deadline: DeadlineName::From, to } => self.from = *to,
            Change::Resume { at, .. } => {
                let from = timeline.pauses.last().expect("it was paused").from;
                for instant in [&mut self.version, &mut self.from, &mut self.end] {
                    *instant += if *instant > from { *at - from } else { 0 };
                }
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_changes_reaches_an_illegal_document(
        started: bool,
        script in proptest::collection::vec((0u64..6 * SECOND, 0u8..28, -2i64..40_000_000), 0..60),
    ) {
        // Half of the scripts begin where most of the rules are.
        let draft = (Control::new(contest()), NOW);
        let (mut control, mut now) = if started { (running(), NOW + 10 * SECOND) } else { draft };
        let (mut model, mut past) = (Model::default(), vec![control.clone()]);
        model.on(&arm_at(NOW + 10 * SECOND), &control);
        for (round, (later, kind, ahead)) in script.into_iter().enumerate() {
            now += later;
            let made = wanted(kind, now.saturating_add_signed(ahead), round as u128);
            let Ok(next) = change(&control, made.clone(), now) else { continue };
            prop_assert_eq!(next.revision, control.revision + 1);
            prop_assert_eq!(next.check(), Ok(()));
            prop_assert_eq!(&Control::from_json(&next.to_json()).expect("readable"), &next);
            for older in &past {
                prop_assert_eq!(follows(older, &next), Ok(()), "{:?}", made);
                prop_assert!(follows(&next, older).is_err());
            }
            model.on(&made, &next);
            if matches!(next.state, State::Armed | State::Running) {
                let deadlines = next.timeline.deadlines_at(&next.contest, UtcUs::MAX);
                prop_assert_eq!((deadlines.version.0, deadlines.from.0), (model.version, model.from));
                prop_assert_eq!(next.timeline.end_at(&next.contest), Some(model.end));
            }
            past.push(next.clone());
            control = next;
        }
    }

    #[test]
    fn the_plan_is_played_once_and_whole(
        gaps in proptest::collection::vec((1u64..20 * SECOND, 1u64..20 * SECOND), 0..6),
        elapsed in 0u64..100 * SECOND,
    ) {
        let mut timeline = Timeline { start_at: Some(NOW), ..Timeline::default() };
        let mut at = NOW;
        for (play, pause) in gaps {
            timeline.pauses.push(Pause { from: at + play, to: Some(at + play + pause) });
            at += play + pause;
        }
        let instant = timeline.instant_of(elapsed).expect("no pause lasts");
        prop_assert_eq!(timeline.elapsed_us(instant), elapsed);
        prop_assert!(timeline.pause_at(instant).is_none());
        prop_assert!(timeline.instant_of(elapsed + 1).expect("no pause lasts") > instant);
    }
}

fn join_at(name: &str, endpoint: &str, at: UtcUs) -> Change {
    let endpoint = endpoint.parse().expect("an endpoint");
    Change::Join { contestant: name.into(), id: Some(format!("u-{name}")), endpoint, since: NOW, at }
}

#[test]
fn who_joins_has_named_its_server_before_and_never_later_than_now() {
    let (run, start) = (running(), NOW + 10 * SECOND);
    let joins = |since| {
        let endpoint = "10.0.0.9".parse().expect("an endpoint");
        let join = Change::Join { contestant: "zoe".into(), id: None, endpoint, since, at: start + 6 * SECOND };
        change(&run, join, start + SECOND).expect("she joins").since["zoe"]
    };
    assert_eq!(joins(NOW), NOW);
    assert_eq!(joins(start + 9 * SECOND), start + SECOND);
}

#[test]
fn one_more_than_the_fleet_carries_is_not_armed_and_is_let_in_and_read() {
    let text = "name = \"cup\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"5m\"\nstart = 500\nstep = \"x1.25\"\nhold = \"10s\"\n\
                pass = { verified = 0.995, p99 = \"250ms\" }\nmax = 20000\nfleet_max = 1200\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
                [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n[[contestant]]\nname = \"bob\"\nendpoint = \"10.0.0.2\"\n";
    let two = Control::new(Contest::from_toml(text).expect("a contest"));
    let armed = change(&two, arm_at(NOW + 10 * SECOND), NOW).expect("two fit");
    let joined = change(&armed, join_at("zoe", "10.0.0.9", NOW + 20 * SECOND), NOW).expect("she joins");
    assert_eq!(Control::from_json(&joined.to_json()), Ok(joined.clone()));
    assert_eq!(follows(&armed, &joined), Ok(()));
    let contest = Box::new(joined.contest.clone());
    let edit = Change::Edit { contest, ids: BTreeMap::new(), since: BTreeMap::new() };
    let three = change(&two, edit, NOW).expect("a draft follows its settings");
    assert_eq!(Control::from_json(&three.to_json()), Ok(three.clone()));
    let told = refused(&three, arm_at(NOW + 10 * SECOND), NOW);
    assert!(
        told.contains("phase 1 starts at 500/s for each of 3 contestants, and its `fleet_max` is 1200/s"),
        "{told}"
    );
    let written = format!("{text}[[contestant]]\nname = \"zoe\"\nendpoint = \"10.0.0.9\"\n");
    assert_eq!(Contest::from_toml(&written).expect_err("a person is told").message, told);
}

#[test]
fn who_share_a_server_are_read_also_when_the_policy_does_not_allow_it_any_more() {
    let mut shared = contest();
    shared.policy.allow_shared = true;
    shared.contestants[1].endpoint = shared.contestants[0].endpoint.clone();
    let armed = change(&Control::new(shared), arm_at(NOW + 10 * SECOND), NOW).expect("armed");
    let policy = Policy { allow_shared: false, ..armed.contest.policy.clone() };
    let narrower = change(&armed, Change::Policy(policy), NOW).expect("the settings were saved");
    assert_eq!(Control::from_json(&narrower.to_json()), Ok(narrower));
}

#[test]
fn who_joins_is_the_last_of_the_roster_and_an_older_document_is_followed() {
    let (run, start) = (running(), NOW + 10 * SECOND);
    let at = start + 6 * SECOND;
    let joined = change(&run, join_at("zoe", "10.0.0.9", at), start + SECOND).expect("she joins");
    let names: Vec<&str> = joined.contest.contestants.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "zoe"]);
    assert_eq!((joined.timeline.joined_at("zoe"), joined.timeline.joined_at("bob")), (Some(at), None));
    assert_eq!(follows(&run, &joined), Ok(()));
    assert_eq!(Control::from_json(&joined.to_json()), Ok(joined.clone()), "it survives its text");
    let later = change(&joined, join_at("yan", "10.0.0.8", at), start + SECOND).expect("at the same instant");
    assert_eq!(follows(&run, &later), Ok(()), "whoever missed one hears of both");
    // (what is changed in the newer document)
    let wrong: [fn(&mut Control); 4] = [
        |control| control.contest.contestants.swap(1, 2),
        |control| control.timeline.joins[0].at += 1,
        |control| drop(control.timeline.joins.remove(0)),
        |control| drop(control.contest.contestants.pop()),
    ];
    for (index, make) in wrong.into_iter().enumerate() {
        let mut newer = Control { revision: later.revision + 1, ..later.clone() };
        make(&mut newer);
        assert!(follows(&joined, &newer).is_err(), "case {index}");
    }
    let over =
        change(&change(&later, Change::Stop, start + 9 * SECOND).expect("it stops"), Change::Abort, NOW).expect("over");
    assert_eq!(change(&over, Change::Draft, NOW).expect("the next").timeline, Timeline::default());
}

#[test]
fn a_join_is_refused_that_comes_too_soon_twice_or_where_somebody_is() {
    let (run, start) = (running(), NOW + 10 * SECOND);
    let full = {
        let mut full = run.clone();
        let places = full.contest.places(2);
        for number in 2..places {
            let join = join_at(&format!("c{number}"), &format!("10.0.1.{number}"), start + 6 * SECOND);
            full = change(&full, join, start).expect("there is room");
        }
        full
    };
    let cases = [
        (&run, join_at("zoe", "10.0.0.9", start + LEAD_US - 1), "the instant of joining"),
        (&run, join_at("bob", "10.0.0.9", start + 6 * SECOND), "plays already"),
        (&run, join_at("zoe", "10.0.0.2", start + 6 * SECOND), "the host and port of \"bob\""),
        (&run, join_at("zoe", "192.168.0.1", start + 6 * SECOND), "cannot be there"),
        (&run, join_at("zoe", "10.0.0.9", start + 60 * SECOND), "let it drain"),
        (&full, join_at("zoe", "10.0.0.9", start + 6 * SECOND), "finds no room"),
    ];
    for (control, join, words) in cases {
        let message = refused(control, join, start);
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
    assert!(
        refused(&Control::new(contest()), join_at("zoe", "10.0.0.9", start), NOW).contains("draft cannot be joined")
    );
}

#[test]
fn what_becomes_of_the_absent_is_frozen() {
    let run = running();
    let mut newer = Control { revision: run.revision + 1, ..run.clone() };
    newer.contest.absent = crate::contest::Absent::Free;
    assert_eq!(follows(&run, &newer), Err(Refusal::Frozen("what becomes of the absent")));
}
