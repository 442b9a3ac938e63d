//! What runs beside requests from the start to the end: one function a task, each until it is told to stop.

use crate::control::Controller;
use crate::live::feed::Archived;
use crate::live::{Facts, Feed, Hub};
use crate::views::tokens::TokensPage;
use flowtest_accounts::{Accounts, HistoryRow};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often sessions that are over are deleted.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);
/// How often the list of invitations is looked at for those who watch it.
const INVITATIONS_EVERY: Duration = Duration::from_secs(1);

/// How often history that could not be written is tried again.
const HISTORY_AGAIN: Duration = Duration::from_secs(1);
/// History that waits in memory at the most, in bytes: more than an hour of 200 contestants.
const HISTORY_BYTES_MAX: usize = 64 << 20;

/// After a restart the feed knows the last minutes by seconds, in microseconds.
const RECENT_US: u64 = 10 * 60 * 1_000_000;
/// And what was before by half minutes.
const COARSE_US: u64 = 30 * 1_000_000;
/// Of the newest rounds.
const PAST_ROUNDS: usize = 50;

/// What is due by the clock, and what the database and Redis ask for.
pub async fn run_control(controller: Controller, stop: CancellationToken) {
    controller.automation().run(stop).await;
}

/// Passes on what the control of the contest knows of people, rounds and notices.
pub async fn tell_feed(mut facts: watch::Receiver<Arc<Facts>>, feed: Feed, stop: CancellationToken) {
    loop {
        let newest = facts.borrow_and_update().as_ref().clone();
        feed.tell(newest);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = facts.changed() => if changed.is_err() { return },
        }
    }
}

/// Takes sessions that are over out of the database, now and once an hour.
pub async fn purge_sessions(accounts: Accounts, stop: CancellationToken) {
    let mut every = tokio::time::interval(PURGE_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = accounts.purge_sessions(utc_us()).await {
            tracing::warn!(%error, "sessions that are over stay in the database");
        }
    }
}

/// Takes seconds of history from the feed's thread, and has them written on the runtime: at once, or when the database takes
/// writes again.
/// `unwritten` counts what waits.
pub fn keep_history(
    accounts: Accounts,
    tasks: &TaskTracker,
    unwritten: UnwrittenSeconds,
) -> impl FnMut(Vec<Archived>) + Send + 'static {
    let (hand_over, taken) = mpsc::unbounded_channel();
    tasks.spawn(write_history(accounts, taken, unwritten.clone()));
    move |seconds: Vec<Archived>| {
        unwritten.0.fetch_add(seconds.len(), Ordering::Relaxed);
        // Whoever writes goes last.
        let _ = hand_over.send(seconds);
    }
}

/// How many seconds of history the database does not hold yet.
#[derive(Clone, Debug, Default)]
pub struct UnwrittenSeconds(Arc<AtomicUsize>);

impl UnwrittenSeconds {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Until the feed has ended and all is written.
async fn write_history(
    accounts: Accounts,
    mut taken: mpsc::UnboundedReceiver<Vec<Archived>>,
    unwritten: UnwrittenSeconds,
) {
    let mut waiting: VecDeque<HistoryRow> = VecDeque::new();
    let (mut bytes, mut is_told, mut has_ended) = (0, false, false);
    loop {
        if waiting.is_empty() && has_ended {
            return;
        }
        let newer = match waiting.is_empty() {
            true => Ok(taken.recv().await),
            false => tokio::time::timeout(HISTORY_AGAIN, taken.recv()).await,
        };
        match newer {
            Ok(Some(seconds)) => {
                let row = |second: Archived| HistoryRow { round: second.round, at: second.at, payload: second.payload };
                let seconds = seconds.into_iter().map(row);
                waiting.extend(seconds.inspect(|row| bytes += row.payload.len()));
            }
            Ok(None) if has_ended => tokio::time::sleep(HISTORY_AGAIN).await,
            Ok(None) => has_ended = true,
            Err(_) => {}
        }
        while bytes > HISTORY_BYTES_MAX {
            let Some(lost) = waiting.pop_front() else { break };
            bytes -= lost.payload.len();
            unwritten.0.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(
                at = lost.at.0,
                "a second of history is given up: the database takes no writes, and memory has its end"
            );
        }
        if waiting.is_empty() {
            continue;
        }
        match accounts.append_history_rows(waiting.iter().cloned().collect()).await {
            Ok(()) => {
                if std::mem::take(&mut is_told) {
                    tracing::info!(seconds = waiting.len(), "the history that waited is written");
                }
                unwritten.0.fetch_sub(waiting.len(), Ordering::Relaxed);
                waiting.clear();
                bytes = 0;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "seconds of history wait in memory until the database takes them");
                }
            }
        }
    }
}

/// The history that a restarted feed goes on from: the last minutes by seconds, the rest by half minutes, and the last
/// second before the freeze, which the public sees.
pub async fn past(
    accounts: &Accounts,
    freeze: Option<UtcUs>,
) -> Result<Vec<(UtcUs, Vec<u8>)>, flowtest_accounts::Error> {
    let now = utc_us();
    let recent = now.saturating_sub(RECENT_US);
    let mut past = Vec::new();
    for round in accounts.rounds().await?.iter().rev().take(PAST_ROUNDS).rev() {
        past.extend(accounts.history(round.id, UtcUs::EPOCH, recent, COARSE_US).await?);
        past.extend(accounts.history(round.id, recent, now, 0).await?);
        if let Some(at) = freeze {
            // The last row of this half minute may be of after it.
            past.extend(accounts.history(round.id, at.floor(COARSE_US), at.saturating_add(1), COARSE_US).await?);
        }
    }
    Ok(past)
}

/// Shows whoever watches `/live?of=tokens` the list of invitations whenever it changes.
pub async fn publish_invitations(accounts: Accounts, hub: Hub, stop: CancellationToken) {
    let mut every = tokio::time::interval(INVITATIONS_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        match accounts.invites(utc_us()).await {
            Ok(invites) => hub.publish_tokens(TokensPage::live_text(invites)),
            Err(error) => tracing::warn!(%error, "the list of invitations cannot be read"),
        }
    }
}
