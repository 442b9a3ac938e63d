//! The accounts as the dashboard uses them, on real SQLite files. One program, because linking costs more than running.

mod contest;
mod file;
mod house;
mod invites;
mod kill;
mod log;
mod people;
