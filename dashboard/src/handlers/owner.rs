//! What one contestant may know of itself, now: points, counts, failures. Everybody else's figures are the live feed's.

use crate::app::App;
use crate::control::readiness::is_heard;
use crate::error::RequestError;
use crate::handlers::past;
use crate::live::clock::utc_ms;
use crate::live::frame::Link;
use crate::live::{Audience, ClimbState, Facts, TeamState, UserKey};
use crate::middleware::viewer::Viewer;
use crate::views::climb::ClimbCard;
use crate::views::format;
use crate::views::health::{Health, Known, LastTest};
use crate::views::index::{FailureCount, HeaderCount};
use crate::views::ledger::{self, Ledger, LedgerRound};
use flowtest_accounts::{User, UserId};
use flowtest_contest::Control;
use flowtest_contest::climbed::Climbed;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Row, Rules};
use flowtest_scoreboard::{ExplainedError, ProbeAnswer, RoundTotals};
use std::collections::BTreeSet;

/// One contestant's own figures.
#[derive(Clone, Debug)]
pub struct Owner {
    pub id: UserKey,
    pub points: i64,
    pub rank: Option<u32>,
    pub rank_change: i64,
    pub gaps: (Option<i64>, Option<i64>),
    /// How many have a rank.
    pub of: usize,
    /// Since when the board is frozen.
    pub frozen_at: Option<UtcUs>,
    /// What the contest stands at while `points` are those of a practice for all.
    pub beside_practice: Option<i64>,
    /// How it fares, while a round is on, and since when.
    pub state: Option<TeamState>,
    pub state_since_ms: Option<i64>,
    /// Of the round that is played or was the last.
    pub row: Row,
    pub rules: Rules,
    /// How it fares in a breakpoint phase, or fared in the last one; none where there is none.
    pub climb: Option<ClimbCard>,
    /// What it holds in the round that is played or was the last, by the steps that count.
    pub holds: Option<u64>,
    /// `None`: nobody knows right now.
    pub errors: Option<Vec<ExplainedError>>,
}

impl Owner {
    pub async fn of(app: &App, user: &User) -> Owner {
        let id = UserKey::of_user(user.id.0);
        let audience = Audience::Owner(id.clone());
        let standings = app.feed.standings(&audience);
        let seen = app.feed.seen();
        let facts = app.feed.facts();
        let frozen_at = facts.freeze.holds(app.now());
        let line = standings.of(&id);
        let row = seen.totals.as_ref().and_then(|totals| totals.contestants.get(&user.name));
        let control = seen.control.as_deref();
        Owner {
            climb: climb(control, seen.totals.as_deref(), &facts, (&user.name, &id), app.now()),
            holds: ledger::holds(control, seen.totals.as_deref(), &user.name),
            points: line.map_or(0, |line| line.figures.points),
            rank: line.and_then(|line| line.rank).filter(|_| frozen_at.is_none()),
            rank_change: line.map_or(0, |line| line.rank_change),
            gaps: if frozen_at.is_some() { (None, None) } else { standings.gaps(&id) },
            of: standings.ranked(),
            frozen_at,
            beside_practice: ledger::beside_practice(control, &facts, &id),
            state: line.and_then(|line| line.state),
            state_since_ms: line.and_then(|line| line.state_since),
            row: row.cloned().unwrap_or_default(),
            rules: seen.control.as_ref().map(|control| control.contest.rules).unwrap_or_default(),
            // Not known is not the same as none: nobody is to believe that all is well.
            errors: app.feed.errors(id.as_str()).await.ok(),
            id,
        }
    }
}

