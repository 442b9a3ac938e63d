//! Who did what and when. Nothing in it can be changed.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::download::{self, Table, instant, text};
use crate::handlers::frame::{self, show};
use crate::live::clock::utc_ms;
use crate::views::AuditPage;
use crate::views::audit::{self, Names, Told};
use crate::views::layout::Page;
use flowtest_accounts::{AuditFilter, AuditLine, AuditWord, User};
use salvo::prelude::*;

const LINES: u32 = 100;
/// Lines of an export at most, asked for page by page.
const EXPORT_LINES: usize = 100_000;
const EXPORT_PAGE: u32 = 1_000;
/// Letters that are searched for at most.
const QUERY_CHARS: usize = 100;
/// Words that are searched for at most.
const WORDS_MAX: usize = 12;

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let query = query(req);
    let before = req.query::<i64>("before");
    let users = app.accounts.users().await?;
    let names = names(&app, &users).await?;
    let lines = app.accounts.audit_page(before, LINES, filter(&query, &users, &names)).await?;
    let before = lines.last().filter(|_| lines.len() == LINES as usize).map(|line| line.id);
    let lines = lines.into_iter().map(|line| shown(line, &names)).collect();
    show(res, AuditPage { layout: frame::layout(depot, Page::Audit, "Audit log"), lines, query, before })
}

/// All lines that are found, newest first: in words, and as the log keeps them.
#[handler]
pub async fn export(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let users = app.accounts.users().await?;
    let names = names(&app, &users).await?;
    let filter = filter(&query(req), &users, &names);
    let columns = ["at", "who", "address", "action", "what", "whom", "subject", "before", "after", "changes"];
    let mut table = Table::new(&columns);
    let (mut before, mut written) = (None, 0);
    while written < EXPORT_LINES {
        let lines = app.accounts.audit_page(before, EXPORT_PAGE, filter.clone()).await?;
        let Some(last) = lines.last() else { break };
        before = Some(last.id);
        written += lines.len();
        for line in lines {
            let told = told(&line, &names);
            table.row(&[
                instant(utc_ms(line.at)),
                text(&line.by.name),
                text(&line.by.address),
                text(&line.action),
                text(&told.what),
                text(&told.whom),
                text(&line.subject),
                text(line.before.as_deref().unwrap_or_default()),
                text(line.after.as_deref().unwrap_or_default()),
                text(&told.in_words()),
            ]);
        }
    }
    download::note(&app, depot, "audit").await?;
    table.send(res, "audit.csv")
}

fn query(req: &mut Request) -> String {
    req.query::<String>("q").unwrap_or_default().trim().chars().take(QUERY_CHARS).collect()
}

/// Each word is found wherever it stands, as the page tells it or as the log keeps it: in what was done, in the name of
/// whom or what it was done to, in a round's number.
fn filter(query: &str, users: &[User], names: &Names) -> AuditFilter {
    let words = units(query).into_iter().map(|text| {
        let wanted = text.to_lowercase();
        let is_called = |user: &&User| {
            user.name.to_lowercase().contains(&wanted) || user.display_name.to_lowercase().contains(&wanted)
        };
        let called = users.iter().filter(is_called).map(|user| format!("user:{}", user.id));
        let is_it = |(_, number): &(&String, &u32)| wanted == format!("round {number}");
        let rounds = names.rounds.iter().filter(is_it).map(|(id, _)| format!("round:{id}"));
        let or_subjects = called.chain(rounds).chain(audit::settings_told_by(&text)).collect();
        AuditWord { or_actions: audit::actions_told_by(&text), or_subjects, text }
    });
    AuditFilter { words: words.collect(), ..AuditFilter::default() }
}

/// The words of a query; a round and its number are one.
fn units(query: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    for word in query.split_whitespace().take(WORDS_MAX) {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        match units.last_mut().filter(|last| is_number && last.eq_ignore_ascii_case("round")) {
            Some(round) => *round = format!("{round} {word}"),
            None => units.push(word.to_owned()),
        }
    }
    units
}

pub(super) async fn names(app: &App, users: &[User]) -> Result<Names, RequestError> {
    let rounds = app.accounts.rounds().await?;
    Ok(Names {
        users: users.iter().map(|user| (user.id.0, user.display_name.clone())).collect(),
        rounds: rounds.into_iter().map(|round| (round.id.to_string(), round.number)).collect(),
    })
}

pub(super) fn told(line: &AuditLine, names: &Names) -> Told {
    Told::of(&line.action, &line.subject, line.before.as_deref(), line.after.as_deref(), names)
}

fn shown(line: AuditLine, names: &Names) -> audit::AuditLine {
    audit::AuditLine {
        id: line.id,
        at_ms: utc_ms(line.at),
        told: told(&line, names),
        who: line.by.name,
        address: line.by.address,
        action: line.action,
    }
}
