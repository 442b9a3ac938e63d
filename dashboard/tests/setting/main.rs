//! The organiser's forms, as a browser posts them: through the whole service, over a real database and a real Redis.

#[path = "../common/people.rs"]
mod people;

mod board;
mod browser;
mod contest;
mod invitations;
mod ledger;
mod levers;
mod platform;
mod restarts;
mod teams;
mod validity;