/// By the decisions of the round that is shown, of the climb that was played last; once it is sealed, by what its results keep.
fn climb(
    control: Option<&Control>,
    totals: Option<&RoundTotals>,
    facts: &Facts,
    (name, id): (&str, &UserKey),
    now: UtcUs,
) -> Option<ClimbCard> {
    let counts = |round| facts.carried.has(&round) && !facts.carried.is_voided(&round);
    let is_sealed = |control: &Control| control.round.is_some_and(counts);
    let played = control.filter(|control| !is_sealed(control)).zip(totals);
    if let Some(card) = played.and_then(|(control, totals)| climb_now(control, totals, name, now)) {
        return Some(card);
    }
    let climbed = facts.carried.of(id)?.climbed.as_ref()?;
    // Results of before do not say what a step had to reach.
    let pass = climbed.pass.or_else(|| control?.contest.counted_pass())?;
    Some(ClimbCard::of(climbed, climbed.message(), &pass))
}

fn climb_now(control: &Control, totals: &RoundTotals, name: &str, now: UtcUs) -> Option<ClimbCard> {
    let newest = totals.decisions.last()?;
    let climber = newest.climbers.iter().find(|climber| climber.contestant == name)?;
    let (steps, breakpoint) = control.contest.breakpoint_of(newest.judged)?;
    let decisions = totals.decisions.iter().filter(|decision| steps.contains(&decision.judged));
    let climbed = Climbed::of(name, decisions.map(|decision| &**decision))?;
    let message = match ClimbState::of(control, newest, now) {
        ClimbState::Climbing => climber.message(&breakpoint.ladder),
        ClimbState::Over | ClimbState::NextBegun => climbed.message(),
    };
    Some(ClimbCard::of(&climbed, message, &breakpoint.ladder.pass))
}

/// What stands first on the contestant's page, as the contestant or an organiser reads it.
pub async fn health(app: &App, user: &User, owner: &Owner, viewer: &Viewer) -> Result<Health, RequestError> {
    let seen = app.feed.seen();
    let is_parked = seen.control.as_ref().is_some_and(|control| control.parked.contains(&user.name));
    let parked_by = match is_parked && viewer.is_admin() {
        true => match app.controller.parked_by(user.id).await?.and_then(|line| line.by.user) {
            Some(organiser) => app.accounts.user(organiser).await?.map(|organiser| organiser.display_name),
            None => None,
        },
        false => None,
    };
    let now = app.now();
    let endpoint = app.accounts.endpoint_of(user.id).await?.map(|one| one.endpoint);
    // What another server answered says nothing of this one.
    let tested =
        app.controller.requests().tested(Some(user.id)).filter(|tested| Some(&tested.endpoint) == endpoint.as_ref());
    let tested = tested.and_then(|tested| tested.answer).map(ProbeAnswer::for_contestant);
    let newest = reason(owner.errors.as_deref().unwrap_or_default(), owner.state, now);
    Ok(Health::of(&Known {
        has_endpoint: endpoint.is_some(),
        round: seen.control.as_ref().map(|control| control.state),
        team: owner.state,
        since_ms: owner.state_since_ms,
        newest: newest.map(|error| (error.kind.as_str(), error.message.as_str())),
        tested: tested.as_ref().map(|answer| match answer.is_verified() {
            true => LastTest::Verified,
            false => LastTest::Failed(&answer.message),
        }),
        tested_s: tested.as_ref().map_or(0, |answer| now.saturating_since(answer.at) / 1_000_000),
        disqualified: user.disqualified.as_deref(),
        halted: seen.control.as_ref().is_some_and(|control| control.halted),
        is_parked,
        parked_by: parked_by.as_deref(),
        is_late: app.feed.validity(&Audience::Public).is_some_and(|validity| validity.warn)
            || !app.controller.status().generators.iter().any(|seen| is_heard(seen, now)),
        is_over: app.feed.facts().ended,
        stale_since_ms: match seen.link {
            Link::Live => None,
            Link::Stale { since } => Some(utc_ms(since)),
        },
    }))
}

/// Who is not admitted is asked again more often than this, in microseconds.
const ASKED_WITHIN_US: u64 = 60_000_000;

