//! People with accounts, as suites need them.

use flowtest_accounts::{Accounts, Actor, NewInvites, NewUser, Role, User};
use flowtest_contract::rules::UtcUs;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const HOUR_US: u64 = 3_600_000_000;

fn new_user(name: &str) -> NewUser {
    NewUser { name: name.to_owned(), display_name: name.to_owned(), password: PASSWORD.to_owned() }
}

pub(crate) async fn admin(accounts: &Accounts, name: &str, now: UtcUs) -> User {
    accounts.create_admin(new_user(name), &Actor::command_line(), now).await.expect("an admin")
}

pub(crate) async fn invitation(accounts: &Accounts, now: UtcUs) -> String {
    let new = NewInvites { count: 1, label: String::new(), role: Role::Staff, expires_at: now + HOUR_US };
    let invites = accounts.create_invites(new, &Actor::program(), now).await.expect("an invitation");
    invites[0].token.as_ref().expect("it is unused").reveal().to_owned()
}

/// Somebody who has used an invitation.
pub(crate) async fn contestant(accounts: &Accounts, name: &str, now: UtcUs) -> User {
    let token = invitation(accounts, now).await;
    accounts.redeem(&token, new_user(name), &Actor::nobody("127.0.0.1"), now).await.expect("an account")
}
