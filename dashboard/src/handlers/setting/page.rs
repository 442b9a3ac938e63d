//! Everything the organiser's page shows: read once, decided here, and filled into the view.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::control::difference::Changed;
use crate::control::form::{FieldError, SettingsForm};
use crate::control::readiness::{self, Mark, Situation};
use crate::control::settings::plan;
use crate::control::{Sealing, Status};
use crate::error::Failure;
use crate::handlers::convert::round_state;
use crate::handlers::frame::{self, show as send};
use crate::handlers::rules;
use crate::live::{Audience, UserKey};
use crate::middleware::viewer::Viewer;
use crate::views::layout::{Level, Page};
use crate::views::plan::PlanGraph;
use crate::views::setting::{
    AdjustmentLine, AnnounceForm, BackupLine, Change, Check, ContestForm, ContestantCheck, ContestantLine,
    GeneratorCheck, GeneratorChoice, Light, MissingStream, PastRound, Readiness, RoundAction, RoundPanel, ScreenLine,
    SettingPage, TeamForm, UserLine,
};
use crate::views::tokens::InvitationForm;
use crate::views::{Field, Role};
use flowtest_accounts::{AuditFilter, Round, User, UserId};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{Control, SeenGenerator, State};
use salvo::prelude::*;
use std::collections::HashMap;

/// Earlier rounds on the page at most.
const PAST_MAX: usize = 20;

/// What was typed into a form that goes back to whoever typed it.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) contest: Option<(SettingsForm, Vec<FieldError>)>,
    /// What the page had shown on which it was typed: the next form is still about that.
    pub(super) revision: Option<u64>,
    /// What saving that would change.
    pub(super) changes: Vec<Changed>,
    /// Start, whether it is scored, which generators.
    pub(super) arm: Option<(Field, bool, Vec<String>)>,
    pub(super) deadline: Option<Field>,
    pub(super) freeze: Option<Field>,
    pub(super) seal_reason: Option<Field>,
    pub(super) announce: Option<(Level, Field)>,
    pub(super) screen_label: Option<Field>,
    pub(super) screen_made: Option<String>,
    pub(super) team: Option<(UserId, TeamForm)>,
}

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let page = page(depot, Typed::default()).await?;
    send(res, page)
}

/// The page, with what was typed.
pub(super) async fn page(depot: &mut Depot, typed: Typed) -> Result<SettingPage, Failure> {
    let app = App::of(depot).clone();
    let me = Viewer::of(depot)?.user.id;
    let now = utc_us();
    let situation = app.organiser.situation(now).await?;
    let (status, control) = (app.organiser.status(), app.organiser.control());
    let rounds = app.accounts.rounds().await?;
    let users = app.accounts.users().await?;
    let (form, errors) = typed.contest.unwrap_or_else(|| (SettingsForm::of(&app.organiser.settings()), Vec::new()));
    let phases = plan(&form.plan).ok();
    let (level, text) = typed.announce.unwrap_or((Level::Info, Field::default()));
    let adjustments = app.accounts.adjustments().await?;
    let shown: HashMap<UserId, &str> = users.iter().map(|user| (user.id, user.display_name.as_str())).collect();
    Ok(SettingPage {
        layout: frame::layout(depot, Page::Setting, "Control"),
        revision: typed.revision.unwrap_or_else(|| control.as_ref().map_or(0, |control| control.revision)),
        readiness: readiness(&situation, &status, &users),
        round: RoundPanel {
            deadline: typed.deadline.unwrap_or_default(),
            freeze: typed.freeze.unwrap_or_default(),
            seal_reason: typed.seal_reason.unwrap_or_default(),
            past: past(&app, &rounds, &users, control.as_deref()).await?,
            ..round(&app, control.as_deref(), &status, &rounds, typed.arm, now)
        },
        contest: contest_form(form, &errors, control.as_deref()),
        plan: phases.map(|phases| PlanGraph::of(rules::plan(&phases))),
        difference: typed.changes.into_iter().map(change).collect(),
        announce: AnnounceForm { level, text },
        contestants: contestants(&app, &users, &situation, typed.team),
        adjustments: adjustments
            .iter()
            .rev()
            .map(|line| AdjustmentLine {
                id: line.id.0,
                at_ms: utc_ms(line.at),
                shown: shown.get(&line.user).copied().unwrap_or("somebody").to_owned(),
                points: line.points,
                reason: line.reason.clone(),
                by: line.by_name.clone(),
                withdrawn: line.withdrawn_at.is_some(),
            })
            .collect(),
        users: user_lines(&app, &users, me, now).await?,
        screens: screens(&app).await?,
        screen_label: typed.screen_label.unwrap_or_default(),
        screen_made: typed.screen_made,
        invitations: invitation_form(),
        backup: backup(&app).await?,
    })
}