/// Of the newest failures the one that says why.
fn reason(errors: &[ExplainedError], state: Option<TeamState>, now: UtcUs) -> Option<&ExplainedError> {
    // What the server answered when it was asked, shortly before an instant: nothing is sent to one that is not admitted.
    let asked_before =
        |at: UtcUs| errors.iter().find(|one| one.kind == "prepare" && at.saturating_since(one.at) < ASKED_WITHIN_US);
    if state == Some(TeamState::Waiting) {
        return asked_before(now);
    }
    // Of a deadline that was missed only what says so is the reason.
    let is_why = |error: &&ExplainedError| match state {
        Some(TeamState::WrongVersion | TeamState::WrongBoth) => error.kind == "version",
        Some(TeamState::WrongFrom) => error.kind == "from",
        _ => true,
    };
    let newest = errors.iter().find(is_why)?;
    let asked = Some(newest).filter(|newest| newest.kind == "missed").and_then(|missed| asked_before(missed.at));
    asked.or(Some(newest))
}

/// The round that is played or was the last, as the ledger has it. `None` before the first, and when its results are among
/// those of the past.
pub fn ledger_now(app: &App, owner: &Owner) -> Option<LedgerRound> {
    let seen = app.feed.seen();
    ledger::played(seen.control.as_deref()?, &app.feed.facts(), &owner.row, owner.holds)
}

/// What the past of the ledger is known by.
pub fn ledger_version(app: &App, owner: &Owner) -> String {
    ledger::version(&app.feed.facts(), &owner.id, owner.frozen_at)
}

/// All rounds of the contestant, newest first, and what was adjusted, for whoever reads its page.
pub async fn ledger(app: &App, user: &User, owner: &Owner, reader: &Viewer) -> Result<Ledger, RequestError> {
    // First: what changes while the database is read is asked for again.
    let version = ledger_version(app, owner);
    let facts = app.feed.facts();
    let ranked: BTreeSet<&UserKey> =
        facts.contestants.iter().filter(|one| one.is_ranked()).map(|one| &one.id).collect();
    let is_ranked = |user: UserId| ranked.contains(&UserKey::of_user(user.0));
    let mut rounds: Vec<LedgerRound> = Vec::new();
    for round in app.accounts.rounds().await? {
        let Some(finished_at) = round.finished_at else { continue };
        let results = app.accounts.results_of(round.id).await?;
        let Some(result) = results.iter().find(|result| result.user == user.id) else { continue };
        // A round that ended behind the freeze: its ranks are the secret.
        let is_shown = reader.is_admin() || owner.frozen_at.is_none_or(|frozen_at| finished_at < frozen_at);
        let before = results.iter().filter(|other| is_ranked(other.user) && other.rank < result.rank).count();
        let rank = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        // By the rules of then.
        let then = past::control_then(app, finished_at).await?;
        let (rules, worth) =
            then.map(|control| (control.contest.rules, control.contest.breakpoint_points)).unwrap_or_default();
        let lines = ledger::lines(&Row::decode(&result.row).unwrap_or_default(), &rules);
        let note = match round.ruling {
            Some(ruling) if !ruling.counts() => format::ruling(ruling).to_owned(),
            _ if !round.scored => ledger::PRACTICE.to_owned(),
            _ if round.wants_ruling() => "not valid: whether it counts is to be decided".to_owned(),
            _ => String::new(),
        };
        let sealed = LedgerRound {
            number: round.number,
            note,
            counts: round.counts(),
            is_sealed: true,
            points: result.points,
            lines: lines.into_iter().chain(ledger::held(result.holds, worth)).collect(),
            holds: result.holds,
            rank: Some(rank).filter(|_| is_shown && is_ranked(user.id)),
            p99_us: result.p99_us,
            ..LedgerRound::default()
        };
        rounds.push(sealed.during(&facts, round.id, round.start_at));
    }
    // The database may know already what the feed has not heard.
    let is_new = |now: &LedgerRound| rounds.iter().all(|round| round.number != now.number);
    rounds.extend(ledger_now(app, owner).filter(is_new));
    rounds.reverse();
    let adjustments = app.accounts.adjustments().await?.into_iter();
    let adjustments = adjustments.filter(|one| one.user == user.id && one.withdrawn_at.is_none());
    Ok(Ledger::of(rounds, adjustments.map(|one| (one.reason, one.points)).collect(), version))
}

