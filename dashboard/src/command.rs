//! Commands beside `serve`. They open the database themselves, also while it is served.

use crate::cli::{AdminCommand, Database, InviteCommand};
use crate::clock::utc_us;
use crate::config;
use crate::password::weakness;
use flowtest_accounts::{Accounts, Actor, NewInvites, NewUser, Role};
use std::error::Error;
use std::path::Path;

/// Letters and digits that nobody mixes up.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const DRAWN_CHARS: usize = 20;

pub async fn admin(command: AdminCommand) -> Result<(), Box<dyn Error>> {
    let AdminCommand::Create { name, password_file, database } = command;
    let (password, drawn) = match &password_file {
        Some(path) => (config::secret(path)?, false),
        None => (draw()?, true),
    };
    if let Some(weakness) = weakness(&password, &[&name]) {
        return Err(weakness.into());
    }
    let accounts = Accounts::open(&database.database).await?;
    let new = NewUser { name: name.clone(), display_name: name.clone(), password: password.clone() };
    accounts.create_admin(new, &Actor::command_line(), utc_us()).await?;
    if drawn {
        println!("{name} {password}");
        eprintln!("flowtest-dashboard: {name} is an admin; this password is shown once");
    } else {
        eprintln!("flowtest-dashboard: {name} is an admin");
    }
    Ok(())
}

fn draw() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; DRAWN_CHARS];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

pub async fn invite(command: InviteCommand) -> Result<(), Box<dyn Error>> {
    let InviteCommand::Create { count, label, lifetime, database } = command;
    let accounts = Accounts::open(&database.database).await?;
    let now = utc_us();
    let expires_at = now + lifetime.as_micros() as u64;
    let new = NewInvites { count, label, role: Role::Staff, expires_at };
    for invite in accounts.create_invites(new, &Actor::command_line(), now).await? {
        if let Some(token) = invite.token {
            println!("{}", token.reveal());
        }
    }
    Ok(())
}

pub async fn backup(file: &Path, database: &Database) -> Result<(), Box<dyn Error>> {
    let accounts = Accounts::open(&database.database).await?;
    accounts.backup(file, &Actor::command_line(), utc_us()).await?;
    eprintln!("flowtest-dashboard: {} holds all of {}", file.display(), database.database.display());
    Ok(())
}