/// The form for invitations with what most people want.
pub(in crate::handlers) fn invitation_form() -> InvitationForm {
    InvitationForm { count: Field::new("10"), label: Field::default(), expires: Field::new("+7d"), role: Role::Staff }
}

fn light(mark: Mark) -> Light {
    match mark {
        Mark::Go => Light::Good,
        Mark::Warn => Light::Warn,
        Mark::No => Light::Bad,
    }
}

fn readiness(situation: &Situation, status: &Status, users: &[User]) -> Readiness {
    use readiness::Group;
    let checks = readiness::checks(situation);
    let missing = checks.iter().filter(|check| check.mark == Mark::No);
    let missing = missing.map(|check| format!("{}: {}", check.what, check.sentence)).collect();
    let one = |check: &readiness::Check| Check {
        name: check.what.clone(),
        light: light(check.mark),
        sentence: check.sentence.clone(),
    };
    let mut platform: Vec<Check> = checks.iter().filter(|check| check.group == Group::Platform).map(one).collect();
    if let Some(trouble) = &status.trouble {
        platform.push(Check { name: "Desk".to_owned(), light: Light::Bad, sentence: trouble.clone() });
    }
    let contestants = situation.contestants.iter().map(|player| {
        let (mark, reason) = readiness::contestant(player, situation.now);
        let user = users.iter().find(|user| user.name == player.name);
        ContestantCheck {
            key: user.map(|user| UserKey::of_user(user.id.0).to_string()).unwrap_or_default(),
            shown: user.map_or_else(|| player.name.clone(), |user| user.display_name.clone()),
            light: light(mark),
            endpoint: player.endpoint.clone(),
            probed_at_ms: player.tested.as_ref().map(|tested| utc_ms(tested.at)),
            reason,
        }
    });
    Readiness {
        missing,
        adopt: status.conflict.as_ref().is_some_and(|conflict| conflict.revision.is_some()),
        contestants: contestants.collect(),
        generators: situation.generators.iter().filter_map(|seen| generator(seen, situation)).collect(),
        checks: platform,
    }
}

/// A generator that is heard. Those that are silent stand nowhere: they may be of yesterday.
fn generator(seen: &SeenGenerator, situation: &Situation) -> Option<GeneratorCheck> {
    let health = seen.health.as_ref()?;
    let (mark, sentence) = match readiness::is_heard(seen, situation.now) {
        true => readiness::generator(health),
        false => (Mark::No, "It is silent: see whether it still runs.".to_owned()),
    };
    Some(GeneratorCheck {
        id: seen.id.clone(),
        light: light(mark),
        sentence,
        beat_ms: utc_ms(seen.beat),
        version: health.version.clone(),
        cores: health.cores,
        tier: health.tier.clone(),
        rate: health.rate,
        clock_offset_us: health.clock_offset_us,
        clock_error_us: health.clock_error_us,
        saturated_seconds: health.saturated_seconds,
        rate_ratio: health.rate_ratio,
        lag_p99_us: health.lag_p99_us,
        backlog: health.backlog,
        disk_free_bytes: health.disk_free_bytes,
        busy_percent: health.busy_percent.clone(),
    })
}

