//! Commands beside `serve`. They open the database themselves, also while it is served.

use crate::cli::{AdminCommand, Database, InviteCommand};
use crate::credentials::password::weakness;
use flowtest_accounts::{Accounts, Actor, LOGIN_LINK_LIFE_US, NewInvites, NewUser, Role};
use flowtest_contract::utc_us;
use std::error::Error;
use std::path::Path;

/// The longest secret in a file, in bytes.
const SECRET_BYTES_MAX: usize = 1024;
/// Letters and digits that nobody mixes up.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const DRAWN_CHARS: usize = 20;

pub async fn admin(command: AdminCommand) -> Result<(), Box<dyn Error>> {
    match command {
        AdminCommand::Create { name, password_file, database } => {
            let password = Password::of(password_file.as_deref(), &name)?;
            let accounts = Accounts::open(&database.database).await?;
            let new = NewUser { name: name.clone(), display_name: name.clone(), password: password.text.clone() };
            accounts.create_admin(new, &Actor::command_line(), utc_us()).await?;
            password.tell(&name, "is an admin");
        }
        AdminCommand::Password { name, password_file, database } => {
            let password = Password::of(password_file.as_deref(), &name)?;
            let accounts = Accounts::open(&database.database).await?;
            let user = accounts.user_named(&name).await?.ok_or_else(|| nobody(&name))?;
            accounts.set_password(user.id, &password.text, None, &Actor::command_line(), utc_us()).await?;
            password.tell(&name, "has a new password, and all its sessions have ended");
        }
        AdminCommand::Link { name, public_url, database } => {
            let accounts = Accounts::open(&database.database).await?;
            let secret = accounts.create_login_link(&name, &Actor::command_line(), utc_us()).await;
            let secret = secret.map_err(|error| match error {
                flowtest_accounts::Error::Missing(_) => nobody(&name),
                error => error.to_string(),
            })?;
            let base = public_url.as_deref().unwrap_or_default().trim_end_matches('/');
            println!("{base}/login/link/{name}/{}", secret.reveal());
            let minutes = LOGIN_LINK_LIFE_US / 60_000_000;
            eprintln!("flowtest-dashboard: signs {name} in, once, within {minutes} minutes");
            if base.is_empty() {
                eprintln!("flowtest-dashboard: put the dashboard's address before it, or name it by --public-url");
            }
        }
    }
    Ok(())
}

fn nobody(name: &str) -> String {
    format!("there is no enabled account {name:?} in this database: see --database, and the names on the setting page")
}

/// A password that was given, or drawn and told once.
struct Password {
    text: String,
    is_drawn: bool,
}

impl Password {
    fn of(file: Option<&Path>, name: &str) -> Result<Password, Box<dyn Error>> {
        let (text, is_drawn) = match file {
            Some(path) => (secret(path)?, false),
            None => (draw()?, true),
        };
        match weakness(&text, &[name]) {
            Some(weakness) => Err(weakness.into()),
            None => Ok(Password { text, is_drawn }),
        }
    }

    fn tell(&self, name: &str, done: &str) {
        if self.is_drawn {
            println!("{name} {}", self.text);
            eprintln!("flowtest-dashboard: {name} {done}; this password is shown once");
        } else {
            eprintln!("flowtest-dashboard: {name} {done}");
        }
    }
}

/// The first line of a file.
fn secret(path: &Path) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| format!("{path:?} cannot be read ({cause}): give a file that this user may read"))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() || line.len() > SECRET_BYTES_MAX {
        return Err(format!(
            "the first line of {path:?} is empty or longer than {SECRET_BYTES_MAX} bytes: write the secret there"
        )
        .into());
    }
    Ok(line.to_owned())
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