/// Right and wrong of each header.
pub fn headers(owner: &Owner) -> Vec<HeaderCount> {
    let tally = &owner.row.tally;
    let line = |name, right: u64, wrong: u64, points: u32| HeaderCount {
        name,
        right,
        wrong,
        points: (right as i64 - wrong as i64).saturating_mul(i64::from(points)),
    };
    vec![
        line("token", tally.token_right, tally.token_wrong, owner.rules.token),
        line("version", tally.version_right, tally.version_wrong, owner.rules.version),
        line("from", tally.from_right, tally.from_wrong, owner.rules.from),
    ]
}

/// Failed exchanges by kind, the most frequent first.
pub fn failures(owner: &Owner) -> Vec<FailureCount> {
    let tally = &owner.row.tally;
    let each = i64::from(owner.rules.token) + i64::from(owner.rules.version) + i64::from(owner.rules.from);
    let kinds = [
        ("timeout", tally.timeout),
        ("refused", tally.refused),
        ("reset", tally.reset),
        ("malformed", tally.malformed),
        ("status", tally.status),
        ("tls", tally.tls),
        ("missed", tally.missed),
    ];
    let mut counts: Vec<FailureCount> = kinds
        .into_iter()
        .map(|(kind, count)| FailureCount {
            kind: kind.to_owned(),
            count,
            points: -(count as i64).saturating_mul(each),
        })
        .collect();
    counts.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::breakpoint::{Climbs, Decision, HoldSums};
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contest::{Contest, State};
    use flowtest_contract::RoundId;
    use std::sync::Arc;

    const START: UtcUs = UtcUs(1_700_000_000_000_000);

    /// A round with two climbs of three steps of nine seconds each, of which the first counts.
    fn two_climbs() -> Control {
        let climb = |p99: &str, scored: bool| {
            format!(
                "[[phase]]\nkind = \"breakpoint\"\nfor = \"27s\"\nstart = 100\nstep = \"x2\"\nhold = \"5s\"\nmax = 9000\n\
                 pass = {{ verified = 0.99, p99 = \"{p99}\" }}\nscored = {scored}\n"
            )
        };
        let text = format!(
            "name = \"cup\"\n[rules]\ntimeout = \"1s\"\n{}{}[policy]\nallow = [\"127.0.0.0/8\"]\n[[contestant]]\nname = \"a\"\n\
             endpoint = \"127.0.0.1:8080\"\n",
            climb("250ms", true),
            climb("50ms", false)
        );
        let draft = Control::new(Contest::from_toml(&text).expect("a contest"));
        let generators = vec!["g1".to_owned()];
        let arm = Change::Arm { round: RoundId::from_bits(7), start_at: START, scored: true, generators };
        let armed = change(&draft, arm, START - 10_000_000).expect("it may be armed");
        change(&armed, Change::Begin, START).expect("it may begin")
    }

    /// What is decided of so many steps of one of its climbs, all of which pass.
    fn decided(control: &Control, nth: usize, steps: u32) -> Vec<Arc<Decision>> {
        let (first, breakpoint, bounds) = control.contest.bounded_breakpoints()[nth];
        let mut climbs = Climbs::new(breakpoint, first).within(bounds);
        let decided = (1..=steps).map(|step| {
            let due = climbs.expected(0);
            let sums = HoldSums { due, verified: due, p99_us: Some(900), ..HoldSums::default() };
            climbs.decide(first + step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)])
        });
        decided.map(Arc::new).collect()
    }

    #[test]
    fn a_climb_is_explained_by_its_own_terms_and_in_the_past_once_it_is_over() {
        let control = two_climbs();
        let (id, mut facts) = (UserKey::of_user(1), Facts::default());
        let now = |second: u64| START + second * 1_000_000;
        let card = |decisions: &[Arc<Decision>], second| {
            let totals = RoundTotals { decisions: decisions.to_vec(), ..RoundTotals::default() };
            climb(Some(&control), Some(&totals), &facts, ("a", &id), now(second)).expect("it climbs")
        };
        let asks =
            |card: &ClimbCard, p99_us| card.terms.contains(&format!("p99 of {} at", format::micros(Some(p99_us))));
        let first = decided(&control, 0, 3);
        let climbing = card(&first[..2], 17);
        assert!(climbing.message.ends_with("Now it is asked for 400/s.") && asks(&climbing, 250_000), "{climbing:?}");
        // Its last step is decided, and then another climb is played; or its last step never was.
        for (decisions, second) in [(&first[..], 26), (&first, 28), (&first[..2], 28)] {
            let over = card(decisions, second);
            assert!(over.message.starts_with("It held ") && over.message.ends_with("the time was over."), "{over:?}");
            assert!(asks(&over, 250_000), "{over:?}");
        }
        let both = [first.clone(), decided(&control, 1, 1)].concat();
        let second = card(&both, 36);
        assert!(second.message.ends_with("Now it is asked for 200/s.") && asks(&second, 50_000), "{second:?}");
        assert_eq!(second.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [4], "each by its own terms");

        // Sealed, and the next plan has no climb at all.
        let sealed = Climbed::of("a", first.iter().map(|decision| &**decision)).expect("it is in them");
        let pass = control.contest.counted_pass();
        facts.carried.add_round(RoundId::from_bits(7));
        facts.carried.add_climb(id.clone(), Climbed { pass, ..sealed });
        let mut next = control.clone();
        next.state = State::Draft;
        next.contest.phases[1].load = flowtest_contest::contest::Load::Open { from: 1, to: 1 };
        next.contest.phases.remove(0);
        for control in [Some(&next), None] {
            let sealed = climb(control, None, &facts, ("a", &id), now(99)).expect("its results say so");
            assert!(sealed.message.starts_with("It held 400 ") && asks(&sealed, 250_000), "{sealed:?}");
        }
        // Nor is it looked at by what Redis still has of it.
        let totals = RoundTotals { decisions: both, ..RoundTotals::default() };
        let sealed = climb(Some(&control), Some(&totals), &facts, ("a", &id), now(99)).expect("its results say so");
        assert!(asks(&sealed, 250_000) && sealed.steps.len() == 3, "{sealed:?}");
    }

    #[test]
    fn who_is_not_admitted_is_told_what_its_server_answered_and_who_is_too_slow_that_it_is() {
        let error = |at_s: u64, kind: &str| ExplainedError {
            at: UtcUs(at_s * 1_000_000),
            ended: None,
            kind: kind.to_owned(),
            message: String::new(),
            expected: String::new(),
            received: String::new(),
            request: String::new(),
            response: String::new(),
        };
        let now = UtcUs(130 * 1_000_000);
        let of = |state, errors: &[ExplainedError]| {
            reason(errors, Some(state), now).map(|error| error.kind.clone()).unwrap_or_default()
        };
        let told = |errors: &[ExplainedError]| of(TeamState::Failing, errors);
        assert_eq!(told(&[error(100, "missed"), error(99, "prepare")]), "prepare");
        assert_eq!(told(&[error(100, "missed"), error(20, "prepare")]), "missed");
        assert_eq!(told(&[error(100, "status"), error(99, "prepare")]), "status");
        assert_eq!(told(&[]), "");
        // Before anything was due, and of a time that is over.
        assert_eq!(of(TeamState::Waiting, &[error(129, "status"), error(99, "prepare")]), "prepare");
        assert_eq!(of(TeamState::Waiting, &[error(129, "status"), error(20, "prepare")]), "");
    }
}