fn actions(control: Option<&Control>) -> Vec<RoundAction> {
    use RoundAction::{Abort, Arm, Next, Pause, Resume, Seal, Stop};
    let Some(control) = control else { return Vec::new() };
    match control.state {
        State::Draft => vec![Arm],
        State::Armed => vec![Abort],
        State::Running => vec![Pause, Stop, Abort],
        State::Paused => vec![Resume, Stop, Abort],
        State::Draining => vec![Seal, Abort],
        State::Sealed | State::Aborted => vec![Next],
    }
}

fn round(
    app: &App,
    control: Option<&Control>,
    status: &Status,
    rounds: &[Round],
    typed: Option<(Field, bool, Vec<String>)>,
    now: UtcUs,
) -> RoundPanel {
    let state = control.map_or(State::Draft, |control| control.state);
    let last = rounds.last().map_or(0, |round| round.number);
    let (start, scored, chosen) = match typed {
        Some((start, scored, chosen)) => (start, scored, Some(chosen)),
        None => (Field::new("+30s"), control.is_none_or(|control| control.scored), None),
    };
    let generators = status.generators.iter().filter(|seen| readiness::is_heard(seen, now)).filter_map(|seen| {
        let mark = readiness::generator(seen.health.as_ref()?).0;
        let is_chosen = match &chosen {
            Some(chosen) => chosen.contains(&seen.id),
            None => mark != Mark::No,
        };
        Some(GeneratorChoice { id: seen.id.clone(), chosen: is_chosen, light: light(mark) })
    });
    let missing = match &status.sealing {
        Sealing::Missing(streams) => streams
            .iter()
            .map(|stream| MissingStream { id: stream.to_string(), sentence: of_whom(stream, &status.generators) })
            .collect(),
        Sealing::Fine | Sealing::Trouble(_) => Vec::new(),
    };
    let show = app.organiser.show();
    RoundPanel {
        number: if state == State::Draft { last + 1 } else { last },
        state: round_state(state.as_str()),
        scored,
        actions: actions(control),
        start,
        generators: generators.collect(),
        missing,
        seal_reason: Field::default(),
        deadline: Field::default(),
        halted: control.is_some_and(|control| control.halted),
        frozen: show.frozen_at(now).is_some(),
        over: show.over,
        freezes_at_ms: show.freeze_at.filter(|at| *at > now).map(utc_ms),
        freeze: Field::default(),
        show_version: app.organiser.show_version(),
        past: Vec::new(),
    }
}

fn of_whom(stream: &flowtest_scoreboard::StreamId, generators: &[SeenGenerator]) -> String {
    let its = generators.iter().find(|seen| seen.health.as_ref().is_some_and(|health| health.stream == Some(*stream)));
    match its {
        Some(seen) => format!("of generator {:?}, which is heard: it will end by itself", seen.id),
        None => {
            "of a generator that is not heard: start it again on its journal folder, or run rebuild there".to_owned()
        }
    }
}

async fn past(
    app: &App,
    rounds: &[Round],
    users: &[User],
    control: Option<&Control>,
) -> Result<Vec<PastRound>, Failure> {
    // Results stay as they were; whoever is out of competition by now was not first.
    let competes = |id: UserId| {
        let user = users.iter().find(|user| user.id == id);
        user.is_some_and(|user| !user.hidden && !user.disabled && user.disqualified.is_none())
    };
    let current = control.filter(|control| control.state != State::Draft).and_then(|control| control.round);
    let mut past = Vec::new();
    for round in rounds.iter().rev().filter(|round| Some(round.id) != current).take(PAST_MAX) {
        let results = app.accounts.results_of(round.id).await?;
        past.push(PastRound {
            number: round.number,
            state: round_state(&round.state),
            scored: round.scored,
            start_at_ms: round.start_at.map(utc_ms),
            end_at_ms: round.finished_at.map(utc_ms),
            winner: results.into_iter().find(|result| competes(result.user)).map(|result| result.name),
        });
    }
    Ok(past)
}

