//! Who gets in, and what nobody gets past: routes by role, forms of other sites, sessions, names that mean harm.

#[path = "../common/people.rs"]
#[expect(dead_code, reason = "contestants register through the page here")]
mod people;

mod forms;
mod guessing;
mod harm;
mod pace;
mod roles;
mod screens;
mod sessions;
mod stage;
