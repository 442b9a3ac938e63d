//! Who gets in, and what nobody gets past: routes by role, forms of other sites, sessions, names that mean harm.

mod forms;
mod guessing;
mod harm;
mod roles;
mod sessions;
mod screens;
mod stage;
