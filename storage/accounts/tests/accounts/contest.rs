//! Control, settings, endpoints, rounds, results, history, and what the organiser says beside them.

use crate::harness::*;
use flowtest_accounts::*;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity};

#[tokio::test]
async fn a_control_document_is_saved_only_over_the_revision_that_was_read() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let save = async |expected, revision, document: &str| {
        accounts.save_control(expected, revision, document, "moved the deadline", &by, NOON).await
    };
    assert_eq!(accounts.control().await.expect("an answer"), None);
    assert!(matches!(save(Some(1), 2, "{}").await, Err(Error::Stale { found: None })));
    save(None, 1, r#"{"a":1}"#).await.expect("the first");
    assert!(matches!(save(None, 2, "{}").await, Err(Error::Stale { found: Some(1) })), "it is there now");
    assert!(matches!(save(Some(1), 1, "{}").await, Err(Error::Refused(_))), "a revision is never given twice");
    assert!(matches!(save(Some(1), u64::MAX, "{}").await, Err(Error::Refused(_))), "SQLite has no such number");
    save(Some(1), 5, r#"{"a":2}"#).await.expect("revisions may skip");
    let newest = accounts.control().await.expect("an answer").expect("a document");
    assert_eq!((newest.revision, newest.document.as_str(), newest.at), (5, r#"{"a":2}"#, NOON));
    assert_eq!((newest.what.as_str(), newest.by_name.as_str()), ("moved the deadline", "boss"));
    let old = accounts.control_at(1).await.expect("an answer").expect("the past is kept");
    assert_eq!(accounts.control_history(10).await.expect("a list"), [newest, old]);
    assert!(save(Some(5), 6, "no json").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_saves_over_one_revision_exactly_one_wins() {
    let harness = Harness::new().await;
    harness.accounts.save_control(None, 1, "{}", "start", &harness.by(), NOON).await.expect("the first");
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (accounts, by) = (harness.accounts.clone(), harness.by());
            tokio::spawn(async move { accounts.save_control(Some(1), 2, &n.to_string(), "race", &by, NOON).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(()) => won += 1,
            Err(Error::Stale { found: Some(2) }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_setting_has_a_version_against_lost_updates() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let put = async |expected, text: &str| accounts.put_setting("freeze", expected, text, &by, NOON).await;
    assert_eq!(accounts.setting("freeze").await.expect("an answer"), None);
    assert_eq!(put(None, "true").await.expect("set"), 1);
    assert_eq!(put(Some(1), "false").await.expect("set"), 2);
    assert!(matches!(put(Some(1), "true").await, Err(Error::Stale { found: Some(2) })));
    assert!(matches!(put(None, "true").await, Err(Error::Stale { found: Some(2) })));
    assert!(matches!(put(Some(2), "{").await, Err(Error::Invalid { field: "text", .. })));
    let found = accounts.setting("freeze").await.expect("an answer").expect("a setting");
    assert_eq!((found.version, found.text.as_str(), found.at), (2, "false", NOON));
}

#[tokio::test]
async fn an_endpoint_is_the_newest_of_its_history() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let (alice, bob) = (harness.contestant("alice").await, harness.contestant("bob").await);
    let set = async |user: &User, endpoint, now| accounts.set_endpoint(user.id, endpoint, &by, now).await;
    set(&alice, Some("http://a.example/"), NOON).await.expect("set");
    set(&bob, Some("http://b.example/"), NOON).await.expect("set");
    set(&alice, Some("http://a2.example/"), NOON + 1).await.expect("moved");
    set(&alice, Some("http://a2.example/"), NOON + 2).await.expect("the same again");
    set(&bob, None, NOON + 3).await.expect("taken away");
    let now = Endpoint { user: alice.id, endpoint: "http://a2.example/".into(), at: NOON + 1 };
    assert_eq!(accounts.endpoints().await.expect("a list"), std::slice::from_ref(&now));
    assert_eq!(accounts.endpoint_of(alice.id).await.expect("an answer"), Some(now));
    assert_eq!(accounts.endpoint_of(bob.id).await.expect("an answer"), None);
    let history = accounts.endpoint_history(alice.id).await.expect("a list");
    let texts: Vec<_> = history.iter().map(|change| change.endpoint.as_deref().unwrap_or("none")).collect();
    assert_eq!(texts, ["http://a2.example/", "http://a.example/"]);
    assert!(matches!(accounts.set_endpoint(UserId(99), None, &by, NOON).await, Err(Error::Missing(_))));
    assert!(matches!(set(&alice, Some(""), NOON).await, Err(Error::Invalid { .. })));
}

fn result(user: &User, rank: u32, points: i64) -> RoundResult {
    let name = user.name.clone();
    RoundResult {
        user: user.id,
        name,
        rank,
        points,
        failures: 3,
        p99_us: Some(4_096),
        row: "1 2 3".into(),
        holds: None,
        climb: None,
    }
}

#[tokio::test]
async fn results_are_written_once_and_seal_the_round() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let (alice, bob) = (harness.contestant("alice").await, harness.contestant("bob").await);
    let round = harness.round(7, true).await;
    assert_eq!((round.number, round.state.as_str(), round.start_at), (1, "draft", Some(NOON)));
    assert_eq!(harness.round(8, false).await.number, 2);
    let state = async |state: &str| accounts.set_round_state(round.id, state, &by, NOON + 1).await;
    assert_eq!(state("running").await.expect("noted").state, "running");
    assert!(matches!(state("sealed").await, Err(Error::Refused(_))), "sealed comes with results");
    assert!(matches!(state("<b>").await, Err(Error::Invalid { .. })));

    // A contestant nobody knows: nothing of it is written.
    let stranger = RoundResult { user: UserId(99), ..result(&bob, 2, 0) };
    let refused = accounts.finish_round(round.id, vec![result(&alice, 1, 5), stranger], None, &by, NOON).await;
    assert!(matches!(refused, Err(Error::Missing(_))), "{refused:?}");
    assert_eq!(accounts.results_of(round.id).await.expect("a list"), []);

    let results = vec![result(&bob, 1, i64::MAX), result(&alice, 2, -300)];
    accounts.finish_round(round.id, results.clone(), None, &by, NOON + 2).await.expect("sealed");
    let again: Vec<_> = results.iter().rev().cloned().collect();
    accounts.finish_round(round.id, again, None, &by, NOON + 9).await.expect("the same again");
    let other = accounts.finish_round(round.id, vec![result(&alice, 1, 1)], None, &by, NOON + 9).await;
    assert!(matches!(other, Err(Error::Refused(_))), "{other:?}");
    assert_eq!(accounts.results_of(round.id).await.expect("a list"), results);
    let sealed = accounts.round(round.id).await.expect("an answer").expect("a round");
    assert_eq!((sealed.state.as_str(), sealed.finished_at), ("sealed", Some(NOON + 2)));
    assert!(matches!(state("running").await, Err(Error::Refused(_))), "a sealed round stays so");

    // Not even somebody with the file changes them by an ordinary statement.
    let mut raw = harness.raw();
    for statement in [
        "UPDATE results SET points = 0",
        "DELETE FROM results",
        "INSERT INTO results SELECT round_id, 1, 'boss', 1, 1, 0, NULL, '' FROM results LIMIT 1",
        "INSERT OR REPLACE INTO results SELECT round_id, user_id, name, rank, 0, 0, NULL, '' FROM results",
    ] {
        assert!(diesel::RunQueryDsl::execute(diesel::sql_query(statement), &mut raw).is_err(), "{statement}");
    }
    assert_eq!(accounts.results_of(round.id).await.expect("a list"), results);
}

#[tokio::test]
async fn a_round_that_is_not_valid_counts_until_somebody_voids_it() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    let validity = |valid_seconds| Some(RoundValidity { seconds: 60, valid_seconds, due: 6_000, void: 0, late_ms: 5 });
    let (late, valid) = (harness.round(1, true).await, harness.round(2, true).await);
    let open = accounts.rule_round(late.id, Ruling::Void, "", &by, NOON).await;
    assert!(matches!(open, Err(Error::Refused(_))), "{open:?}");
    accounts.finish_round(late.id, vec![result(&alice, 1, 10)], validity(40), &by, NOON).await.expect("sealed");
    accounts.finish_round(valid.id, vec![result(&alice, 1, 5)], validity(60), &by, NOON).await.expect("sealed");
    let counted = async || accounts.scored_results().await.expect("a list").into_iter().map(|(id, _)| id);
    let asked = async || accounts.rounds().await.expect("a list").into_iter().filter(Round::wants_ruling).count();
    assert_eq!((counted().await.collect::<Vec<_>>(), asked().await), (vec![late.id, valid.id], 1));
    let refused = accounts.rule_round(valid.id, Ruling::Void, "", &by, NOON).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    // (what is said, whether it counts then)
    for (ruling, counts) in [(Ruling::Void, false), (Ruling::Count, true), (Ruling::Replay, false)] {
        for _ in 0..2 {
            let round = accounts.rule_round(late.id, ruling, "seen again", &by, NOON + 1).await.expect("said");
            assert_eq!((round.ruling, round.counts()), (Some(ruling), counts));
        }
        assert_eq!((counted().await.any(|id| id == late.id), asked().await), (counts, 0), "{ruling}");
    }
    let silent = accounts.rule_round(late.id, Ruling::Count, " ", &by, NOON + 2).await;
    assert!(matches!(silent, Err(Error::Invalid { .. })), "another word without a reason: {silent:?}");
    assert_eq!(accounts.results_of(late.id).await.expect("a list").len(), 1, "it stays in the record");
    let filter = AuditFilter { action: Some("round.ruling".into()), ..AuditFilter::default() };
    let log = accounts.audit_page(None, 10, filter).await.expect("a page");
    let said: Vec<_> =
        log.iter().map(|line| (line.by.name.as_str(), line.before.as_deref(), line.after.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("boss", Some("\"count\""), Some("{\"reason\":\"seen again\",\"ruling\":\"replay\"}")),
            ("boss", Some("\"void\""), Some("{\"reason\":\"seen again\",\"ruling\":\"count\"}")),
            ("boss", None, Some("\"void\""))
        ]
    );
}

#[tokio::test]
async fn only_sealed_scored_rounds_count() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    for (bits, scored) in [(3, true), (2, false), (1, true)] {
        let round = harness.round(bits, scored).await;
        accounts.finish_round(round.id, vec![result(&alice, 1, 10)], None, &by, NOON).await.expect("sealed");
    }
    harness.round(4, true).await;
    let counted: Vec<_> = accounts.scored_results().await.expect("a list").into_iter().map(|(id, _)| id).collect();
    assert_eq!(counted, [RoundId::from_bits(3), RoundId::from_bits(1)], "in the order of numbers");
    let twice = NewRound { id: RoundId::from_bits(3), scored: true, label: String::new(), start_at: None };
    assert!(matches!(accounts.create_round(twice, &by, NOON).await, Err(Error::Refused(_))), "an id is never reused");
    let numbers: Vec<_> = accounts.rounds().await.expect("a list").iter().map(|round| round.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn history_gives_the_last_row_of_each_step() {
    let harness = Harness::new().await;
    let accounts = &harness.accounts;
    let (round, other) = (harness.round(1, true).await.id, harness.round(2, true).await.id);
    let row = |second: u64| HistoryRow { round, at: NOON + second * SECOND, payload: vec![0, second as u8] };
    accounts.append_history_rows((0..60).map(row).collect()).await.expect("a minute");
    accounts.append_history(round, NOON, b"late and wrong").await.expect("ignored");
    accounts.append_history(other, NOON, b"another round").await.expect("appended");
    let seconds = async |since, until, step| {
        let rows = accounts.history(round, since, until, step).await.expect("rows");
        rows.into_iter()
            .map(|(at, payload)| {
                assert_eq!(at, NOON + u64::from(payload[1]) * SECOND);
                payload[1]
            })
            .collect::<Vec<u8>>()
    };
    assert_eq!(seconds(UtcUs::EPOCH, UtcUs::MAX, 0).await, (0..60).collect::<Vec<_>>());
    assert_eq!(seconds(NOON + 10 * SECOND, NOON + 13 * SECOND, SECOND).await, [10, 11, 12]);
    assert_eq!(seconds(UtcUs::EPOCH, UtcUs::MAX, 20 * SECOND).await, [19, 39, 59]);
    let lost = accounts.append_history(RoundId::from_bits(9), NOON, b"x").await;
    assert!(matches!(lost, Err(Error::Missing(_))), "{lost:?}");
}

#[tokio::test]
async fn an_adjustment_is_withdrawn_but_never_forgotten() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let alice = harness.contestant("alice").await;
    let made = accounts.adjust(alice.id, -500, "late by a minute", &by, NOON).await.expect("made");
    let withdrawn = accounts.withdraw_adjustment(made.id, &by, NOON + 1).await.expect("withdrawn");
    assert_eq!((withdrawn.withdrawn_by.as_deref(), withdrawn.withdrawn_at), (Some("boss"), Some(NOON + 1)));
    assert_eq!(accounts.withdraw_adjustment(made.id, &by, NOON + 9).await.expect("again"), withdrawn);
    assert_eq!(accounts.adjustments().await.expect("a list"), [withdrawn]);
    let most = 1_000_000_000_000;
    for (points, reason) in [(0, "none"), (most + 1, "x"), (-most - 1, "x"), (i64::MIN, "x"), (5, ""), (5, "a\nb")] {
        let refused = accounts.adjust(alice.id, points, reason, &by, NOON).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    assert!(matches!(accounts.adjust(UserId(99), 5, "who", &by, NOON).await, Err(Error::Missing(_))));
    assert!(matches!(accounts.withdraw_adjustment(AdjustmentId(9), &by, NOON).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn an_announcement_is_shown_until_it_is_ended() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let first = accounts.announce(Level::Info, "Lunch at noon", &by, NOON).await.expect("said");
    let second = accounts.announce(Level::Warn, "Deadline moved", &by, NOON + 1).await.expect("said");
    assert_eq!(accounts.active_announcements(NOON).await.expect("a list"), [second.clone(), first.clone()]);
    let ended = accounts.end_announcement(first.id, &by, NOON + 2).await.expect("ended");
    assert_eq!(accounts.end_announcement(first.id, &by, NOON + 3).await.expect("again"), ended);
    assert_eq!(accounts.active_announcements(NOON + 9).await.expect("a list"), std::slice::from_ref(&second));
    assert_eq!(accounts.announcements().await.expect("a list"), [second, ended]);
}

#[tokio::test]
async fn an_announcement_expires_by_itself_and_one_that_is_over_at_once_is_only_in_the_log() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let until = Some(NOON + 60);
    let lunch = accounts.announce_until(Level::Info, "Lunch", until, &by, NOON).await.expect("said");
    let note = accounts.announce_until(Level::Info, "100 becomes 90", Some(NOON), &by, NOON).await.expect("noted");
    let shown = async |now| accounts.active_announcements(now).await.expect("a list");
    assert_eq!(shown(NOON).await, std::slice::from_ref(&lunch));
    assert_eq!(shown(NOON + 59).await, std::slice::from_ref(&lunch));
    assert_eq!(shown(NOON + 60).await, []);
    // One that has an end is taken down before it.
    let ended = accounts.end_announcement(lunch.id, &by, NOON + 30).await.expect("ended");
    assert_eq!((ended.ended_at, shown(NOON + 31).await), (Some(NOON + 30), vec![]));
    assert_eq!(accounts.announcements().await.expect("a list"), [note, ended]);
}

#[tokio::test]
async fn history_and_documents_are_found_by_an_instant() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let round = RoundId::from_bits(7);
    let new = NewRound { id: round, scored: true, label: String::new(), start_at: Some(NOON) };
    accounts.create_round(new, &by, NOON).await.expect("a round");
    for at in [NOON + 1, NOON + 2, NOON + 9] {
        accounts.append_history(round, at, &[at.0 as u8]).await.expect("a row");
    }
    let at = async |at| accounts.history_at(round, at).await.expect("an answer").map(|(at, _)| at);
    assert_eq!(
        [at(NOON).await, at(NOON + 8).await, at(UtcUs(u64::MAX >> 1)).await],
        [None, Some(NOON + 2), Some(NOON + 9)]
    );
    accounts.save_control(None, 1, "{}", "made", &by, NOON + 5).await.expect("saved");
    accounts.save_control(Some(1), 2, "{}", "changed", &by, NOON + 7).await.expect("saved");
    let then = async |at| accounts.control_then(at).await.expect("an answer").map(|one| one.revision);
    assert_eq!([then(NOON).await, then(NOON + 6).await, then(NOON + 7).await], [None, Some(1), Some(2)]);
}

#[tokio::test]
async fn a_screen_opens_by_its_secret_until_it_is_revoked() {
    let harness = Harness::new().await;
    let (accounts, by) = (&harness.accounts, harness.by());
    let (hall, secret) = accounts.create_screen("hall", &by, NOON).await.expect("a screen");
    let (_, other) = accounts.create_screen("bar", &by, NOON).await.expect("a screen");
    let opened = async |secret: &str| accounts.find_screen(secret).await.expect("an answer").map(|screen| screen.id);
    assert_eq!(opened(secret.reveal()).await, Some(hall.id));
    assert_eq!(opened("").await, None);
    let revoked = accounts.revoke_screen(hall.id, &by, NOON + 1).await.expect("revoked");
    assert_eq!(accounts.revoke_screen(hall.id, &by, NOON + 2).await.expect("again"), revoked);
    assert_eq!(opened(secret.reveal()).await, None);
    assert!(opened(other.reveal()).await.is_some());
    assert_eq!(accounts.screens().await.expect("a list").len(), 2);
}