fn contest_form(form: SettingsForm, errors: &[FieldError], control: Option<&Control>) -> ContestForm {
    let field = |name: &str, value: String| Field {
        value,
        error: errors.iter().find(|error| error.field == name).map(|error| super::capital(&error.sentence)),
    };
    let playing = control.filter(|control| !matches!(control.state, State::Draft | State::Sealed | State::Aborted));
    ContestForm {
        title: field("title", form.title),
        version_deadline: field("version_deadline", form.version_deadline),
        from_deadline: field("from_deadline", form.from_deadline),
        timeout: field("timeout", form.timeout),
        grace: field("grace", form.grace),
        token: field("token", form.token),
        version: field("version", form.version),
        from: field("from", form.from),
        token_required: form.token_required,
        plan: field("plan", form.plan),
        allow: field("allow", form.allow),
        deny: field("deny", form.deny),
        allow_shared: form.allow_shared,
        house: field("house", form.house),
        error: match errors.len() {
            0 | 1 => None,
            count => Some(format!("{count} fields need another look. Nothing was saved.")),
        },
        frozen: playing.map(|control| {
            format!(
                "A round is {}. Rules, deadlines and plan that are saved now count from the next one on; networks count \
                 at once. A deadline of this round is moved above.",
                control.state
            )
        }),
    }
}

fn change(changed: Changed) -> Change {
    Change {
        what: changed.label.to_owned(),
        before: changed.old,
        after: changed.new,
        effect: Some(changed.consequence),
    }
}

fn contestants(
    app: &App,
    users: &[User],
    situation: &Situation,
    mut typed: Option<(UserId, TeamForm)>,
) -> Vec<ContestantLine> {
    let standings = app.feed.standings(&Audience::Admin);
    let staff = users.iter().filter(|user| user.role == flowtest_accounts::Role::Staff);
    let lines = staff.map(|user| {
        let player = situation.contestants.iter().find(|player| player.name == user.name);
        let line = standings.of(&UserKey::of_user(user.id.0));
        ContestantLine {
            id: user.id.0,
            name: user.name.clone(),
            shown: user.display_name.clone(),
            endpoint: player.and_then(|player| player.endpoint.clone()),
            points: line.map_or(0, |line| line.score.points),
            parked: player.is_some_and(|player| player.parked),
            hidden: user.hidden,
            disqualified: user.disqualified.clone(),
            form: typed.take_if(|(id, _)| *id == user.id).map(|(_, form)| form).unwrap_or_default(),
        }
    });
    lines.collect()
}

async fn user_lines(app: &App, users: &[User], me: UserId, now: UtcUs) -> Result<Vec<UserLine>, Failure> {
    let mut lines = Vec::with_capacity(users.len());
    for user in users {
        let sessions = app.accounts.sessions_of(user.id, now).await?.len();
        lines.push(UserLine {
            id: user.id.0,
            name: user.name.clone(),
            shown: user.display_name.clone(),
            role: match user.role {
                flowtest_accounts::Role::Admin => Role::Admin,
                flowtest_accounts::Role::Staff => Role::Staff,
            },
            disabled: user.disabled,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            login_at_ms: user.last_login_at.map(utc_ms),
            me: user.id == me,
        });
    }
    Ok(lines)
}

async fn screens(app: &App) -> Result<Vec<ScreenLine>, Failure> {
    let screens = app.accounts.screens().await?;
    let valid = screens.into_iter().filter(|screen| screen.revoked_at.is_none());
    Ok(valid
        .map(|screen| ScreenLine {
            id: screen.id.0,
            label: screen.label,
            made_at_ms: utc_ms(screen.at),
            seen_at_ms: None,
        })
        .collect())
}

/// The newest backup that was made from here, as long as its file is there.
async fn backup(app: &App) -> Result<Option<BackupLine>, Failure> {
    let filter = AuditFilter { action: Some("backup.make".to_owned()), ..AuditFilter::default() };
    let Some(line) = app.accounts.audit_page(None, 1, filter).await?.into_iter().next() else { return Ok(None) };
    let after: serde_json::Value = serde_json::from_str(line.after.as_deref().unwrap_or("null")).unwrap_or_default();
    let Some(file) = after["to"].as_str() else { return Ok(None) };
    let Ok(meta) = tokio::fs::metadata(file).await else { return Ok(None) };
    Ok(Some(BackupLine { at_ms: utc_ms(line.at), file: file.to_owned(), bytes: meta.len() }))
}
