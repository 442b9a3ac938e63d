//! The control of a contest over a real SQLite file and a real redis-server.

#[path = "../common/people.rs"]
mod people;

mod cut_off;
mod healing;
mod outages;
mod requests;
mod rounds;
mod settings;
mod stage;
mod truth;
mod urgent;
